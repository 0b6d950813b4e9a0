//! Replies that were served before, and replies of somebody else.

use std::collections::BTreeMap;
use std::time::Duration;

use balance_exporter::config::{self, SecretReader};
use balance_exporter::failure::ErrorReason;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Response;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use sha2::Sha256;

use crate::bench::{Bench, PAYBY, SMILEPAYZ, at, read, reply};

fn smilepayz_reply(made: u64, value: u64) -> Response<Bytes> {
    let money = format!(r#"{{"currency":"PEN","value":"{value}"}}"#);
    let mut reply = reply(format!(
        r#"{{"code":"00","accountInfos":{{"balanceType":"BALANCE","amount":{money},"availableBalance":{money}}}}}"#
    ));
    reply.headers_mut().insert("x-timestamp", at(made).wall.to_string().parse().unwrap());
    reply
}

#[test]
fn smilepayz_replies_from_before_the_last_one_are_refused() {
    let bench = Bench::new(SMILEPAYZ, &["account_no: '1', currency: PEN".to_owned()]);
    let replies: Vec<_> = (0..100).map(|nth| smilepayz_reply(nth * 60, nth)).collect();
    for (nth, reply) in (0..100).zip(&replies) {
        bench.file(0, reply, at(nth * 60));
    }
    let shown = |seconds| bench.scrape(at(seconds)).value("balance_available_amount", &[]).map(str::to_owned);
    assert_eq!(shown(99 * 60), Some("99".to_owned()));
    // each of those is within ten minutes at some time, and none is newer than what is known
    for round in 0..11 {
        for reply in &replies[..99] {
            bench.file(0, reply, at(99 * 60 + round * 10));
        }
    }
    let status = bench.status(0);
    assert_eq!((status.failures(ErrorReason::Integrity), status.repeated_replies), (99 * 11, 0));
    assert_eq!(shown(99 * 60 + 100), Some("99".to_owned()));
    // the last one again is no older, but it is counted
    bench.file(0, &replies[99], at(99 * 60 + 120));
    assert_eq!(bench.scrape(at(99 * 60 + 120)).value("balance_repeated_replies_total", &[]), Some("1"));
    // what is too old without any reply before it
    let old = read(bench.account(0), at(601).wall, None, None, &replies[0]).unwrap_err();
    assert_eq!(old.reason, ErrorReason::Integrity);
    assert!(read(bench.account(0), at(600).wall, None, None, &replies[0]).is_ok());
}

fn payby_reply(member: &str, trace_code: &str) -> Response<Bytes> {
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(include_str!("../vectors/key.pkcs8.pem")).unwrap();
    let mut reply = reply(format!(
        r#"{{"head":{{"applyStatus":"SUCCESS","code":"0","traceCode":{trace_code}}},"body":{{"memberId":"{member}","balanceList":[{{"availableBalance":{{"amount":1,"currency":"AED"}}}}]}}}}"#
    ));
    let signature = SigningKey::<Sha256>::new(key).sign(reply.body()).to_bytes();
    reply.headers_mut().insert("sign", BASE64_STANDARD.encode(signature).parse().unwrap());
    reply
}

#[test]
fn payby_replies_with_the_same_trace_code_are_counted() {
    let bench = Bench::new(PAYBY, &["currency: AED".to_owned()]);
    for (second, trace_code, repeated) in [
        (0, r#""1""#, "0"),
        (1, r#""2""#, "0"),
        (2, r#""2""#, "1"),
        (3, r#""2""#, "2"),
        (4, r#""3""#, "2"),
        // none tells nothing, and the last one is remembered
        (5, "null", "2"),
        (6, r#""""#, "2"),
        (7, r#""3""#, "3"),
        // another type is no reason to show nothing
        (8, "17", "3"),
        (9, "17", "4"),
    ] {
        bench.file(0, &payby_reply("5", trace_code), at(second));
        let seen = bench.scrape(at(second));
        assert_eq!(seen.value("balance_repeated_replies_total", &[]), Some(repeated), "{second}");
        assert_eq!(seen.value("balance_poll_success", &[]), Some("1"), "{second}");
    }
}

#[test]
fn a_pinned_identity_alarms_and_does_not_adapt() {
    let bench = Bench::new(PAYBY, &["currency: AED".to_owned(), "currency: AED, member_id: '6'".to_owned()]);
    bench.file(0, &payby_reply("5", r#""1""#), at(0));
    for second in 1..=20 {
        bench.file(0, &payby_reply("6", r#""2""#), at(second));
        bench.file(1, &payby_reply("5", r#""2""#), at(second));
    }
    for (index, identity) in [(0, Some("5")), (1, None)] {
        let status = bench.status(index);
        assert_eq!(status.failures(ErrorReason::Mismatch), 20);
        assert_eq!(status.identity.as_deref(), identity);
    }
    let seen = bench.scrape(at(300));
    assert_eq!(seen.value("balance_available_amount", &[("account", "a0")]), Some("1"), "the last good one");
    assert_eq!(bench.scrape(at(301)).samples("balance_available_amount").count(), 0, "not refreshed by others");
    assert!(at(300).age_of(&at(0)) == Duration::from_secs(300));
    bench.file(0, &payby_reply("5", r#""3""#), at(400));
    assert!(bench.status(0).poll_success, "and the right one is taken again");
}

#[test]
fn our_own_public_key_is_not_the_platforms() {
    let load = |ours: &str, theirs: &str| {
        let vector = |name| std::fs::read_to_string(format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR")));
        let pairs = [("OURS", ours), ("THEIRS", theirs)];
        let pairs = pairs.map(|(variable, name)| (variable.to_owned(), vector(name).unwrap()));
        let entry = format!("providers: [{{ name: p, {PAYBY}, accounts: [{{ name: a, currency: AED }}] }}]");
        let secrets = SecretReader::with_environment(BTreeMap::from(pairs));
        config::load_text("f", &entry, &secrets).map(drop).map_err(|refused| refused.to_string())
    };
    assert_eq!(load("merchant.pkcs8.pem", "key.pub.pem"), Ok(()));
    // in whatever encoding either is
    for ours in ["key.pkcs8.pem", "key.pkcs1.pem", "key.pkcs8.b64"] {
        for theirs in ["key.pub.pem", "key.pub.b64"] {
            let refused = load(ours, theirs).unwrap_err();
            assert!(refused.contains("platform_public_key: this is the public half of `private_key`"), "{refused}");
        }
    }
}
