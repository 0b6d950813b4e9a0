//! The Smilepayz gateway: a signature over time, secret and compact body; amounts as texts.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;

use super::account::{Figures, Listing, Scale, Shape};
use super::call::{Call, Granted, Refusal, Verdict, json, with};
use super::world::World;
use crate::clock::Now;
use crate::money::Amount;

pub(super) const PATH: &str = "/v2.0/inquiry-balance";
pub(super) const MERCHANT_ID: &str = "sandbox-42001";
pub(super) const MERCHANT_SECRET: &str = "sandbox-merchant-secret-5b2e9c70";

/// How far a request's time may be off.
const MOST_SKEW: Duration = Duration::from_secs(5 * 60);
const FORM: &str = "%Y-%m-%dT%H:%M:%S%:z";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inquiry {
    account_no: String,
    balance_types: Vec<String>,
}

/// POST /v2.0/inquiry-balance.
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Verdict {
    let refuse = |status, code: &str, message: &str, why| {
        let body = format!(r#"{{"code":"{code}","message":"{message}"}}"#);
        Err(Refusal::new(why, stamped(json(status, body), call.now)))
    };
    let bad = |why| refuse(StatusCode::BAD_REQUEST, "400", "Invalid request", why);
    let unauthorized = |why| refuse(StatusCode::UNAUTHORIZED, "401", "Unauthorized", why);

    if call.parts.method != Method::POST || call.parts.uri.query().is_some() {
        return bad("not a plain POST");
    }
    if !call.is("application/json") {
        return bad("Content-Type");
    }
    if call.header("x-partner-id") != Some(MERCHANT_ID) {
        return unauthorized("X-PARTNER-ID");
    }
    let Some((stamp, theirs)) = call.header("x-timestamp").and_then(|text| Some((text, timestamp(text)?))) else {
        return bad("form of X-TIMESTAMP");
    };
    if call.skew(theirs) > MOST_SKEW {
        return refuse(StatusCode::BAD_REQUEST, "400", "Invalid timestamp", "X-TIMESTAMP");
    }
    if !is_compact(call.body) {
        return bad("body is not compact");
    }
    let text = [stamp.as_bytes(), MERCHANT_SECRET.as_bytes(), call.body].join(&b'|');
    if !world.keys.merchant.verifies(&text, call.header("x-signature").unwrap_or_default()) {
        return unauthorized("X-SIGNATURE");
    }
    let Some(inquiry) = call.json::<Inquiry>() else { return bad("body") };
    if inquiry.balance_types != ["BALANCE"] {
        return bad("balanceTypes");
    }
    let found = world.accounts.iter().enumerate().find_map(|(index, account)| match account.listing {
        Listing::Smilepayz { account_no, shape, scale } => {
            (account_no == inquiry.account_no).then_some((index, account_no, shape, scale))
        }
        Listing::Dialog { .. } | Listing::PayBy | Listing::Bridge { .. } => None,
    });
    let Some((index, account_no, shape, scale)) = found else {
        return refuse(StatusCode::OK, "14", "Account does not exist", "accountNo");
    };
    let figures = world.figures(index, call.now);
    let body = balance_body(account_no, shape, scale, &figures);
    Ok(Granted { account: Some(index), reply: stamped(json(StatusCode::OK, body), call.now) })
}

/// The answer over the limit.
pub(super) fn throttled(now: Now) -> Response<Bytes> {
    stamped(json(StatusCode::TOO_MANY_REQUESTS, r#"{"code":"429","message":"Too many requests"}"#), now)
}

fn balance_body(account_no: &str, shape: Shape, scale: Scale, figures: &[Figures]) -> String {
    let money = |amount: Option<Amount>, currency| {
        let value = scale.write(amount.unwrap_or(Amount::ZERO)).unwrap_or_default();
        format!(r#"{{"currency":"{currency}","value":"{value}"}}"#)
    };
    let within = match shape {
        Shape::Object => String::new(),
        Shape::Array => format!(r#""accountNo":"{account_no}","#),
    };
    let blocks: Vec<_> = figures
        .iter()
        .map(|figures| {
            let amount = money(figures.amount, figures.currency);
            let available = money(figures.available, figures.currency);
            format!(r#"{{{within}"balanceType":"BALANCE","amount":{amount},"availableBalance":{available}}}"#)
        })
        .collect();
    let infos = match shape {
        Shape::Object => blocks.concat(),
        Shape::Array => format!("[{}]", blocks.join(",")),
    };
    format!(
        r#"{{"code":"00","message":"SUCCESS","accountNo":"{account_no}","name":"Sandbox merchant","accountInfos":{infos}}}"#
    )
}

fn stamped(reply: Response<Bytes>, now: Now) -> Response<Bytes> {
    let text = strtime::format(FORM, &now.wall.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default();
    with(reply, "x-timestamp", &text)
}

/// `yyyy-MM-ddTHH:mm:ss±HH:mm` and nothing else.
fn timestamp(text: &str) -> Option<Timestamp> {
    let shape: Vec<u8> = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte }).collect();
    if shape != b"0000-00-00T00:00:00+00:00" && shape != b"0000-00-00T00:00:00-00:00" {
        return None;
    }
    strtime::parse(FORM, text).ok()?.to_timestamp().ok()
}

/// True if no white space stands outside the strings of a JSON text.
fn is_compact(body: &[u8]) -> bool {
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            byte if !in_string && byte.is_ascii_whitespace() => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
pub(super) mod tests {
    use http::Request;

    use super::*;
    use crate::sandbox::Api;
    use crate::sandbox::keys::tests::KEYS;
    use crate::sandbox::trial::{Trial, header, text};

    const NOON: &str = "2026-11-21T12:00:00+00:00";

    fn request(time: &str, body: &str) -> Request<String> {
        let signature = KEYS.merchant.sign(format!("{time}|{MERCHANT_SECRET}|{body}").as_bytes()).unwrap();
        let request = Request::post(PATH)
            .header("content-type", "application/json")
            .header("x-partner-id", MERCHANT_ID)
            .header("x-timestamp", time)
            .header("x-signature", signature);
        request.body(body.to_owned()).unwrap()
    }

    fn asking(account: &str) -> Request<String> {
        request(NOON, &format!(r#"{{"accountNo":"{account}","balanceTypes":["BALANCE"]}}"#))
    }

    pub(in crate::sandbox) fn good() -> Request<String> {
        asking("71220010000000000101")
    }

    #[test]
    fn correct_requests_get_the_region_s_own_form() {
        let mut trial = Trial::new();
        for (name, account, infos) in [
            (
                "pe-payout",
                "71220010000000000101",
                r#""accountInfos":{"balanceType":"BALANCE","amount":{"currency":"PEN","value":"2501.00"},"availableBalance":{"currency":"PEN","value":"1250.50"}}}"#,
            ),
            (
                "br-payout",
                "71320010000000000201",
                r#""accountInfos":{"balanceType":"BALANCE","amount":{"currency":"BRL","value":"125050"},"availableBalance":{"currency":"BRL","value":"125050"}}}"#,
            ),
            (
                "id-payout",
                "61020010000000000301",
                r#""accountInfos":[{"accountNo":"61020010000000000301","balanceType":"BALANCE","amount":{"currency":"IDR","value":"2501250.50"},"availableBalance":{"currency":"IDR","value":"1250.50"}}]}"#,
            ),
        ] {
            trial.control("PUT", &format!("/accounts/smilepayz/{name}"), r#"{"available":"1250.50"}"#);
            let reply = trial.send(asking(account));
            assert_eq!((reply.status().as_u16(), &reply.headers()["x-timestamp"]), (200, &NOON.parse().unwrap()));
            assert!(text(&reply).contains(r#"{"code":"00","#) && text(&reply).ends_with(infos), "{}", text(&reply));
        }
    }

    #[test]
    fn each_broken_rule_has_its_answer() {
        let mut trial = Trial::new();
        let body = r#"{"accountNo":"71220010000000000101","balanceTypes":["BALANCE"]}"#;
        let tampered = {
            let (parts, body) = good().into_parts();
            Request::from_parts(parts, body.replace("0101", "0102"))
        };
        for (why, request, status, code) in [
            ("Content-Type", header(good(), "content-type", ""), 400, "400"),
            ("X-PARTNER-ID", header(good(), "x-partner-id", ""), 401, "401"),
            ("X-PARTNER-ID", header(good(), "x-partner-id", "42001"), 401, "401"),
            ("form of X-TIMESTAMP", request("2026-11-21T12:00:00Z", body), 400, "400"),
            ("form of X-TIMESTAMP", header(good(), "x-timestamp", ""), 400, "400"),
            ("X-TIMESTAMP", request("2026-11-21T11:54:59+00:00", body), 400, "400"),
            ("X-TIMESTAMP", request("2026-11-21T12:05:01+00:00", body), 400, "400"),
            ("X-TIMESTAMP", request("2026-11-21T12:00:00+07:00", body), 400, "400"),
            ("body is not compact", request(NOON, &body.replace(',', ", ")), 400, "400"),
            ("X-SIGNATURE", header(good(), "x-signature", ""), 401, "401"),
            ("X-SIGNATURE", header(good(), "x-timestamp", "2026-11-21T12:00:01+00:00"), 401, "401"),
            ("X-SIGNATURE", tampered, 401, "401"),
            ("body", request(NOON, r#"{"accountNo":71220010000000000101,"balanceTypes":["BALANCE"]}"#), 400, "400"),
            ("balanceTypes", request(NOON, &body.replace("BALANCE", "balance")), 400, "400"),
            ("accountNo", asking("1"), 200, "14"),
        ] {
            let before = trial.world.desk(Api::Smilepayz).violations.get(why).copied().unwrap_or(0);
            let reply = trial.send(request);
            assert_eq!(reply.status(), status, "{why}: {}", text(&reply));
            assert!(text(&reply).starts_with(&format!(r#"{{"code":"{code}","message":"#)), "{}", text(&reply));
            assert_eq!(trial.world.desk(Api::Smilepayz).violations.get(why), Some(&(before + 1)), "{why}");
        }
        for time in ["2026-11-21T11:55:00+00:00", "2026-11-21T19:05:00+07:00"] {
            assert_eq!(trial.said(request(time, body)).0, 200);
        }
    }

    #[test]
    fn timestamps_have_one_form() {
        let expected = "2020-12-18T20:06:00Z".parse().unwrap();
        for text in ["2020-12-18T15:06:00-05:00", "2020-12-18T20:06:00+00:00", "2020-12-19T03:06:00+07:00"] {
            assert_eq!(timestamp(text), Some(expected), "{text}");
        }
        for text in [
            "2020-12-18T20:06:00Z",
            "2020-12-18T20:06:00.000+00:00",
            "2020-12-18T20:06:00+0000",
            "2020-12-18 20:06:00+00:00",
            "2020-13-18T20:06:00+00:00",
            "2020-12-18T20:06+00:00",
            "",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn compact_means_no_space_outside_strings() {
        for (body, compact) in [
            (r#"{"a":"b c","d":[1]}"#, true),
            (r#"{"a":"\" "}"#, true),
            (r#"{"a": 1}"#, false),
            ("{\"a\":1}\n", false),
            (r#"{"a":"\\" ,"b":1}"#, false),
        ] {
            assert_eq!(is_compact(body.as_bytes()), compact, "{body}");
        }
    }
}
