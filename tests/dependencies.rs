//! What the project stands on: no version with a known hole, no abandoned or impostor crate, one registry, and
//! licences that allow it to be shipped. `deny.toml` says the same to cargo-deny.

use std::collections::BTreeSet;
use std::process::Command;

/// Versions below these have known holes or lack what is relied upon.
const FLOORS: [(&str, &str); 22] = [
    ("anyhow", "1.0.103"),
    ("aws-lc-sys", "0.39.0"),
    ("bcrypt", "0.19.2"),
    ("bytes", "1.11.1"),
    ("h2", "0.4.16"),
    ("hickory-proto", "0.26.1"),
    ("hickory-resolver", "0.26.1"),
    ("humantime", "2.4.0"),
    ("hyper", "1.0.0"),
    ("idna", "1.0.0"),
    ("prometheus", "0.14.0"),
    ("prometheus-client", "0.25.2"),
    ("protobuf", "3.7.2"),
    ("quinn-proto", "0.11.15"),
    ("redis", "1.0.0"),
    ("ring", "0.17.12"),
    ("rustls", "0.23.45"),
    ("rustls-webpki", "0.103.13"),
    ("serde_yaml", "0.8.4"),
    ("tokio", "1.44.2"),
    ("tracing-subscriber", "0.3.20"),
    ("yaml_serde", "0.10.0"),
];

/// Single versions that must not be used, with the reason.
const BROKEN: [(&str, &str, &str); 2] =
    [("arrayref", "0.3.10", "RUSTSEC-2026-0260: malicious"), ("tokio", "1.54.0", "withdrawn for a regression")];

/// Never, in no version, not even for a build: abandoned, unsound, or an impostor.
const BANNED: [&str; 24] = [
    "atty",
    "backoff",
    "daemonize",
    "governor",
    "instant",
    "libyml",
    "native-tls",
    "openssl",
    "openssl-sys",
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
    "unsafe-libyaml",
    "wasm-time-sync",
    "yaml-rust",
    "yaml-rust2",
    "faster_log",
];

/// May be in the lock as something optional, but is not compiled: HTTP/2 resends by itself, HTTP/3 comes with its
/// own TLS, and protobuf parses what nobody sends us.
const NOT_COMPILED: [&str; 5] = ["h2", "protobuf", "quinn", "quinn-proto", "ring"];
