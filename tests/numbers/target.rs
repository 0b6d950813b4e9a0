//! What is fuzzed: bytes in, and a panic if a number came out that a second judge does not find in them. The same
//! functions are run with a mutator in the ordinary tests, and under a fuzzer in `fuzz/`.

use std::sync::LazyLock;
use std::time::Duration;

use balance_exporter::account::Balance;
use balance_exporter::config::{self, Config};
use balance_exporter::providers::{LoginExchange, LoginStep, Provider, Reading};
use balance_exporter::web;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use sha2::Sha256;

use crate::bench::{BRIDGE, Bench, DIALOG, PAYBY, SMILEPAYZ, at, read, reply, secrets};
use crate::judge::{self, Figures};
pub(crate) use crate::state::state;

/// A target: whether its bytes were accepted.
pub(crate) type Target = fn(&[u8]) -> bool;

/// All of them.
pub(crate) const TARGETS: [(&str, Target); 10] = [
    ("dialog", dialog),
    ("payby", payby),
    ("bridge", bridge),
    ("smilepayz", smilepayz),
    ("token", token),
    ("retry_after", retry_after),
    ("config", config),
    ("labels", labels),
    ("web_config", web_config),
    ("state", state),
];

/// The time of the recorded exchanges of Smilepayz.
fn noon() -> Timestamp {
    "2020-12-18T20:06:00Z".parse().unwrap()
}

fn bench(provider: &str, account: &str) -> Bench {
    Bench::new(provider, &[account.to_owned()])
}

/// A recorded reply, as far as it is one: start line, headers, an empty line, the body.
fn message(data: &[u8]) -> Option<Response<Bytes>> {
    let end = data.windows(2).position(|pair| pair == b"\n\n")?;
    let body = &data[end + 2..];
    let mut reply = reply(body.strip_suffix(b"\n").unwrap_or(body).to_vec());
    let mut lines = data[..end].split(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?).ok()?.split(' ').nth(1)?.parse().ok()?;
    *reply.status_mut() = StatusCode::from_u16(status).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]);
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        reply.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(reply)
}

fn units(reading: &Reading) -> Figures {
    let mut all = Figures::new();
    for Balance { wallet, amount, available, frozen, credit_limit, .. } in reading.balances() {
        let figures =
            [("amount", amount), ("available", available), ("frozen", frozen), ("credit limit", credit_limit)];
        for (name, figure) in figures {
            if let Some(figure) = figure {
                all.insert((wallet.to_string(), name), judge::units(&figure.to_string(), 16).unwrap());
            }
        }
    }
    all
}

/// A number comes out only if the judge finds the same.
fn agree(
    account: &dyn Provider,
    at: Timestamp,
    reply: &Response<Bytes>,
    judge: impl FnOnce() -> Option<Figures>,
) -> bool {
    let Ok(reading) = read(account, at, None, None, reply) else { return false };
    let body = String::from_utf8_lossy(reply.body());
    assert_eq!(judge().as_ref(), Some(&units(&reading)), "{:?}\n{body}", reply.headers());
    true
}

pub(crate) fn dialog(data: &[u8]) -> bool {
    static BENCH: LazyLock<Bench> = LazyLock::new(|| bench(DIALOG, "msisdn: '94770000000'"));
    let Some(reply) = message(data) else { return false };
    agree(BENCH.account(0), noon(), &reply, || judge::dialog(&reply, "94770000000"))
}

pub(crate) fn bridge(data: &[u8]) -> bool {
    static BENCH: LazyLock<Bench> = LazyLock::new(|| bench(BRIDGE, "service_id: 123, currency: GHS"));
    let Some(reply) = message(data) else { return false };
    agree(BENCH.account(0), noon(), &reply, || judge::bridge(&reply))
}

pub(crate) fn smilepayz(data: &[u8]) -> bool {
    const NUMBER: &str = "21220030202403071031";
    static BENCH: LazyLock<Bench> =
        LazyLock::new(|| bench(SMILEPAYZ, &format!("account_no: '{NUMBER}', currency: PEN, divisor: 100")));
    let Some(reply) = message(data) else { return false };
    agree(BENCH.account(0), noon(), &reply, || judge::smilepayz(&reply, noon(), NUMBER, "PEN"))
}

/// A signature takes long, so that the reply is signed anew only if its last byte asks for it.
pub(crate) fn payby(data: &[u8]) -> bool {
    static BENCH: LazyLock<Bench> = LazyLock::new(|| bench(PAYBY, "currency: AED"));
    static KEY: LazyLock<SigningKey<Sha256>> = LazyLock::new(|| {
        SigningKey::new(rsa::RsaPrivateKey::from_pkcs8_pem(include_str!("../vectors/key.pkcs8.pem")).unwrap())
    });
    let (data, anew) = data.strip_suffix(SIGN).map_or((data, false), |data| (data, true));
    let Some(mut reply) = message(data) else { return false };
    if anew {
        let signature = BASE64_STANDARD.encode(KEY.sign(reply.body()).to_bytes());
        reply.headers_mut().insert("sign", signature.parse().unwrap());
    }
    agree(BENCH.account(0), noon(), &reply, || judge::payby(&reply, "AED"))
}

