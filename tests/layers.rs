//! Who may know whom: a module uses modules of lower layers and its own folder; the lower half of the layers
//! touches neither the disk nor the network; test code may do more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

#[path = "layers/token.rs"]
mod token;

use token::{Token, paths, tokens, without_tests};

/// The modules, lowest layer first. A new module gets a place here.
const LAYERS: [&[&str]; 9] = [
    &["clock", "document", "failure", "money", "secret"],
    &["account", "rate_limit", "route"],
    &["providers", "schedule"],
    &["config", "session"],
    &["board"],
    &["exposition", "service", "store", "transport"],
    &["poller", "reference", "sandbox", "web"],
    &["app"],
    &["cli"],
];

/// What the layers below this one must not touch.
const FIRST_WITH_EFFECTS: usize = 5;
const EFFECTS: [&[&str]; 7] =
    [&["async"], &["tokio"], &["std", "fs"], &["std", "net"], &["rustix", "fs"], &["reqwest"], &["hyper"]];

/// Where the configuration meets the disk: files are theirs, the rest of the effects is not.
const READERS_OF_FILES: [&str; 2] = ["config/load.rs", "config/secret_reader.rs"];

/// The only module that uses the independent implementation of RSA.
const RSA: &str = "sandbox";

/// One file, named from `src/`.
struct Source {
    name: String,
    text: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    /// The name without `.rs` or `/mod.rs`: `web`, `web/page`.
    fn module(&self) -> &str {
        let stem = self.name.strip_suffix(".rs").unwrap_or(&self.name);
        stem.strip_suffix("/mod").unwrap_or(stem)
    }

    /// The module below the root that it belongs to.
    fn top(&self) -> &str {
        self.module().split('/').next().unwrap_or_default()
    }

    /// `lib.rs` declares the modules and `main.rs` calls the top one: they have no layer.
    fn is_root(&self) -> bool {
        matches!(self.module(), "lib" | "main")
    }
}

/// One rule that one line breaks.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn breaches(sources: &[Source]) -> Vec<Breach> {
    let mut stripped = BTreeMap::new();
    let mut test_only = BTreeSet::new();
    for source in sources {
        let (tokens, modules) = without_tests(tokens(&source.text));
        let folder = if source.is_root() { String::new() } else { format!("{}/", source.module()) };
        test_only.extend(modules.into_iter().map(|module| format!("{folder}{module}")));
        stripped.insert(&source.name, tokens);
    }
    let is_test = |source: &Source| {
        let module = Path::new(source.module());
        test_only.iter().any(|test: &String| module.starts_with(test))
    };
    let shipped = sources.iter().filter(|source| !is_test(source));
    let mut found: Vec<_> = shipped.flat_map(|source| breaches_of(source, &stripped[&source.name])).collect();
    found.sort();
    found
}

fn breaches_of(source: &Source, tokens: &[Token]) -> Vec<Breach> {
    let breach = |line: usize, what: String| Breach { file: source.name.clone(), line, what };
    let own = layer(source.top());
    if own.is_none() && !source.is_root() {
        return vec![breach(1, format!("{} has no layer; give it one in tests/layers.rs", source.top()))];
    }
    let used = paths(tokens);
    let mut found = Vec::new();
    for path in &used {
        let names: Vec<_> = path.names.iter().map(String::as_str).collect();
        let problems = [uses_upwards(source, own, &names), touches(source, own, &names), never(source, &names)];
        found.extend(problems.into_iter().flatten().map(|what| breach(path.line, what)));
    }
    found.sort();
    found.dedup();
    found
}

/// A use of a module that is not lower.
fn uses_upwards(source: &Source, own: Option<usize>, path: &[&str]) -> Option<String> {
    let own = own?;
    let module = module_from_root(source, path)?;
    if module == source.top() {
        return None;
    }
    match layer(module) {
        Some(layer) if layer < own => None,
        Some(layer) => Some(format!("{} (layer {own}) uses {module} (layer {layer})", source.top())),
        // what `super` leads to may be anything that the parent has; `crate::` must name a module
        None if path[0] == "crate" => Some(format!("crate::{module} is not a module with a layer")),
        None => None,
    }
}

/// What follows `crate::`, or as many `super::` as lead to the root.
fn module_from_root<'a>(source: &Source, path: &[&'a str]) -> Option<&'a str> {
    let up = path.iter().take_while(|name| **name == "super").count();
    let from_root = path[0] == "crate" || (up > 0 && up > source.module().matches('/').count());
    // `pub(crate)` leads nowhere
    path.get(up.max(1)).copied().filter(|_| from_root)
}

/// An effect in the half that has none.
fn touches(source: &Source, own: Option<usize>, path: &[&str]) -> Option<String> {
    let own = own.filter(|own| *own < FIRST_WITH_EFFECTS)?;
    let effect = EFFECTS.iter().find(|effect| path.starts_with(effect))?;
    if effect.contains(&"fs") && READERS_OF_FILES.contains(&source.name.as_str()) {
        return None;
    }
    Some(format!("{} (layer {own}) is pure, but uses {}", source.top(), effect.join("::")))
}

fn never(source: &Source, path: &[&str]) -> Option<String> {
    if path[0] == "rsa" && path.len() > 1 && source.top() != RSA {
        return Some(format!("only {RSA} uses rsa; what counts is signed and verified with aws-lc-rs"));
    }
    let ends = path.windows(2).any(|pair| pair[0] == "process" && ["exit", "abort"].contains(&pair[1]));
    ends.then(|| "ends the process past every destructor; return an exit status".to_owned())
}

