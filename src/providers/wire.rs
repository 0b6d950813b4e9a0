//! What adapters share: status and header rules, JSON bodies, amounts, identities.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use url::Url;

use crate::document::Problem;
use crate::failure::{ErrorReason, Failure};
use crate::money::{Amount, Currency};
use crate::secret::{Secret, Secrets};

/// The longest wait that a provider can ask for.
pub(super) const MOST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// `path` below the base URL, whatever path that has itself.
pub(super) fn endpoint(base_url: &Url, path: &str) -> String {
    format!("{}{path}", base_url.as_str().trim_end_matches('/'))
}

/// The secret that the configuration key `key` names the source of.
pub(super) fn secret<'a>(secrets: &'a Secrets, key: &str) -> Result<&'a Secret, Problem> {
    secrets.get(key).ok_or_else(|| Problem::at(key, "this secret is needed; name where it is to be found"))
}

/// A header value that no log and no trace shows.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// HTTP Basic credentials: joined with one colon, nothing trimmed. RFC 7617, section 2.
pub(super) fn basic(user: &str, password: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let pair = Secret::new(format!("{user}:{}", password.expose()));
    let header = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair.expose())));
    sensitive(header.expose())
}

/// The request, if it could be built.
pub(super) fn built(request: Result<Request<Bytes>, http::Error>) -> Result<Request<Bytes>, Failure> {
    request.map_err(|_| Failure::new(ErrorReason::Internal, "could not build the request"))
}

/// Passes a reply with status 200 that is no web page, else says what HTTP alone makes of it.
///
/// An adapter whose provider puts a code into error bodies looks at that first.
pub(super) fn success(reply: &Response<Bytes>, at: Timestamp) -> Result<(), Failure> {
    let status = reply.status();
    if status == StatusCode::OK {
        let page =
            reply.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        return if page { Err(Failure::new(ErrorReason::Malformed, "the reply is a web page")) } else { Ok(()) };
    }
    let wait = retry_after(reply.headers(), at);
    let reason = match status.as_u16() {
        300..=399 => ErrorReason::Redirect,
        401 | 403 => ErrorReason::Auth,
        429 => ErrorReason::RateLimited,
        407 | 408 | 421 | 425 | 500..=599 => ErrorReason::Unavailable,
        400..=499 => ErrorReason::Rejected,
        _ => ErrorReason::Malformed,
    };
    let failure =
        Failure::new(reason, format!("the provider answered with HTTP status {}", status.as_u16())).retry_after(wait);
    Err(match status.as_u16() {
        502..=504 if wait.is_none() => failure.fleeting(),
        _ => failure,
    })
}

/// The header `Retry-After` as a wait: seconds, or a date taken relative to the reply's own `Date`.
/// At most an hour; anything that is neither is ignored. RFC 9110, section 10.2.3.
pub(super) fn retry_after(headers: &HeaderMap, at: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse::<u64>().ok().filter(|_| text.len() <= 10)?;
        return Some(Duration::from_secs(seconds).min(MOST_RETRY_AFTER));
    }
    let date = http_date(text)?;
    let theirs = reply_date(headers).unwrap_or(at);
    let wait = Duration::try_from(date.duration_since(theirs)).unwrap_or_default();
    Some(wait.min(MOST_RETRY_AFTER))
}

/// The provider's own time of day: the header `Date`.
pub(crate) fn reply_date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(header::DATE)?.to_str().ok()?)
}

/// A date as HTTP writes it, in its one current form. RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text).ok()?.to_datetime().ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The body as a `T`: valid UTF-8, one JSON object, nothing around it, no field twice.
///
/// What does not parse is `malformed`; what parses but has another shape is `schema`.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let malformed = |what: &str| Failure::new(ErrorReason::Malformed, what);
    let text = std::str::from_utf8(body).map_err(|_| malformed("the reply is not valid UTF-8"))?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(malformed(if text.is_empty() { "the reply is empty" } else { "the reply is not a JSON object" }));
    }
    read(text, "reply")
}

/// A part of a reply that was kept as text until it was known to matter.
pub(super) fn part<T: DeserializeOwned>(field: &str, raw: &RawValue) -> Result<T, Failure> {
    read(raw.get(), &format!("field {field}"))
}

/// The text of `serde_json`'s errors is left out, because it quotes the reply.
fn read<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("at line {} column {} of the {what}", error.line(), error.column());
        match error.classify() {
            Category::Data => Failure::new(
                ErrorReason::Schema,
                format!("the {what} does not have the documented fields and types ({place})"),
            ),
            Category::Syntax | Category::Eof | Category::Io => {
                Failure::new(ErrorReason::Malformed, format!("the {what} is not complete, valid JSON ({place})"))
            }
        }
    })
}

