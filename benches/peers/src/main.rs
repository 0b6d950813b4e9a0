//! What others would have built: `registry` serves the series of a text file with a common crate, `loop` polls with
//! reqwest and nothing around it, `sign` signs and does nothing else.

mod registry;
mod requests;
mod signature;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["prometheus", file] => registry::serve(registry::Prometheus::load(&std::fs::read_to_string(file)?)?),
        ["prometheus-client", file] => registry::serve(registry::Client::load(&std::fs::read_to_string(file)?)?),
        ["loop", base, accounts, interval_ms, keep_alive] => {
            requests::run(base, accounts.parse()?, interval_ms.parse()?, keep_alive == "keep-alive")
        }
        ["key"] => signature::key(),
        ["sign", file, times] => signature::sign(&std::fs::read(file)?, times.parse()?),
        _ => Err(
            "peers prometheus FILE | prometheus-client FILE | loop BASE ACCOUNTS INTERVAL_MS keep-alive|close | key | \
                  sign FILE TIMES"
                .into(),
        ),
    }
}
