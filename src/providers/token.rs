//! What an OAuth 2 token endpoint answers: a session, or why there is none. RFC 6749, section 5.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Session, wire, wso2};
use crate::failure::{ErrorReason, Failure};
use crate::secret::Secret;

/// Why a reply brought no session.
pub(super) struct Refusal {
    /// For the poll.
    pub(super) failure: Failure,
    /// The grant itself was refused, so that another one may help.
    pub(super) grant_refused: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, grant_refused: false }
    }
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Box<RawValue>>,
    refresh_token: Option<String>,
}

/// The errors of a token endpoint: RFC 6749, section 5.2. Others are not shown, nor is any description,
/// since servers put into them what they were sent.
const ERRORS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// The session that a reply brings, which is read at `at`.
pub(super) fn session(reply: &Response<Bytes>, at: Timestamp) -> Result<Session, Refusal> {
    let by_status = wire::success(reply, at);
    if reply.status().is_redirection() {
        by_status.clone()?;
    }
    if let Some(fault) = wso2::fault(reply) {
        return Err(fault.failure(reply, at).into());
    }
    if let Err(failure) = &by_status
        && matches!(failure.reason, ErrorReason::RateLimited | ErrorReason::Unavailable)
    {
        return Err(failure.clone().into());
    }
    let body = wire::object::<Reply>(reply.body());
    if let Ok(Reply { error: Some(error), .. }) = &body {
        let shown = ERRORS.into_iter().find(|known| known == error).unwrap_or("an unlisted error");
        let failure = Failure::new(ErrorReason::Auth, format!("the token endpoint refused the login: {shown}"));
        return Err(Refusal { failure, grant_refused: error == "invalid_grant" });
    }
    by_status?;
    Ok(granted(body?)?)
}

fn granted(reply: Reply) -> Result<Session, Failure> {
    let schema = |what| Failure::new(ErrorReason::Schema, what);
    let bearer = reply.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer {
        return Err(schema("the token endpoint gave a token of another type than bearer"));
    }
    let token = Secret::new(reply.access_token.unwrap_or_default());
    if !is_token(&token) {
        return Err(schema("the token endpoint gave a token that is empty, too long or not plain text"));
    }
    let refresh = reply.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    if refresh.as_ref().is_some_and(|token| !is_token(token)) {
        return Err(schema("the token endpoint gave a refresh token that is too long or not plain text"));
    }
    Ok(Session { token, refresh, lifetime: lifetime(reply.expires_in.as_deref()) })
}

/// The longest token that is sent.
const MOST_TOKEN: usize = 4096;

/// Whether a token can stand in a header as it is: printable ASCII without spaces.
pub(super) fn is_token(token: &Secret) -> bool {
    let text = token.expose();
    !text.is_empty() && text.len() <= MOST_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const LEAST_LIFETIME: f64 = 30.0;
const MOST_LIFETIME: f64 = 24.0 * 60.0 * 60.0;
const USUAL_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// `expires_in`, a number of seconds or the same as text, within bounds; what is neither is passed over.
fn lifetime(expires_in: Option<&RawValue>) -> Duration {
    expires_in
        .map(|raw| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()))
        .and_then(|text: String| text.parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite())
        .map_or(USUAL_LIFETIME, |seconds| Duration::from_secs_f64(seconds.clamp(LEAST_LIFETIME, MOST_LIFETIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_clamped() {
        for (text, seconds) in [
            ("3600", 3600),
            ("\"3600\"", 3600),
            ("0", 30),
            ("-1", 30),
            ("29.9", 30),
            ("1e12", 86_400),
            ("9223372036854775807", 86_400),
            ("true", 300),
            ("\"soon\"", 300),
            ("\"inf\"", 300),
            ("{}", 300),
        ] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(lifetime(Some(&raw)), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(lifetime(None), USUAL_LIFETIME);
    }

    #[test]
    fn a_date_in_retry_after_is_taken_relative_to_the_reply_or_to_now() {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        for (status, body) in [(503, ""), (429, ""), (429, r#"{"fault":{"code":900800,"message":"slow"}}"#)] {
            for (date, seconds) in [(None, 45), (Some("Sat, 21 Nov 2026 12:00:15 GMT"), 30)] {
                let mut reply = Response::builder().status(status).header("content-type", "application/json");
                reply = reply.header("retry-after", "Sat, 21 Nov 2026 12:00:45 GMT");
                if let Some(date) = date {
                    reply = reply.header("date", date);
                }
                let reply = reply.body(Bytes::from_static(body.as_bytes())).unwrap();
                let Err(Refusal { failure, .. }) = session(&reply, at) else { panic!("a session") };
                assert_eq!(failure.retry_after, Some(Duration::from_secs(seconds)), "{status} {body} {date:?}");
            }
        }
    }

    #[test]
    fn tokens_are_plain_text() {
        for text in ["", "a b", "a\r\nX: y", "a\0", "é", &"x".repeat(4097)] {
            assert!(!is_token(&Secret::new(text)), "{text:?}");
        }
        assert!(is_token(&Secret::new("x".repeat(4096))) && is_token(&Secret::new("a-._~+/=")));
    }
}