/// Reads an optional field that must not be `null`: a missing one is `None`, a sent one must have the type.
pub(super) fn sent<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `T` that is written as an object. A derived struct alone would also take its fields from an array.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// An amount that the provider writes as a JSON number.
pub(super) fn number(field: &str, raw: &RawValue) -> Result<Amount, Failure> {
    amount(field, raw.get())
}

/// An amount that the provider writes as text.
pub(super) fn amount(field: &str, text: &str) -> Result<Amount, Failure> {
    Amount::parse(text).map_err(|why| Failure::new(ErrorReason::Schema, format!("the field {field} is {why}")))
}

/// Letters, digits, `_` and `-` only: fit for a header and for a log.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A provider's code, fit for a log line: as it is if it looks like a code, such as `62026` or `SVC0001`. A password, a
/// subscriber's number or a token that it repeats instead does not.
pub(super) fn code(text: &str) -> &str {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let is_code = text.len() - digits.len() <= 3 && digits.len() <= 7 && digits.bytes().all(|b| b.is_ascii_digit());
    if is_code && !text.is_empty() { text } else { "(not a code)" }
}

/// Passes the currency that was asked for.
pub(super) fn same_currency(expected: &Currency, echoed: &str) -> Result<(), Failure> {
    if expected.as_str() == echoed {
        return Ok(());
    }
    Err(Failure::new(
        ErrorReason::Mismatch,
        // what is no code of a currency may be anything that the request said
        match Currency::parse(echoed) {
            Some(other) => format!("the reply is in another currency than {expected}: {}", other.as_str()),
            None => format!("the reply is in another currency than {expected}, with a code that is none"),
        },
    ))
}

