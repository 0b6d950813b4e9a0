//! What was said in a poll, fit to be shown: requests and replies with every secret, signature and number masked.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use humantime::format_duration;

use super::disguise;
use crate::poller::Traced;

const MASK: &str = "***";
/// Headers whose whole value authenticates someone.
const MASKED_HEADERS: [&str; 6] = ["authorization", "cookie", "set-cookie", "sign", "www-authenticate", "x-signature"];
/// Members of replies, and fields of forms, whose value is a credential, a person or an account.
const MASKED_FIELDS: [&str; 10] = [
    "access_token",
    "client_secret",
    "id_token",
    "password",
    "refresh_token",
    "client_id",
    "username",
    "endUserId",
    "memberId",
    "service_id",
];
/// Of those the ones that log in. Whatever stood in one of them is masked wherever it comes again.
const CREDENTIALS: [&str; 3] = ["access_token", "id_token", "refresh_token"];
/// Fields of a login, which are masked wherever they come again.
const IN_FORMS: [&str; 5] = ["client_id", "client_secret", "password", "refresh_token", "username"];
/// The shortest name or token that is looked for elsewhere than in its field.
const SHORTEST: usize = 4;
/// A line of a text that is longer than this stands for the whole.
const LONG: usize = 16;
/// The longest body that is shown.
const MOST_SHOWN: usize = 4_000;

/// Masks the texts that must not be seen.
#[derive(Debug)]
pub(super) struct Mask(Vec<String>);

impl Mask {
    /// Masks what these requests logged in with as well, and what these replies brought to log in with, wherever it is
    /// echoed.
    pub(super) fn and_credentials_of(self, trace: &[Traced]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for Traced { request, outcome, .. } in trace {
            let signs = |(name, value): &(&HeaderName, &HeaderValue)| {
                value.is_sensitive() || MASKED_HEADERS.contains(&name.as_str())
            };
            for value in request.headers().iter().filter(signs).filter_map(|(_, value)| value.to_str().ok()) {
                // of `Basic dXNlcjpwYXNz` the part that counts, and what it says
                texts.extend(value.split(' ').next_back().map(str::to_owned));
                texts.extend(value.strip_prefix("Basic ").into_iter().flat_map(name_and_password));
            }
            let fields = url::form_urlencoded::parse(request.body());
            texts.extend(fields.filter(|(name, _)| IN_FORMS.contains(&&**name)).map(|(_, value)| value.into_owned()));
            texts.extend(outcome.iter().flat_map(|reply| tokens(reply.body())));
        }
        // a name of one letter would leave nothing to read
        let mut both = Self::new(texts.iter().map(String::as_str).filter(|text| text.len() >= SHORTEST));
        both.0.extend(self.0);
        both.in_order()
    }

    /// Masks these texts, in whatever form they come.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hidden: Vec<String> = Vec::new();
        for text in texts.into_iter().map(str::trim).filter(|text| !text.is_empty()) {
            hidden.push(STANDARD.encode(text));
            hidden.push(text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")));
            // a key is recognised by any of its lines
            hidden.extend(text.lines().filter(|line| line.len() > LONG && !line.contains("---")).map(str::to_owned));
            hidden.push(text.to_owned());
        }
        Self(hidden).in_order()
    }

    /// The longest first, so that no rest of one stays visible.
    fn in_order(mut self) -> Self {
        self.0.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        self.0.dedup();
        self
    }

    /// Everything that was said, one exchange after the other.
    pub(super) fn show(&self, trace: &[Traced]) -> String {
        let mut out = String::new();
        for (number, Traced { request, outcome, took }) in (1..).zip(trace) {
            // writing to a String cannot fail
            let _ = writeln!(out, "--- request {number}");
            self.request(&mut out, request);
            let _ = writeln!(out, "--- reply {number}, after {}", format_duration(*took));
            match outcome {
                Ok(reply) => self.reply(&mut out, reply),
                Err(failure) => {
                    let _ = writeln!(out, "none: {failure}");
                }
            }
        }
        out
    }

    fn request(&self, out: &mut String, request: &Request<Bytes>) {
        let _ = writeln!(out, "{} {}", request.method(), self.text(&request.uri().to_string()));
        self.rest(out, request.headers(), request.body());
    }

    fn reply(&self, out: &mut String, reply: &Response<Bytes>) {
        let _ = writeln!(out, "HTTP status {}", reply.status().as_u16());
        self.rest(out, reply.headers(), reply.body());
    }

    fn rest(&self, out: &mut String, headers: &HeaderMap, body: &Bytes) {
        for (name, value) in headers {
            let masked = value.is_sensitive() || MASKED_HEADERS.contains(&name.as_str());
            let value = if masked { MASK.to_owned() } else { self.text(&String::from_utf8_lossy(value.as_bytes())) };
            let _ = writeln!(out, "{name}: {value}");
        }
        let _ = writeln!(out, "\n{}\n", self.text(&String::from_utf8_lossy(body)));
    }

    /// One text, masked and without anything that a terminal would obey.
    fn text(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for hidden in &self.0 {
            shown = without(&shown, hidden);
        }
        for field in MASKED_FIELDS {
            shown = mask_field(&shown, field);
        }
        let printable = |c: char| if c == '\n' || !c.is_control() { c } else { '?' };
        let mut printed: String = shown.chars().take(MOST_SHOWN).map(printable).collect();
        if shown.chars().nth(MOST_SHOWN).is_some() {
            printed.push_str("... (cut)");
        }
        printed
    }
}

