//! The Bridge gateway: basic authentication, three wallets in one reply, codes that go with statuses.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::account::Listing;
use super::call::{Call, Granted, Refusal, Verdict, json};
use super::world::World;
use crate::money::Amount;

pub(super) const PATH: &str = "/get_account_balance";
pub(super) const USERNAME: &str = "sandbox-bridge";
pub(super) const PASSWORD: &str = "sandbox:bridge=password";

/// How far a request's time may be off. The provider documents no bound; this one is ours.
const MOST_SKEW: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inquiry {
    service_id: u64,
    request_time: String,
}

/// POST /`get_account_balance`.
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Verdict {
    let bad = |why| Err(refusal(StatusCode::BAD_REQUEST, "400", "Bad request", why));
    if call.parts.method != Method::POST || call.parts.uri.query().is_some() {
        return bad("not a plain POST");
    }
    let basic = call.basic();
    if basic.as_ref().map(|(user, password)| (user.as_str(), password.as_str())) != Some((USERNAME, PASSWORD)) {
        return Err(refusal(StatusCode::UNAUTHORIZED, "401", "Unauthorized", "user or password"));
    }
    if !call.is("application/json") {
        return bad("Content-Type");
    }
    let Some(inquiry) = call.json::<Inquiry>() else { return bad("body") };
    let Some(theirs) = request_time(&inquiry.request_time) else { return bad("form of request_time") };
    if call.skew(theirs) > MOST_SKEW {
        return bad("request_time");
    }
    let found = world.accounts.iter().position(|account| match account.listing {
        Listing::Bridge { service_id } => service_id == inquiry.service_id,
        Listing::Dialog { .. } | Listing::PayBy | Listing::Smilepayz { .. } => false,
    });
    let Some(index) = found else {
        let text = "You are not allowed to use this service";
        return Err(refusal(StatusCode::UNAUTHORIZED, "100", text, "service_id"));
    };
    let balances: Vec<_> = world
        .figures(index, call.now)
        .iter()
        .map(|figures| format!(r#""{}_balance":{}"#, figures.wallet, figures.available.unwrap_or(Amount::ZERO)))
        .collect();
    let body =
        format!(r#"{{"response_data":{{{}}},"response_message":"Success","response_code":"000"}}"#, balances.join(","));
    Ok(Granted { account: Some(index), reply: json(StatusCode::OK, body) })
}

/// The answer over the limit.
pub(super) fn throttled() -> Response<Bytes> {
    error(StatusCode::TOO_MANY_REQUESTS, "429", "Too many requests")
}

/// A time in UTC, to the minute, digits and all.
fn request_time(text: &str) -> Option<Timestamp> {
    const FORM: &str = "%Y-%m-%d %H:%M";
    let time = strtime::parse(FORM, text).ok()?.to_datetime().ok()?;
    let exact = strtime::format(FORM, time).is_ok_and(|again| again == text);
    time.to_zoned(TimeZone::UTC).ok().filter(|_| exact).map(|zoned| zoned.timestamp())
}

fn refusal(status: StatusCode, code: &str, text: &str, why: &'static str) -> Refusal {
    Refusal::new(why, error(status, code, text))
}

fn error(status: StatusCode, code: &str, text: &str) -> Response<Bytes> {
    json(status, format!(r#"{{"response_message":"{text}","response_code":"{code}"}}"#))
}

#[cfg(test)]
pub(super) mod tests {
    use http::Request;

    use super::*;
    use crate::sandbox::Api;
    use crate::sandbox::trial::{Trial, header};

    fn request(body: &str) -> Request<String> {
        // sandbox-bridge:sandbox:bridge=password
        let basic = "Basic c2FuZGJveC1icmlkZ2U6c2FuZGJveDpicmlkZ2U9cGFzc3dvcmQ=";
        let request = Request::post(PATH).header("content-type", "application/json").header("authorization", basic);
        request.body(body.to_owned()).unwrap()
    }

    pub(in crate::sandbox) fn good() -> Request<String> {
        request(r#"{"service_id":4101,"request_time":"2026-11-21 12:00"}"#)
    }

    #[test]
    fn a_correct_request_gets_three_balances() {
        let mut trial = Trial::new();
        let balances = r#"{"balances":{"payout":"19.1","collection":"0.37","sms":"0.0"}}"#;
        trial.control("PUT", "/accounts/bridge/gh-operations", balances);
        let expected = r#"{"response_data":{"payout_balance":19.1,"collection_balance":0.37,"sms_balance":0.0},"response_message":"Success","response_code":"000"}"#;
        assert_eq!(trial.said(good()), (200, expected.to_owned()));
    }

    #[test]
    fn each_broken_rule_has_its_answer() {
        let mut trial = Trial::new();
        let at = |time: &str| request(&format!(r#"{{"service_id":4101,"request_time":"{time}"}}"#));
        let service = |id: &str| request(&format!(r#"{{"service_id":{id},"request_time":"2026-11-21 12:00"}}"#));
        for (why, request, status, code) in [
            ("user or password", header(good(), "authorization", ""), 401, "401"),
            ("user or password", header(good(), "authorization", "Basic YTpi"), 401, "401"),
            ("user or password", header(good(), "authorization", "Bearer YTpi"), 401, "401"),
            ("Content-Type", header(good(), "content-type", ""), 400, "400"),
            ("body", service("\"4101\""), 400, "400"),
            ("body", service("4101.0"), 400, "400"),
            ("body", request(r#"{"service_id":4101}"#), 400, "400"),
            ("service_id", service("1"), 401, "100"),
            ("form of request_time", at("2026-11-21T12:00:00Z"), 400, "400"),
            ("form of request_time", at("2026-11-21 12:00:00"), 400, "400"),
            ("form of request_time", at("2026-11-21 9:00"), 400, "400"),
            ("request_time", at("2026-11-21 11:49"), 400, "400"),
            ("request_time", at("2026-11-21 12:11"), 400, "400"),
        ] {
            let before = trial.world.desk(Api::Bridge).violations.get(why).copied().unwrap_or(0);
            let (answered, body) = trial.said(request);
            assert_eq!(answered, status, "{why}");
            assert!(
                body.contains(&format!(r#""response_code":"{code}""#)) && !body.contains("response_data"),
                "{body}"
            );
            assert_eq!(trial.world.desk(Api::Bridge).violations[why], before + 1);
        }
        for time in ["2026-11-21 11:50", "2026-11-21 12:10"] {
            assert_eq!(trial.said(at(time)).0, 200);
        }
    }
}
