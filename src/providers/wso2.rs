//! What a WSO2 API gateway says when it refuses a request: a fault with a code, in one of many shapes.
//!
//! The code decides, not the HTTP status: a throttled request comes with 503 or with 429, and the body
//! may be JSON, XML or a SOAP envelope whatever `Accept` said. So the code is looked for in the text.
//! The codes: <https://apim.docs.wso2.com/en/latest/troubleshooting/error-handling/>.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;

use super::wire;
use crate::failure::{ErrorReason, Failure};

/// What a fault asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Slow down.
    Throttled,
    /// Come back later.
    OutOfOrder,
    /// The access token has expired: refresh it.
    SessionExpired,
    /// The access token is of no use any more: obtain another.
    SessionInvalid,
    /// The credentials or the subscription do not allow this.
    Forbidden,
    /// No such API, version or path.
    NoSuchResource,
    /// A code that is not listed: the HTTP status decides.
    Unknown,
}

/// A recognised fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    code: u32,
    /// What it asks of us.
    pub(super) meaning: Meaning,
}

/// Code, what it asks of us, and what it means in words.
#[rustfmt::skip]
#[expect(clippy::unreadable_literal, reason = "the codes stand as the gateway writes them")]
const CODES: &[(u32, Meaning, &str)] = &[
    (503,    Meaning::OutOfOrder,     "the service is busy"),
    (700700, Meaning::OutOfOrder,     "the API is blocked at the gateway"),
    (900800, Meaning::Throttled,      "too many requests, the quota is used up"),
    (900801, Meaning::Throttled,      "too many requests for the backend"),
    (900802, Meaning::Throttled,      "too many requests for this resource"),
    (900803, Meaning::Throttled,      "too many requests of this application"),
    (900804, Meaning::Throttled,      "too many requests of this subscription"),
    (900805, Meaning::Forbidden,      "the user, address or application is blocked"),
    (900806, Meaning::Throttled,      "too many requests by a policy of the provider"),
    (900807, Meaning::Throttled,      "too many requests in a burst"),
    (900900, Meaning::OutOfOrder,     "the gateway could not check the credentials"),
    (900901, Meaning::SessionInvalid, "the access token is not valid"),
    (900902, Meaning::Forbidden,      "the credentials are missing"),
    (900903, Meaning::SessionExpired, "the access token has expired"),
    (900904, Meaning::SessionInvalid, "the access token is inactive"),
    (900905, Meaning::Forbidden,      "the access token is of the wrong type"),
    (900906, Meaning::NoSuchResource, "no such resource; check `version`"),
    (900907, Meaning::Forbidden,      "the API is blocked for now"),
    (900908, Meaning::Forbidden,      "the application is not subscribed to this API"),
    (900909, Meaning::Forbidden,      "the subscription is inactive"),
];

/// The fault that a reply holds.
///
/// Inside a reply with status 200 the word `fault` must come first, so that no field of a success can be
/// mistaken for one; any other reply is a fault as a whole.
pub(super) fn fault(reply: &Response<Bytes>) -> Option<Fault> {
    let text = String::from_utf8_lossy(reply.body()).to_ascii_lowercase();
    let start = if reply.status() == StatusCode::OK { names(&text, "fault").next()? } else { 0 };
    let code = names(&text, "code").filter(|at| *at >= start).find_map(|at| code_after(&text[at + "code".len()..]))?;
    let listed = CODES.iter().find(|(listed, ..)| *listed == code);
    let meaning = listed.map_or(Meaning::Unknown, |(_, meaning, _)| *meaning);
    // some versions of the gateway write 503 for a throttled request as well, and tell it elsewhere
    let throttled = reply.status() == StatusCode::TOO_MANY_REQUESTS || text.contains("throttled");
    let meaning = if code == 503 && throttled { Meaning::Throttled } else { meaning };
    Some(Fault { code, meaning })
}

impl Fault {
    /// The failure that it makes of its reply, if nothing else helps.
    pub(super) fn failure(self, reply: &Response<Bytes>, at: Timestamp) -> Failure {
        let reason = match self.meaning {
            Meaning::Throttled => ErrorReason::RateLimited,
            Meaning::OutOfOrder => ErrorReason::Unavailable,
            Meaning::SessionExpired | Meaning::SessionInvalid | Meaning::Forbidden => ErrorReason::Auth,
            Meaning::NoSuchResource => ErrorReason::Rejected,
            Meaning::Unknown => {
                wire::success(reply, at).map_or_else(|by_status| by_status.reason, |()| ErrorReason::Rejected)
            }
        };
        let meaning =
            CODES.iter().find(|(code, ..)| *code == self.code).map_or("not a listed code", |(.., meaning)| meaning);
        Failure::new(reason, format!("the gateway answered with fault {}: {meaning}", self.code))
            .retry_after(wire::retry_after(reply.headers(), at))
    }
}

/// Where `name` begins as the name of a JSON member or, with or without a prefix, of an XML element.
fn names<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(name).map(|(at, _)| at).filter(|at| text[..*at].ends_with(['"', '<', ':']))
}

/// The longest run of attributes that an element may have, which keeps the search linear.
const MOST_ATTRIBUTES: usize = 256;