fn read(folder: &Path, root: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            read(&path, root, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            sources.push(Source { name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

#[test]
fn every_module_uses_lower_layers_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    let found: Vec<_> = breaches(&sources).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    let modules: BTreeSet<_> = sources.iter().filter(|source| !source.is_root()).map(Source::top).collect();
    let placed: BTreeSet<_> = LAYERS.concat().into_iter().collect();
    assert_eq!(modules, placed, "a module without a layer, or a layer without its module");
}

/// The breaches of one made-up file, without the name of the file.
fn said(name: &str, text: &str) -> Vec<String> {
    breaches(&[Source::new(name, text)]).iter().map(|breach| format!("{}: {}", breach.line, breach.what)).collect()
}

#[test]
fn a_use_of_a_higher_or_equal_layer_is_seen() {
    for (name, text, expected) in [
        ("money.rs", "use crate::web::State;", "1: money (layer 0) uses web (layer 6)"),
        ("money.rs", "\n\nfn f() { crate::clock::now() }", "3: money (layer 0) uses clock (layer 0)"),
        (
            "board.rs",
            "use crate::{\n    account::Id,\n    poller::{Edge, Gate},\n};",
            "3: board (layer 4) uses poller (layer 6)",
        ),
        ("board.rs", "pub use crate::{self as root};", "1: crate::self is not a module with a layer"),
        ("board.rs", "use crate::*;", "1: crate::* is not a module with a layer"),
        ("board.rs", "use super::web::State;", "1: board (layer 4) uses web (layer 6)"),
        ("web/page.rs", "use super::super::poller as p;", "1: web (layer 6) uses poller (layer 6)"),
        ("web/mod.rs", "use super::app::App;", "1: web (layer 6) uses app (layer 7)"),
        ("cli/mod.rs", "use crate::util::Thing;", "1: crate::util is not a module with a layer"),
        ("util.rs", "", "1: util has no layer; give it one in tests/layers.rs"),
    ] {
        assert_eq!(said(name, text), [expected], "{name}: {text}");
    }
}

#[test]
fn an_effect_below_the_edge_is_seen() {
    for (name, text, expected) in [
        ("schedule.rs", "async fn f() {}", "1: schedule (layer 2) is pure, but uses async"),
        ("board.rs", "use std::{fmt, fs};", "1: board (layer 4) is pure, but uses std::fs"),
        ("providers/payby.rs", "fn f() { std::net::lookup() }", "1: providers (layer 2) is pure, but uses std::net"),
        ("session.rs", "use tokio::sync::Mutex;", "1: session (layer 3) is pure, but uses tokio"),
        ("config/load.rs", "use std::fs; use std::net::Ipv4Addr;", "1: config (layer 3) is pure, but uses std::net"),
        ("config/check.rs", "use std::fs::File;", "1: config (layer 3) is pure, but uses std::fs"),
        (
            "poller/walk.rs",
            "use rsa::Pss;",
            "1: only sandbox uses rsa; what counts is signed and verified with aws-lc-rs",
        ),
        (
            "main.rs",
            "fn main() { std::process::exit(1) }",
            "1: ends the process past every destructor; return an exit status",
        ),
        (
            "cli/mod.rs",
            "use std::process; fn f() { process::abort() }",
            "1: ends the process past every destructor; return an exit status",
        ),
    ] {
        assert_eq!(said(name, text), [expected], "{name}: {text}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (name, text) in [
        ("web/page.rs", "use crate::{board::View, exposition}; use crate::web::State; use super::State;"),
        (
            "money.rs",
            "// crate::web\n/* /* crate::web */ tokio */ const A: &str = \"crate::web \\\" tokio\"; //! async",
        ),
        (
            "money.rs",
            "const A: &str = r#\"crate::web\" async\"#; const B: char = '\"'; fn f<'a>(x: &'a str) { 'tokio: loop {} }",
        ),
        ("money.rs", "use std::fmt; use serde::de; pub(in crate::money) struct X; fn f() { Vec::<u8>::new() }"),
        ("money.rs", "#[cfg(test)]\nmod tests { use crate::web; fn f() { std::fs::read(\"}\") } }"),
        (
            "money.rs",
            "#[cfg(test)] #[allow(x)] use crate::web::{A, B};\n#[cfg(test)] fn f() -> [u8; 3] { crate::web::f() }",
        ),
        ("sandbox/keys.rs", "use rsa::RsaPrivateKey; use tokio::net::TcpListener;"),
        ("config/secret_reader.rs", "use std::fs::File; use rustix::fs::OFlags;"),
        ("providers/signature.rs", "use aws_lc_rs::rsa::KeyPair;"),
        ("lib.rs", "pub mod money; pub use crate::web::State;"),
    ] {
        assert_eq!(said(name, text), [""; 0], "{name}: {text}");
    }
}

#[test]
fn only_the_files_of_test_modules_are_left_out() {
    let declared = Source::new("exposition/mod.rs", "#[cfg(test)]\nmod checker;\nmod check;");
    let bad = "use crate::web::State;";
    let sources = [
        declared,
        Source::new("exposition/checker/mod.rs", bad),
        Source::new("exposition/checker/grammar.rs", bad),
        Source::new("exposition/checkers.rs", bad),
        Source::new("exposition/check.rs", bad),
    ];
    let files: Vec<_> = breaches(&sources).into_iter().map(|breach| breach.file).collect();
    assert_eq!(files, ["exposition/check.rs", "exposition/checkers.rs"]);
}