/// The text with each disguise of `hidden` masked.
fn without(text: &str, hidden: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = disguise::find(rest, hidden) {
        out += &rest[..start];
        out += MASK;
        rest = &rest[end..];
    }
    out + rest
}

fn name_and_password(encoded: &str) -> Vec<String> {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    decoded.split_once(':').map_or_else(Vec::new, |(name, password)| vec![name.to_owned(), password.to_owned()])
}

/// What a reply brings to log in with, if it is the reply of a login.
fn tokens(body: &[u8]) -> Vec<String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(body) else { return Vec::new() };
    CREDENTIALS.iter().filter_map(|name| Some(fields.get(*name)?.as_str()?.to_owned())).collect()
}

/// Masks the value of `field` in a form (`field=value&`) and in JSON (`"field": "value"`), whatever it is.
fn mask_field(text: &str, field: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(field) {
        let (before, from) = rest.split_at(found);
        out.push_str(before);
        out.push_str(field);
        rest = &from[field.len()..];
        if before.chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        if let Some(value) = rest.strip_prefix('=') {
            out.push('=');
            out.push_str(MASK);
            rest = value.find(['&', ' ', '\n']).map_or("", |end| &value[end..]);
        } else if let Some(value) = rest.strip_prefix('"') {
            let opening = value.len() - value.trim_start_matches([' ', ':', '\t', '\n', '\r']).len();
            let (between, value) = value.split_at(opening);
            if !between.contains(':') {
                continue;
            }
            out.push('"');
            out.push_str(between);
            out.push_str(MASK);
            rest = after_json_scalar(value);
        }
    }
    out + rest
}

/// What follows the first scalar of a JSON text.
fn after_json_scalar(text: &str) -> &str {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.find([',', '}', ']']).map_or("", |end| &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &quoted[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{ErrorReason, Failure};
    use std::time::Duration;

    fn traced(request: Request<Bytes>, reply: Response<Bytes>) -> Traced {
        Traced { request, outcome: Ok(reply), took: Duration::from_millis(12) }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let request = Request::post("https://example.test/apicall/94771234567/x")
            .header("authorization", "Basic Y2FuYXJ5OmNhbmFyeQ==")
            .header("sign", "CANARY-SIGNATURE")
            .header("partner-id", "200000018128")
            .body(Bytes::from("grant_type=password&password=canary%2Fone&client_id=x&username=canary+two"))
            .unwrap();
        let reply = Response::builder()
            .header("sign", "CANARY-REPLY")
            .body(Bytes::from(
                r#"{"access_token": "canary\"three", "refresh_token":"canary4","memberId":"canary5","expires_in":3600,"note":"canary/one"}"#,
            ))
            .unwrap();
        let said = [traced(request, reply)];
        let shown = Mask::new(["canary/one", "94771234567"]).and_credentials_of(&said).show(&said);
        assert!(!shown.contains("Y2FuYXJ5"), "{shown}");
        assert!(!shown.to_ascii_lowercase().contains("canary"), "{shown}");
        assert!(!shown.contains("94771234567"), "{shown}");
        for kept in ["partner-id: 200000018128", "grant_type=password", "\"expires_in\":3600", "HTTP status 200"] {
            assert!(shown.contains(kept), "{kept} is missing from\n{shown}");
        }
    }

    #[test]
    fn what_comes_back_in_another_form_is_masked_too() {
        let secret = "c\u{e9}nary/\"one two";
        let request = Request::post("https://example.test/")
            .header("sign", "SIGNATURE==")
            .header("authorization", "Bearer TOKEN-1")
            .body(Bytes::from(r#"{"service_id": 12345,"request_time":"now"}"#))
            .unwrap();
        let login =
            Response::new(Bytes::from(r#"{"access_token":"TOKEN-1","refresh_token":"TOKEN-2","expires_in":1}"#));
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----";
        let echo = format!(
            "{secret} {} {} c%C3%A9nary%2F%22one+two c%c3%a9nary%2f%22one%20two c%C3%A9nary%2F%22one%20two 63c3a96e6172792f226f6e652074776f \
            SIGNATURE== TOKEN-1 TOKEN-2 AQEFAASCBKcwggSjAgEAAoIB said",
            serde_json::to_string(secret).unwrap(),
            STANDARD.encode(secret),
        );
        let said = [traced(request, login), traced(Request::new(Bytes::new()), Response::new(Bytes::from(echo)))];
        let shown = Mask::new([secret, key]).and_credentials_of(&said).show(&said);
        assert!(shown.contains("{\"service_id\": ***,\"request_time\":\"now\"}"), "{shown}");
        assert!(shown.contains("*** \"***\" *** *** *** *** *** *** *** *** *** said"), "{shown}");
    }

    #[test]
    fn an_answer_cannot_speak_to_the_terminal() {
        let reply = Response::new(Bytes::from("\u{1b}[2J\u{7}hello\r\nthere"));
        let shown = Mask::new([]).show(&[traced(Request::new(Bytes::new()), reply)]);
        assert!(shown.contains("?[2J?hello?\nthere"), "{shown}");
    }

    #[test]
    fn a_missing_reply_says_why() {
        let trace = Traced {
            request: Request::new(Bytes::new()),
            outcome: Err(Failure::new(ErrorReason::Timeout, "no complete answer within 10s")),
            took: Duration::from_secs(10),
        };
        assert!(Mask::new([]).show(&[trace]).contains("none: timeout: no complete answer within 10s"));
    }
}
