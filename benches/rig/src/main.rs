//! The measuring rig: a provider that answers as it is told, configurations of any size, and a scraper that measures.
//!
//! It knows the product from outside only: its configuration file, its replies on the wire, its scrapes.

mod config;
mod process;
mod provider;
mod scrape;

use std::collections::HashMap;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The options after the verb, as `--name value`.
struct Options(HashMap<String, String>);

impl Options {
    fn new(words: impl Iterator<Item = String>) -> Fallible<Self> {
        let mut words = words;
        let mut options = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("expected an option, not {word}"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Fallible<T> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name} {text}: expected a number").into()),
        }
    }
}

fn main() -> Fallible<()> {
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match verb.as_str() {
        "provider" => runtime.block_on(provider::run(&Options::new(words)?)),
        "config" => config::write(&Options::new(words)?),
        "scrape" => {
            let text = std::io::read_to_string(std::io::stdin())?;
            runtime.block_on(scrape::run(&Options::new(words)?, &text))
        }
        _ => Err("rig provider | config | scrape; see benches/README.md".into()),
    }
}