/// Behind a reply of PayBy: sign it.
pub(crate) const SIGN: &[u8] = b"\n\0";

pub(crate) fn token(data: &[u8]) -> bool {
    static BENCH: LazyLock<Bench> = LazyLock::new(|| {
        let login = "login: { grant: client_credentials, client_id: key, client_secret: { env: PASSWORD } }";
        bench(&format!("api: dialog, {login}"), "msisdn: '94770000000'")
    });
    let Some(reply) = message(data) else { return false };
    let login = BENCH.connection.login.as_ref().unwrap();
    let exchange = LoginExchange { at: noon(), renew: None, replies: std::slice::from_ref(&reply) };
    let Ok(LoginStep::Done(session)) = login.step(&exchange) else { return false };
    let refresh = session.refresh.as_ref().map(|refresh| refresh.expose().to_owned());
    let brought = (session.token.expose().to_owned(), refresh, session.lifetime);
    assert_eq!(judge::token(&reply), Some(brought), "{}", String::from_utf8_lossy(reply.body()));
    true
}

/// What is written as it should be is understood; whatever else is, nobody waits for more than an hour.
pub(crate) fn retry_after(data: &[u8]) -> bool {
    static BENCH: LazyLock<Bench> = LazyLock::new(|| bench(BRIDGE, "service_id: 123, currency: GHS"));
    let Ok(value) = HeaderValue::from_bytes(data) else { return false };
    let mut reply = reply(Bytes::new());
    *reply.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    reply.headers_mut().insert("retry-after", value.clone());
    let wait = read(BENCH.account(0), noon(), None, None, &reply).unwrap_err().retry_after;
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(3_600)), "{value:?}: {wait:?}");
    let judged = value.to_str().ok().and_then(|text| judge::retry_after(text, noon()));
    let digits = data.iter().all(u8::is_ascii_digit);
    assert!(
        wait == judged || !digits && (wait.is_none() || judged.is_none()),
        "{value:?}: {wait:?}, and not {judged:?}"
    );
    wait.is_some()
}

/// A configuration that is accepted keeps its own rules; one that is refused says why.
pub(crate) fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(problems) => {
            assert!(!problems.render("exporter.yaml", text).is_empty());
            return false;
        }
    };
    let accounts: Vec<_> = config.providers.iter().flat_map(|provider| &provider.accounts).collect();
    for (position, account) in accounts.iter().enumerate() {
        assert!(accounts[..position].iter().all(|other| other.id.account != account.id.account));
        let polls = if account.hold_jump_over.is_some() { 2 } else { 1 };
        assert!(account.stale_after >= account.interval * polls + account.timeout);
        assert!(account.interval >= Duration::from_secs(5) && account.timeout >= Duration::from_secs(1));
        assert!(!account.wallets.is_empty());
        assert!(account.hold_jump_over.is_none_or(|factor| factor > balance_exporter::money::Amount::from(1)));
        for (name, value) in &account.labels {
            assert!(!name.is_empty() && !name.starts_with("__") && !value.is_empty() && !value.contains('\n'));
        }
    }
    true
}

/// A web configuration that is accepted has no key but those of the format, and no user without a hash.
pub(crate) fn web_config(data: &[u8]) -> bool {
    const KEYS: [&str; 4] = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if let Err(why) = web::Guard::examine(text) {
        assert!(!why.is_empty());
        return false;
    }
    let tree: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    for (key, _) in tree.as_mapping().into_iter().flatten() {
        assert!(KEYS.contains(&key.as_str().unwrap()), "{text}");
    }
    for (_, hash) in tree["basic_auth_users"].as_mapping().into_iter().flatten() {
        let hash = hash.as_str().unwrap();
        assert!(hash.len() == 60 && hash.is_ascii() && hash.starts_with("$2"), "{text}");
    }
    true
}

/// The most labels that an account can have.
pub(crate) const MOST_LABELS: usize = 16;

/// Lines of text, each a label's value: those that are accepted come back from the scrape as they went in.
pub(crate) fn labels(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let quoted: Vec<_> =
        text.split('\n').take(MOST_LABELS).map(|value| serde_json::to_string(value).unwrap()).collect();
    let keys: Vec<_> = quoted.iter().enumerate().map(|(index, value)| format!("l{index}: {value}")).collect();
    let account = format!("service_id: 1, currency: GHS, labels: {{ {} }}", keys.join(", "));
    let entry = format!("providers: [{{ name: p, {BRIDGE}, accounts: [{{ name: a0, {account} }}] }}]");
    // a value can be refused, and then it is on no series
    if config::load_text("test", &entry, &secrets()).is_err() {
        return false;
    }
    let bench = Bench::new(BRIDGE, &[account]);
    let seen = bench.scrape(at(0));
    let fresh = seen.samples("balance_fresh").next().unwrap();
    for (index, value) in text.split('\n').take(MOST_LABELS).enumerate() {
        assert_eq!(fresh.label(&format!("l{index}")), Some(value));
    }
    true
}
