//! The web configuration as written: the format of Prometheus' exporter-toolkit, read as strictly as our own.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::users::Hash;
use crate::document::{Node, Path, Problem, Problems, choice};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) tls_server_config: Option<Tls>,
    #[serde(default)]
    http_server_config: Http,
    #[serde(default)]
    pub(super) basic_auth_users: BTreeMap<String, Hash>,
    #[serde(default)]
    rate_limit: Option<RateLimit>,
}

/// How connections are encrypted, and whom they are accepted from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    #[serde(default)]
    cert: Option<String>,
    #[serde(default)]
    cert_file: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_file: Option<String>,
    #[serde(default)]
    client_ca: Option<String>,
    #[serde(default)]
    client_ca_file: Option<String>,
    #[serde(default)]
    pub(super) client_auth_type: ClientAuth,
    #[serde(default)]
    pub(super) client_allowed_sans: Vec<String>,
    #[serde(default = "Version::lowest")]
    pub(super) min_version: Version,
    #[serde(default = "Version::highest")]
    pub(super) max_version: Version,
    #[serde(default)]
    pub(super) cipher_suites: Vec<String>,
    #[serde(default = "yes")]
    pub(super) prefer_server_cipher_suites: bool,
    #[serde(default)]
    pub(super) curve_preferences: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// What a client has to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    #[serde(rename = "NoClientCert")]
    None,
    #[serde(rename = "RequestClientCert")]
    Request,
    #[serde(rename = "RequireAnyClientCert", alias = "RequireClientCert")]
    RequireAny,
    #[serde(rename = "VerifyClientCertIfGiven")]
    VerifyIfGiven,
    #[serde(rename = "RequireAndVerifyClientCert")]
    RequireAndVerify,
}

/// A version of TLS that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Version {
    Tls12,
    Tls13,
}

impl Version {
    const fn lowest() -> Self {
        Self::Tls12
    }

    const fn highest() -> Self {
        Self::Tls13
    }
}

impl TryFrom<String> for Version {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err("TLS 1.0 and 1.1 are broken and not spoken here: expected TLS12 or TLS13"),
            _ => Err("expected TLS12 or TLS13"),
        }
    }
}

/// HTTP/1.1 is all that is spoken, so `http2` is accepted and changes nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    #[serde(default, rename = "http2")]
    _http2: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// One request each `interval`, and `burst` at once after a rest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    interval: String,
    burst: u32,
}

/// The headers that may be set, and the values that those may have which are not free.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// A part of TLS that is in the file itself or in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Here.
    Text(&'a str),
    /// There; relative to the folder of the file.
    File(&'a str),
}

impl File {
    /// Reads and checks everything that needs no other file.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let refused = |problems: Vec<Problem>| Problems::from(problems).render(name, text);
        let (root, problems) = Node::parse(text).map_err(|problem| refused(vec![problem]))?;
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        let file: Self = root.read_all().map_err(refused)?;
        let problems = file.problems();
        if problems.is_empty() { Ok(file) } else { Err(refused(problems)) }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.tls_server_config.iter().flat_map(Tls::problems));
        problems.extend(self.headers().err().into_iter().flatten());
        problems.extend(self.limit().err());
        let users = Path::default().key("basic_auth_users");
        for user in self.basic_auth_users.keys().filter(|user| user.is_empty() || user.contains(':')) {
            let message = "expected a name that is not empty and has no `:`, which ends a name in a request";
            problems.push(Problem::of(users.key(user), message).with_the_key());
        }
        problems
    }

    /// The headers of every answer.
    pub(super) fn headers(&self) -> Result<HeaderMap, Vec<Problem>> {
        let all = Path::default().key("http_server_config").key("headers");
        let mut headers = HeaderMap::new();
        let mut problems = Vec::new();
        for (name, value) in &self.http_server_config.headers {
            let at = all.key(name);
            let known = HEADERS.iter().find(|(known, _)| known == name);
            let parsed = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::try_from(value.as_str()).ok());
            match (known, parsed) {
                (None, _) => {
                    let names = choice(HEADERS.iter().map(|(known, _)| *known));
                    problems
                        .push(Problem::of(at, format!("this header cannot be set: expected {names}")).with_the_key());
                }
                (Some((_, values)), _) if !values.is_empty() && !values.contains(&value.as_str()) => {
                    problems.push(Problem::of(at, format!("expected {}", choice(values.iter().copied()))));
                }
                (Some(_), None) => problems.push(Problem::of(at, "expected a line of printable ASCII")),
                (Some(_), Some((name, value))) => drop(headers.insert(name, value)),
            }
        }
        if problems.is_empty() { Ok(headers) } else { Err(problems) }
    }

    /// From one request to the next, and how many at once; none if the interval is zero.
    pub(super) fn limit(&self) -> Result<Option<(Duration, u32)>, Problem> {
        let Some(RateLimit { interval, burst }) = &self.rate_limit else { return Ok(None) };
        let at = Path::default().key("rate_limit");
        let wanted = "expected a duration such as 100ms or 1s, with its unit";
        let interval = humantime::parse_duration(interval).map_err(|_| Problem::of(at.key("interval"), wanted))?;
        match burst {
            _ if interval.is_zero() => Ok(None),
            0 => Err(Problem::of(at.key("burst"), "expected at least 1: with 0 nobody would be answered")),
            burst => Ok(Some((interval, *burst))),
        }
    }
}

