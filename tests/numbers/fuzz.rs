//! Runs each fuzz target over a hundred thousand mutations of what was recorded. `FUZZ_SEED=17` makes other ones, and
//! the seed is printed with each failure.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use balance_exporter::providers::recorded;

use crate::json::{self, Json};
use crate::mutator::Mutator;
use crate::state;
use crate::target::{self, MOST_LABELS, SIGN, TARGETS};

const INPUTS: usize = 100_000;
/// One input in so many is signed anew: a signature takes a thousand times as long as the rest.
const SIGNED: usize = 100;
/// No input takes longer, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(5);

/// The recorded replies of an API, each once.
fn replies(api: &str) -> Vec<Vec<u8>> {
    let numbered = |case| (1..=9).map(move |number| recorded::file(api, case, &format!("reply-{number}.http")));
    let all: BTreeSet<_> = recorded::cases(api).into_iter().flat_map(numbered).flatten().map(<[u8]>::to_vec).collect();
    assert!(all.len() > 20, "{api}");
    // most are refused for their status, which is not what is to be found out
    let good = all.iter().filter(|reply| reply.starts_with(b"HTTP/1.1 200 ")).cloned();
    let success = recorded::file(api, "success", "reply-1.http").unwrap().to_vec();
    good.chain(all.iter().cloned()).chain(vec![success; all.len() / 2]).collect()
}

#[expect(clippy::disallowed_methods, reason = "how long an input takes, and what whoever runs the tests asks for")]
fn run(name: &str, seeds: &[Vec<u8>], inputs: usize, change: impl Fn(usize, &mut Vec<u8>)) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let seed = std::env::var("FUZZ_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    let mut mutator = Mutator { random: fastrand::Rng::with_seed(seed), seeds };
    let (mut accepted, mut longest) = (0, Duration::ZERO);
    let begun = Instant::now();
    for number in 0..inputs {
        let mut input = mutator.next();
        change(number, &mut input);
        let before = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(was_accepted) => accepted += usize::from(was_accepted),
            Err(panic) => {
                eprintln!("FUZZ_SEED={seed} {name}: input {number}: {:?}", String::from_utf8_lossy(&input));
                resume_unwind(panic)
            }
        }
        longest = longest.max(before.elapsed());
        assert!(longest < LONGEST, "FUZZ_SEED={seed} {name}: input {number} took {longest:?}");
    }
    eprintln!("FUZZ_SEED={seed} {name}: {inputs} inputs, {accepted} accepted, in {:?}", begun.elapsed());
    assert!(accepted > inputs / 1_000, "FUZZ_SEED={seed} {name}: only {accepted} were accepted, which tests nothing");
}

fn as_it_is(_: usize, _: &mut Vec<u8>) {}

#[test]
fn dialog() {
    run("dialog", &replies("dialog"), INPUTS, as_it_is);
}

#[test]
fn bridge() {
    run("bridge", &replies("bridge"), INPUTS, as_it_is);
}

#[test]
fn smilepayz() {
    run("smilepayz", &replies("smilepayz"), INPUTS, as_it_is);
}

#[test]
fn payby() {
    run("payby", &replies("payby"), INPUTS, |number, input| {
        if number % SIGNED == 0 {
            input.extend(SIGN);
        }
    });
}

#[test]
fn token() {
    let tells_of_a_token = |reply: &Vec<u8>| reply.windows(12).any(|part| part == b"access_token");
    let seeds: Vec<_> = replies("dialog").into_iter().filter(tells_of_a_token).collect();
    run("token", &seeds, INPUTS, as_it_is);
}

#[test]
fn retry_after() {
    let seeds = [
        "30",
        "0",
        "3600",
        "9999999999",
        "-5",
        "soon",
        "Fri, 18 Dec 2020 20:06:30 GMT",
        "Fri, 18 Dec 2020 21:05:00 GMT",
    ];
    run("retry_after", &seeds.map(|text| text.as_bytes().to_vec()), INPUTS, as_it_is);
}

#[test]
fn config() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut seeds: Vec<_> = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let good = "providers:\n  - name: p\n    api: bridge\n    username: u\n    password: { env: P }\n    accounts:\n      - { name: a, service_id: 1, currency: GHS, interval: 1m, hold_jump_over: 10, labels: { team: x }, thresholds: { payout: { warning: 5, critical: 1.5 } } }\n";
    seeds.extend(vec![good.as_bytes().to_vec(); seeds.len()]);
    run("config", &seeds, INPUTS, as_it_is);
}

#[test]
fn web_config() {
    let hash = "$2y$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE";
    let seeds = [
        "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [a.example, 10.0.0.1]\n  min_version: TLS12\n  max_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  curve_preferences: [X25519]\n".to_owned(),
        "http_server_config: { http2: true, headers: { X-Frame-Options: deny, X-Content-Type-Options: nosniff } }\n".to_owned(),
        format!("basic_auth_users:\n  alice: {hash}\n  bob: {hash}\n"),
        "rate_limit: { interval: 1s, burst: 20 }\n".to_owned(),
        "{}\n".to_owned(),
    ];
    run("web_config", &seeds.map(String::into_bytes), INPUTS, as_it_is);
}

#[test]
fn state() {
    run("state", &state::seeds(), INPUTS, |number, input| {
        if number % 2 == 0 {
            input.extend(state::SUM);
        }
    });
}

#[test]
fn labels() {
    let seeds = [
        "plain",
        "say \"hi\"",
        "back\\slash\\n",
        "درهم ₹ 💶",
        "a,b=\"c\"} 1",
        "\u{202e}rtl",
        "{}\n[]\n#\n%",
        "\u{1b}[0m",
    ];
    let seeds: Vec<_> = seeds.iter().map(|text| [*text; MOST_LABELS].join("\n").into_bytes()).collect();
    // each input is as many values as an account has labels
    run("labels", &seeds, INPUTS.div_ceil(MOST_LABELS), as_it_is);
}

#[test]
fn the_second_judge_refuses_what_must_be_refused() {
    let field = |text: &str| json::read(text.as_bytes()).and_then(|json| json.once("a")?.number().map(str::to_owned));
    assert_eq!(field(r#" {"b":[1,{}],"\u0061":-1.50e3} "#).as_deref(), Some("-1.50e3"));
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1}}"#,
        r#"{"a":1}{}"#,
        r#"{"a":1,}"#,
        "{'a':1}",
        r#"{"a":NaN}"#,
        r#"{"a":null}"#,
        r#"{"a":1"#,
        "",
        "1",
        "[1]",
        "{\"a\":1,\"\n\":2}",
        "\u{feff}{\"a\":1}",
    ] {
        assert_eq!(field(text), None, "{text}");
    }
    let deep = format!(r#"{{"b":{}{},"a":1}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(field(&deep).as_deref(), Some("1"));
    assert!(matches!(json::read(br#""\ud83d\ude00""#), Some(Json::Text(Some(text))) if text == "\u{1f600}"));
    assert!(matches!(json::read(br#""\ud83d""#), Some(Json::Text(None))));
    let success = recorded::file("bridge", "success", "reply-1.http").unwrap();
    assert!(target::bridge(success));
}
