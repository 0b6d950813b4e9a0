//! What the project stands on: no version with a known hole, no abandoned or impostor crate, one registry, and
//! licences that allow it to be shipped. `deny.toml` says the same to cargo-deny.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

/// Below these versions there is a known hole, or something that is relied upon is missing.
const FLOORS: [(&str, &str); 16] = [
    ("anyhow", "1.0.103"),
    ("aws-lc-sys", "0.39.0"),
    ("bcrypt", "0.19.2"),
    ("bytes", "1.11.1"),
    ("h2", "0.4.16"),
    ("hyper", "1.0.0"),
    ("idna", "1.0.0"),
    ("prometheus", "0.14.0"),
    ("protobuf", "3.7.2"),
    ("quinn-proto", "0.11.15"),
    ("rand", "0.8.6"),
    ("ring", "0.17.12"),
    ("rustls", "0.23.45"),
    ("rustls-webpki", "0.103.13"),
    ("tokio", "1.44.2"),
    ("tracing-subscriber", "0.3.20"),
];

/// Single releases that were withdrawn, for a fault or for malice.
const WITHDRAWN: [(&str, &str); 2] = [("arrayref", "0.3.10"), ("tokio", "1.54.0")];

/// In no version, not even for a build: unsound, abandoned, an impostor, or (governor) a limiter that lets nearly
/// twice the limit through.
const BANNED: [&str; 17] = [
    "atty",
    "backoff",
    "daemonize",
    "governor",
    "instant",
    "libyml",
    "proc-macro-error",
    "proc-macro1",
    "rustls-pemfile",
    "serde_yml",
    "time-sync",
    "time_calibrator",
    "time_calibrators",
    "tracing-check",
    "tracing_checks",
    "tracings",
    "yaml-rust",
];

/// May stand in the lock as an option of something, but is not compiled: HTTP/2 may resend by itself, HTTP/3 and
/// `ring` bring a second TLS, and nobody sends us protobuf.
const NOT_COMPILED: [&str; 6] = ["h2", "h3", "protobuf", "quinn", "quinn-proto", "ring"];

/// Where every crate comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What may be linked into a binary under Apache-2.0 and handed on.
const LICENCES: [&str; 9] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// One entry of Cargo.lock.
#[derive(Debug, Default, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
}

fn packages(lock: &str) -> Vec<Package> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|quoted| quoted.trim_matches('"').to_owned())
    };
    let package = |block: &str| Package {
        name: value(block, "name").unwrap(),
        version: value(block, "version").unwrap(),
        source: value(block, "source"),
    };
    lock.split("[[package]]\n").skip(1).map(package).collect()
}

/// The three numbers of a version. What is before a release is below it.
fn ordered(version: &str) -> (Vec<u64>, bool) {
    let version = version.split('+').next().unwrap();
    let (numbers, release) = version.split_once('-').map_or((version, true), |(numbers, _)| (numbers, false));
    (numbers.split('.').map(|number| number.parse().unwrap()).collect(), release)
}

/// Everything that is wrong with a lock, in words.
fn problems(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for Package { name, version, source } in packages {
        let is = |other: &str| other == name;
        if BANNED.iter().any(|banned| is(banned)) {
            found.push(format!("{name} is banned"));
        }
        if WITHDRAWN.contains(&(name, version)) {
            found.push(format!("{name} {version} was withdrawn"));
        }
        if let Some((_, floor)) = FLOORS.iter().find(|(floored, _)| is(floored))
            && ordered(version) < ordered(floor)
        {
            found.push(format!("{name} {version} is below {floor}"));
        }
        match source.as_deref() {
            Some(REGISTRY) => {}
            None if is(env!("CARGO_PKG_NAME")) => {}
            None => found.push(format!("{name} comes from a path outside this project")),
            Some(_) => found.push(format!("{name} comes from elsewhere than the one registry")),
        }
    }
    found
}

/// True if one of the choices of an SPDX expression needs allowed licences only.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (verdict, rest) = any(&words);
    verdict && rest.is_empty()
}

fn any<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    let (mut verdict, mut rest) = every(words);
    while let Some((&"OR", more)) = rest.split_first() {
        let (other, after) = every(more);
        (verdict, rest) = (verdict | other, after);
    }
    (verdict, rest)
}

