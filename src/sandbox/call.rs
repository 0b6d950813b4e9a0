//! A request as a provider receives it, and the answers it can give.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request};
use serde::de::DeserializeOwned;

use crate::clock::Now;

/// One request, complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) parts: &'a request::Parts,
    pub(super) body: &'a [u8],
    pub(super) now: Now,
}

impl Call<'_> {
    /// The value of a header that is there exactly once, in ASCII.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        let mut values = self.parts.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// True if the content type is `expected`, with no charset but UTF-8.
    pub(super) fn is(&self, expected: &str) -> bool {
        let Some(value) = self.header(header::CONTENT_TYPE) else { return false };
        let mut parts = value.split(';').map(str::trim);
        parts.next().is_some_and(|media| media.eq_ignore_ascii_case(expected))
            && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
    }

    /// User and password of basic authentication.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header(header::AUTHORIZATION)?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The body as exactly a `T`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.body).ok()
    }

    /// How far `theirs` is from our time of day.
    pub(super) fn skew(&self, theirs: jiff::Timestamp) -> Duration {
        self.now.wall.duration_since(theirs).unsigned_abs()
    }
}

/// A request that keeps all rules.
#[derive(Debug)]
pub(super) struct Granted {
    /// Which account it is about, as an index; none for a login.
    pub(super) account: Option<usize>,
    pub(super) reply: Response<Bytes>,
}

/// A request that breaks a rule.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Which rule, for those who test.
    pub(super) why: &'static str,
    /// Boxed, since every verdict would be as large.
    pub(super) reply: Box<Response<Bytes>>,
}

impl Refusal {
    /// The rule, and what the provider says.
    pub(super) fn new(why: &'static str, reply: Response<Bytes>) -> Self {
        Self { why, reply: Box::new(reply) }
    }
}

/// What a provider makes of a request.
pub(super) type Verdict = Result<Granted, Refusal>;

/// What happens to a connection.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Response<Bytes>),
    Late(Duration, Response<Bytes>),
    Never,
    Close,
}

/// A JSON reply.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    reply(status, "application/json", body)
}

/// A reply of any type.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// The same reply with one more header. A value that no header can have is left out.
pub(super) fn with(mut reply: Response<Bytes>, name: &'static str, value: &str) -> Response<Bytes> {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
    reply
}