impl Tls {
    /// Where certificate, key and authorities are, by the key that says so.
    pub(super) fn parts(&self) -> [(&'static str, Option<Part<'_>>); 3] {
        let either = |here: &'static str, text, there: &'static str, file| match (text, file) {
            (Some(text), _) => (here, Some(Part::Text(text))),
            (None, Some(file)) => (there, Some(Part::File(file))),
            (None, None) => (there, None),
        };
        [
            either("cert", self.cert.as_deref(), "cert_file", self.cert_file.as_deref()),
            either("key", self.key.as_deref(), "key_file", self.key_file.as_deref()),
            either("client_ca", self.client_ca.as_deref(), "client_ca_file", self.client_ca_file.as_deref()),
        ]
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut say = |key: &str, message: &str| problems.push(problem(key, message));
        let twice = [
            ("cert", self.cert.is_some() && self.cert_file.is_some()),
            ("key", self.key.is_some() && self.key_file.is_some()),
            ("client_ca", self.client_ca.is_some() && self.client_ca_file.is_some()),
        ];
        for (key, _) in twice.iter().filter(|(_, twice)| *twice) {
            say(key, "stands here and in a file: leave one of them out");
        }
        let [(_, cert), (_, key), (authorities_key, authorities)] = self.parts();
        if cert.is_none() || key.is_none() {
            say("", "expected a certificate and its key: cert_file and key_file");
        }
        let verifies = match self.client_auth_type {
            ClientAuth::None => {
                if authorities.is_some() {
                    say(authorities_key, "is there, but client_auth_type asks no client for a certificate");
                }
                if !self.client_allowed_sans.is_empty() {
                    say("client_allowed_sans", "is there, but client_auth_type asks no client for a certificate");
                }
                false
            }
            ClientAuth::Request | ClientAuth::RequireAny => false,
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => true,
        };
        if verifies && authorities.is_none() {
            say("client_auth_type", "needs to know who vouches for clients: give client_ca_file");
        }
        if self.client_allowed_sans.iter().any(|name| name.contains('@')) {
            say(
                "client_allowed_sans",
                "addresses of mail are not compared here: expected DNS names, IP addresses or URIs",
            );
        }
        if self.min_version > self.max_version {
            say("max_version", "is below min_version");
        }
        problems
    }
}

/// A problem with a key of `tls_server_config`, or with all of it.
pub(super) fn problem(key: &str, message: &str) -> Problem {
    let path = Path::default().key("tls_server_config");
    Problem::of(if key.is_empty() { path } else { path.key(key) }, message)
}
