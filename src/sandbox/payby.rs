//! PayBy's gateway: signed requests in, signed replies out, gateway errors unsigned.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;

use super::account::Listing;
use super::call::{Call, Granted, Refusal, Verdict, json};
use super::world::World;
use crate::money::Amount;

pub(super) const PATH: &str = "/sgs/api/member/getBalance";
pub(super) const PARTNER_ID: &str = "200000042001";
pub(super) const MEMBER_ID: &str = "200000042777";

/// How far a request's time may be off.
const MOST_SKEW: Duration = Duration::from_secs(15 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inquiry {
    request_time: i64,
    biz_content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    currency_code: String,
}

/// POST /sgs/api/member/getBalance.
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Verdict {
    let trace = world.next_reference();
    let unsigned =
        |why, code: &str, msg: &str| Err(Refusal::new(why, json(StatusCode::OK, head("FAIL", code, msg, trace))));
    let invalid = |why| unsigned(why, "400", "INVALID_PARAMETER");

    if call.parts.method != Method::POST || call.parts.uri.query().is_some() {
        return invalid("not a plain POST");
    }
    if !call.is("application/json") {
        return invalid("Content-Type");
    }
    if call.header(header::CONTENT_LANGUAGE).is_none() {
        return invalid("Content-Language");
    }
    if call.header("partner-id") != Some(PARTNER_ID) {
        return unsigned("Partner-Id", "403", "UNAUTHORIZED");
    }
    let signature = call.header("sign").unwrap_or_default();
    if !world.keys.merchant.verifies(call.body, signature) {
        let body = head("ERROR", "58001", "SIGNATURE_NOT_VERIFIED", trace);
        return Err(Refusal::new("sign", json(StatusCode::OK, body)));
    }
    let Some(inquiry) = call.json::<Inquiry>() else { return invalid("body") };
    let Ok(theirs) = Timestamp::from_millisecond(inquiry.request_time) else { return invalid("requestTime") };
    if call.skew(theirs) > MOST_SKEW {
        let msg = if theirs < call.now.wall { "REQUESTTIME_TOO_EARLY" } else { "REQUESTTIME_TOO_LATER" };
        return unsigned("requestTime", "400", msg);
    }
    let currency = inquiry.biz_content.currency_code;
    let held = |listing| matches!(listing, Listing::PayBy);
    let found = world
        .accounts
        .iter()
        .position(|account| held(account.listing) && account.pots.first().is_some_and(|pot| pot.currency == currency));
    let Some(index) = found else {
        let reply = json(StatusCode::OK, head("FAIL", "78001", "CURRENCY_CODE_NOT_SUPPORTED", trace));
        return Err(Refusal::new("currency", world.keys.signed(reply)));
    };
    let available = world.figures(index, call.now).first().and_then(|figures| figures.available);
    let body = format!(
        r#"{{"body":{{"balanceList":[{{"availableBalance":{{"amount":{},"currency":"{currency}"}}}}],"memberId":"{MEMBER_ID}"}},"head":{{"applyStatus":"SUCCESS","code":"0","msg":"SUCCESS","success":true,"traceCode":"{trace}"}}}}"#,
        available.unwrap_or(Amount::ZERO),
    );
    Ok(Granted { account: Some(index), reply: world.keys.signed(json(StatusCode::OK, body)) })
}

/// The answer over the limit: in band, unsigned.
pub(super) fn throttled(world: &mut World) -> Response<Bytes> {
    json(StatusCode::OK, head("FAIL", "402", "RATE_LIMIT_REJECT", world.next_reference()))
}

fn head(status: &str, code: &str, msg: &str, trace: u64) -> String {
    format!(r#"{{"head":{{"applyStatus":"{status}","code":"{code}","msg":"{msg}","traceCode":"{trace}"}}}}"#)
}

#[cfg(test)]
pub(super) mod tests {
    use http::Request;

    use super::*;
    use crate::sandbox::Api;
    use crate::sandbox::keys::tests::KEYS;
    use crate::sandbox::trial::{Trial, header, text};

    fn body(time: i64, currency: &str) -> String {
        format!(r#"{{"bizContent":{{"currencyCode":"{currency}"}},"requestTime":{time}}}"#)
    }

    fn request(body: String) -> Request<String> {
        let signature = KEYS.merchant.sign(body.as_bytes()).unwrap();
        let request = Request::post(PATH)
            .header("content-type", "application/json; charset=utf-8")
            .header("content-language", "en")
            .header("partner-id", PARTNER_ID)
            .header("sign", signature);
        request.body(body).unwrap()
    }

    pub(in crate::sandbox) fn good(trial: &Trial) -> Request<String> {
        request(body(trial.now.wall.as_millisecond(), "AED"))
    }

    #[test]
    fn a_correct_request_gets_a_signed_balance() {
        let mut trial = Trial::new();
        trial.control("PUT", "/accounts/payby/uae-settlement", r#"{"available":"897993.80"}"#);
        let reply = trial.send(good(&trial));
        assert_eq!(reply.status(), 200);
        assert!(KEYS.platform.verifies(reply.body(), reply.headers()["sign"].to_str().unwrap()));
        assert!(text(&reply).contains(r#"{"availableBalance":{"amount":897993.80,"currency":"AED"}}"#));
        assert!(text(&reply).contains(MEMBER_ID) && text(&reply).contains(r#""code":"0""#));
        serde_json::from_slice::<serde_json::Value>(reply.body()).unwrap();
    }

    #[test]
    fn each_broken_rule_has_its_answer() {
        let mut trial = Trial::new();
        let noon = trial.now.wall.as_millisecond();
        let at = |seconds: i64| noon + seconds * 1_000;
        let (now, early, late) = (at(0), at(-901), at(901));
        let tampered = {
            let (parts, _) = request(body(now, "AED")).into_parts();
            Request::from_parts(parts, body(now + 1, "AED"))
        };
        let refused = r#"{"head":{"applyStatus":"FAIL","code":"400","msg":"INVALID_PARAMETER""#;
        for (why, request, head, signed) in [
            ("Content-Type", header(good(&trial), "content-type", "text/plain"), refused, false),
            ("Content-Type", header(good(&trial), "content-type", ""), refused, false),
            ("Content-Language", header(good(&trial), "content-language", ""), refused, false),
            (
                "Partner-Id",
                header(good(&trial), "partner-id", "1"),
                r#"FAIL","code":"403","msg":"UNAUTHORIZED""#,
                false,
            ),
            ("sign", header(good(&trial), "sign", ""), r#""applyStatus":"ERROR""#, false),
            ("sign", tampered, r#""applyStatus":"ERROR""#, false),
            (
                "body",
                request(format!(r#"{{"bizContent":{{"currencyCode":"AED"}},"requestTime":"{now}"}}"#)),
                refused,
                false,
            ),
            (
                "body",
                request(format!(r#"{{"bizContent":{{"currencyCode":"AED"}},"requestTime":{now}.5}}"#)),
                refused,
                false,
            ),
            ("body", request(format!(r#"{{"requestTime":{now}}}"#)), refused, false),
            ("requestTime", request(body(early, "AED")), r#""code":"400","msg":"REQUESTTIME_TOO_EARLY""#, false),
            ("requestTime", request(body(late, "AED")), r#""code":"400","msg":"REQUESTTIME_TOO_LATER""#, false),
            ("currency", request(body(now, "EUR")), r#""code":"78001","msg":"CURRENCY_CODE_NOT_SUPPORTED""#, true),
        ] {
            let before = trial.world.desk(Api::PayBy).violations.get(why).copied().unwrap_or(0);
            let reply = trial.send(request);
            assert!(text(&reply).contains(head), "{why}: {}", text(&reply));
            assert_eq!(reply.headers().contains_key("sign"), signed, "{why}");
            assert_eq!(trial.world.desk(Api::PayBy).violations[why], before + 1);
        }
        for seconds in [-900, 900] {
            assert!(text(&trial.send(request(body(at(seconds), "USD")))).contains("SUCCESS"));
        }
    }
}