fn every<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    let (mut verdict, mut rest) = licence(words);
    while let Some((&"AND", more)) = rest.split_first() {
        let (other, after) = licence(more);
        (verdict, rest) = (verdict & other, after);
    }
    (verdict, rest)
}

fn licence<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    match words {
        [] => (false, words),
        ["(", inner @ ..] => match any(inner) {
            (verdict, [")", rest @ ..]) => (verdict, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => (LICENCES.contains(&&*format!("{name} WITH {exception}")), rest),
        [name, rest @ ..] => (LICENCES.contains(name), rest),
    }
}

/// Name and licence of every crate on the given kinds of edges, as compiled for this machine.
fn tree(edges: &str) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--no-dedupe", "--prefix", "none", "--format", "{p}\t{l}"])
        .args(["--edges", edges, "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(package, licence)| (package.split(' ').next().unwrap().to_owned(), licence.trim().to_owned()))
        .collect();
    assert!(crates.len() > 100, "this is not the tree of this project: {text}");
    crates
}

#[test]
fn the_lock_holds_nothing_that_is_known_to_be_bad() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let packages = packages(&lock);
    assert!(packages.len() > 100, "this is not the lock of this project");
    assert_eq!(problems(&packages), [""; 0]);
}

#[test]
fn one_http_version_one_tls_and_no_protobuf_are_compiled() {
    let compiled: BTreeSet<_> = tree("normal,build").into_iter().map(|(name, _)| name).collect();
    let unwanted: Vec<_> = NOT_COMPILED.iter().filter(|name| compiled.contains(**name)).collect();
    assert!(unwanted.is_empty(), "compiled after all: {unwanted:?}");
}

#[test]
fn everything_that_is_shipped_may_be_shipped() {
    let refused: Vec<_> = tree("normal").into_iter().filter(|(_, licence)| !allowed(licence)).collect();
    assert!(refused.is_empty(), "not on the list: {refused:?}");
}

#[test]
fn the_allocator_is_built_as_it_is_to_be() {
    let settings = include_str!("../.cargo/config.toml");
    let (_, settings) = settings.split_once("JEMALLOC_SYS_WITH_MALLOC_CONF = \"").unwrap();
    let (settings, _) = settings.split_once('"').unwrap();
    let program = std::fs::read(env!("CARGO_BIN_EXE_balance-exporter")).unwrap();
    let has_settings = program.windows(settings.len()).any(|bytes| bytes == settings.as_bytes());
    assert!(has_settings, "the program does not say {settings:?}: build it from where .cargo/config.toml is found");
}

#[test]
fn each_kind_of_bad_lock_is_told() {
    let entry = |name: &str, version: &str, source: &str| {
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{source}dependencies = [\n \"x\",\n]\n\n")
    };
    let registry = format!("source = \"{REGISTRY}\"\nchecksum = \"00\"\n");
    let elsewhere = "source = \"git+https://example.org/x\"\n";
    for (name, version, source, expected) in [
        ("rustls", "0.23.44", &*registry, &["rustls 0.23.44 is below 0.23.45"][..]),
        ("rustls", "0.23.45-rc.1", &registry, &["rustls 0.23.45-rc.1 is below 0.23.45"]),
        ("rustls", "0.23.45", &registry, &[]),
        ("rustls", "0.100.0+build", &registry, &[]),
        ("tokio", "1.54.0", &registry, &["tokio 1.54.0 was withdrawn"]),
        ("serde_yml", "9.0.0", &registry, &["serde_yml is banned"]),
        ("serde", "1.0.0", elsewhere, &["serde comes from elsewhere than the one registry"]),
        ("serde", "1.0.0", "", &["serde comes from a path outside this project"]),
        ("balance-exporter", "0.1.0", "", &[]),
    ] {
        assert_eq!(problems(&packages(&entry(name, version, source))), expected, "{name} {version}");
    }
}

#[test]
fn licences_are_read_as_they_are_written() {
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("(MIT OR GPL-2.0-only) AND Unicode-3.0", true),
        ("(MIT OR GPL-2.0-only) AND GPL-2.0-only", false),
        ("MIT OR GPL-2.0-only AND GPL-3.0-only", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0-only WITH LLVM-exception", false),
        ("(MIT", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(allowed(expression), expected, "{expression}");
    }
}