/// Passes the identity that is expected; without an expectation, any. The values stay out of the text,
/// since account numbers are nobody's business in a log.
pub(super) fn same_identity(field: &str, expected: Option<&str>, echoed: Option<&str>) -> Result<(), Failure> {
    match (expected, echoed) {
        (Some(expected), Some(echoed)) if expected != echoed => {
            Err(Failure::new(ErrorReason::Mismatch, format!("the reply's {field} names another account")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&'static str, &str)]) -> Response<Bytes> {
        let mut reply = Response::new(Bytes::new());
        *reply.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            reply.headers_mut().append(*name, value.parse().unwrap());
        }
        reply
    }

    fn noon() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn every_status_has_one_reason() {
        let reason = |status| success(&reply(status, &[]), noon()).map_err(|f| f.reason.as_str());
        assert_eq!(reason(200), Ok(()));
        for (statuses, expected) in [
            (&[100, 201, 202, 204, 206, 600, 999][..], "malformed"),
            (&[300, 301, 302, 303, 304, 305, 307, 308], "redirect"),
            (&[401, 403], "auth"),
            (&[429], "rate_limited"),
            (&[407, 408, 421, 425, 500, 501, 502, 503, 504, 599], "unavailable"),
            (&[400, 402, 404, 405, 406, 409, 410, 415, 418, 422], "rejected"),
        ] {
            for status in statuses {
                assert_eq!(reason(*status), Err(expected), "{status}");
            }
        }
    }

    #[test]
    fn a_web_page_is_no_answer_whatever_its_body_is() {
        let reason = |kind| success(&reply(200, &[("content-type", kind)]), noon()).map_err(|f| f.reason.as_str());
        assert_eq!(reason("text/html; charset=utf-8"), Err("malformed"));
        assert_eq!(reason("application/json"), Ok(()));
        assert_eq!(reason("text/plain"), Ok(()), "some gateways say nothing better of their JSON");
    }

    #[test]
    fn gateway_trouble_without_a_wish_is_fleeting() {
        let fleeting = |status, headers: &[_]| success(&reply(status, headers), noon()).unwrap_err().fleeting;
        assert!(fleeting(502, &[]) && fleeting(503, &[]) && fleeting(504, &[]));
        assert!(!fleeting(500, &[]) && !fleeting(503, &[("retry-after", "30")]) && !fleeting(404, &[]));
    }

    #[test]
    fn retry_after_is_read_and_clamped() {
        let wait = |headers: &[_]| retry_after(reply(429, headers).headers(), noon()).map(|d| d.as_secs());
        for (text, expected) in [
            ("30", Some(30)),
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("999999999", Some(3600)),
            ("99999999999", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("Sat, 21 Nov 2026 12:00:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", Some(0)),
            ("Sat, 21 Nov 2099 11:00:00 GMT", Some(3600)),
            ("Sat, 21 Nov 2026 12:00:30 +0000", None),
        ] {
            assert_eq!(wait(&[("retry-after", text)]), expected, "{text:?}");
        }
        let by_their_clock =
            [("date", "Sat, 21 Nov 2026 13:00:00 GMT"), ("retry-after", "Sat, 21 Nov 2026 13:00:45 GMT")];
        assert_eq!(wait(&by_their_clock), Some(45));
        assert_eq!(wait(&[]), None);
    }

    #[derive(Debug, serde::Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        amount: &'a RawValue,
    }

    fn probe(body: &[u8]) -> Result<String, &'static str> {
        #[derive(serde::Deserialize)]
        struct Owned {
            amount: Box<RawValue>,
        }
        object::<Owned>(body)
            .and_then(|o| number("amount", &o.amount))
            .map(|a| a.to_string())
            .map_err(|f| f.reason.as_str())
    }

    #[test]
    fn bodies_are_one_object_of_the_documented_shape() {
        assert_eq!(probe(br#" {"amount": 897993.88, "more": [1]} "#), Ok("897993.88".to_owned()));
        let _ = serde_json::from_str::<Probe<'_>>(r#"{"amount":1}"#).unwrap().amount;
        for (body, expected) in [
            (&b""[..], "malformed"),
            (b"[5]", "malformed"),
            (b"null", "malformed"),
            (b"<html>", "malformed"),
            (b"\xef\xbb\xbf{\"amount\":1}", "malformed"),
            (b"{\"amount\":1,\"x\":\"\xff\"}", "malformed"),
            (br#"{"amount":1"#, "malformed"),
            (br#"{"amount":1}{"amount":2}"#, "malformed"),
            (br#"{"amount":01}"#, "malformed"),
            (br#"{"amount":+1}"#, "malformed"),
            (br#"{"amount":NaN}"#, "malformed"),
            (br#"{"amount":1,"amount":1}"#, "schema"),
            (br#"{"amount":1,"\u0061mount":1}"#, "schema"),
            (br#"{"balance":1}"#, "schema"),
            (br#"{"amount":null}"#, "schema"),
            (br#"{"amount":true}"#, "schema"),
            (br#"{"amount":"1"}"#, "schema"),
            (br#"{"amount":{}}"#, "schema"),
            (br#"{"amount":1e5}"#, "schema"),
            (br#"{"amount":1e308}"#, "schema"),
            (br#"{"amount":1e-400}"#, "schema"),
        ] {
            assert_eq!(probe(body), Err(expected), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn basic_credentials_are_joined_with_one_colon_and_hidden() {
        let header = basic("bridge-user", &Secret::new("p@ss:word=")).unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic YnJpZGdlLXVzZXI6cEBzczp3b3JkPQ==");
        assert!(header.is_sensitive());
        assert_eq!(basic(" a", &Secret::new(" b ")).unwrap(), "Basic IGE6IGIg");
    }

    #[test]
    fn an_object_is_never_taken_from_an_array() {
        #[derive(Debug, Deserialize)]
        struct Money {
            amount: Box<RawValue>,
            currency: Option<String>,
        }
        #[derive(Debug, Deserialize)]
        struct Row {
            money: Object<Money>,
        }
        let read = |body: &str| object::<Row>(body.as_bytes()).map(|row| row.money.0).map_err(|f| f.reason.as_str());
        let money = read(r#"{"money":{"amount":0.10,"currency":"AED"}}"#).unwrap();
        assert_eq!((money.amount.get(), money.currency.as_deref()), ("0.10", Some("AED")));
        for body in [
            r#"{"money":[0.10,"AED"]}"#,
            r#"{"money":"0.10"}"#,
            r#"{"money":null}"#,
            r#"{"money":{"amount":1,"amount":2}}"#,
        ] {
            assert_eq!(read(body).err(), Some("schema"), "{body}");
        }
    }

    #[test]
    fn endpoints_keep_the_base_path() {
        let at = |base: &str| endpoint(&base.parse().unwrap(), "/v2.0/inquiry-balance");
        assert_eq!(at("https://gateway.example"), "https://gateway.example/v2.0/inquiry-balance");
        assert_eq!(at("http://127.0.0.1:1/pre/"), "http://127.0.0.1:1/pre/v2.0/inquiry-balance");
    }
}
