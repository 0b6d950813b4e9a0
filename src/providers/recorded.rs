//! Recorded exchanges: one folder per case, read by the golden tests and by the sandbox.
//!
//! ```text
//! providers/<api>/<case>/case.yaml        what it is about, the time, the settings, the outcome
//! providers/<api>/<case>/request-1.http   start line, headers, empty line, body
//! providers/<api>/<case>/reply-1.http     the same
//! providers/<api>/<case>/request-2.http   …
//! ```
//!
//! The body is everything after the empty line, byte for byte, without one final newline.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::RECORDED;

/// The names of the recorded cases of an API, sorted.
pub fn cases(api: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = RECORDED
        .get_dir(api)
        .into_iter()
        .flat_map(include_dir::Dir::dirs)
        .filter_map(|case| case.path().file_name()?.to_str())
        .collect();
    names.sort_unstable();
    names
}

/// A file of a case.
pub fn file(api: &str, case: &str, name: &str) -> Option<&'static [u8]> {
    RECORDED.get_file(format!("{api}/{case}/{name}")).map(include_dir::File::contents)
}

/// The replies of a case, in order. A file that is not a reply ends them.
pub fn replies(api: &str, case: &str) -> Vec<Response<Bytes>> {
    (1..).map_while(|number| reply(file(api, case, &format!("reply-{number}.http"))?)).collect()
}

/// Reads one recorded reply.
pub fn reply(text: &'static [u8]) -> Option<Response<Bytes>> {
    let (head, body) = split(text)?;
    let mut lines = head.lines();
    let status = lines.next()?.split_ascii_whitespace().nth(1)?.parse::<StatusCode>().ok()?;
    let mut response = Response::new(Bytes::from_static(body));
    *response.status_mut() = status;
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        response.headers_mut().append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    Some(response)
}

/// Head and body of a recorded message.
pub(super) fn split(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.windows(2).position(|pair| pair == b"\n\n")?;
    let body = &text[end + 2..];
    Some((std::str::from_utf8(&text[..end]).ok()?, body.strip_suffix(b"\n").unwrap_or(body)))
}