/// The code that follows a member's or an element's name: 503, or six digits of which the first is 7 or 9.
fn code_after(text: &str) -> Option<u32> {
    let value = if let Some(member) = text.strip_prefix('"') {
        let value = member.trim_start().strip_prefix(':')?.trim_start();
        value.strip_prefix('"').unwrap_or(value)
    } else {
        let end = text.bytes().take(MOST_ATTRIBUTES).position(|byte| byte == b'>')?;
        let named_so = end == 0 || text.starts_with([' ', '\t', '\r', '\n']);
        named_so.then(|| &text[end + 1..])?.trim_start()
    };
    let digits = value.split(|c: char| !c.is_ascii_digit()).next()?;
    let listed_so = digits == "503" || (digits.len() == 6 && digits.starts_with(['7', '9']));
    listed_so.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(status: u16, body: &str) -> Response<Bytes> {
        let mut reply = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *reply.status_mut() = StatusCode::from_u16(status).unwrap();
        reply
    }

    fn code(status: u16, body: &str) -> Option<u32> {
        fault(&reply(status, body)).map(|fault| fault.code)
    }

    #[test]
    fn every_shape_of_a_fault_is_recognised() {
        let shapes = [
            (r#"{"fault":{"code":"900903","message":"m","description":"d"}}"#, true),
            (r#"{"fault" : { "code" : 900903 }}"#, true),
            (r#"{"Fault":{"Code":"900903"}}"#, true),
            (r#"{"code":"900903","message":"not inside a fault"}"#, false),
            (r#"<ams:fault xmlns:ams="http://wso2.org/security"><ams:code>900903</ams:code></ams:fault>"#, true),
            ("<fault><code type=\"int\">\n  900903\n</code></fault>", true),
            ("<e:Fault><faultcode>e:Server</faultcode><f:fault><f:code>900903</f:code></f:fault></e:Fault>", true),
            ("<e:Fault><e:Code><e:Value>e:Receiver</e:Value></e:Code><f:code>900903</f:code></e:Fault>", true),
        ];
        for (body, even_in_a_success) in shapes {
            assert_eq!(code(200, body), even_in_a_success.then_some(900_903), "{body}");
            for status in [401, 500, 503] {
                assert_eq!(code(status, body), Some(900_903), "{status} {body}");
            }
        }
    }

    #[test]
    fn nothing_else_is_a_fault() {
        for body in [
            "",
            "{}",
            r#"{"fault":{"code":"9009"}}"#,
            r#"{"fault":{"code":"9009031"}}"#,
            r#"{"fault":{"code":"100903"}}"#,
            r#"{"fault":{"faultcode":"900903"}}"#,
            r#"{"fault":{"text":"code 900903"}}"#,
            r#"{"fault":{"code"}}900903"#,
            "<fault><code/>900903</fault>",
            "<fault><codes>900903</codes></fault>",
            "<fault><code",
        ] {
            for status in [200, 401, 503] {
                assert_eq!(code(status, body), None, "{status} {body}");
            }
        }
        assert_eq!(code(200, r#"{"note":"default","referenceCode":"900903","code":"900903"}"#), None);
    }

    #[test]
    fn every_code_has_its_reason() {
        let mut listed = 0;
        for (reason, codes) in [
            ("rate_limited", &[900_800, 900_801, 900_802, 900_803, 900_804, 900_806, 900_807][..]),
            ("unavailable", &[503, 700_700, 900_900]),
            ("auth", &[900_805, 900_901, 900_902, 900_903, 900_904, 900_905, 900_907, 900_908, 900_909]),
            ("rejected", &[900_906, 900_999]),
        ] {
            for code in codes {
                let reply = reply(200, &format!("<fault><code>{code}</code></fault>"));
                let failure = fault(&reply).unwrap().failure(&reply, Timestamp::UNIX_EPOCH);
                assert_eq!(failure.reason.as_str(), reason, "{code}");
                assert!(failure.detail.contains(&code.to_string()), "{failure}");
            }
            listed += codes.iter().filter(|code| CODES.iter().any(|(known, ..)| known == *code)).count();
        }
        assert_eq!(listed, CODES.len());
    }

    #[test]
    fn an_unlisted_code_leaves_the_word_to_the_status() {
        for (status, reason) in
            [(200, "rejected"), (401, "auth"), (404, "rejected"), (429, "rate_limited"), (500, "unavailable")]
        {
            let reply = reply(status, r#"{"fault":{"code":"999999"}}"#);
            let failure = fault(&reply).unwrap().failure(&reply, Timestamp::UNIX_EPOCH);
            assert_eq!(failure.reason.as_str(), reason, "{status}");
        }
    }

    #[test]
    fn a_throttled_503_is_told_by_its_words() {
        let body = "<amt:fault><amt:code>503</amt:code><amt:message>Message Throttled Out</amt:message></amt:fault>";
        assert_eq!(fault(&reply(503, body)).unwrap().meaning, Meaning::Throttled);
        assert_eq!(fault(&reply(429, "<fault><code>503</code></fault>")).unwrap().meaning, Meaning::Throttled);
        assert_eq!(fault(&reply(503, "<fault><code>503</code></fault>")).unwrap().meaning, Meaning::OutOfOrder);
    }

    proptest! {
        #[test]
        fn any_body_is_searched_without_panic(body in r#"([<>:"{} a-z0-9é]|code|fault|900903){0,60}"#, status in 200_u16..600) {
            let _ = fault(&reply(status, &body));
        }
    }
}
