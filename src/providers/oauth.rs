//! Logging in at an OAuth 2 token endpoint: three grants, and what its replies mean. RFC 6749.
//!
//! Everything secret goes into the form or into the `Authorization` header, never into the URL, which
//! proxies write down. A refresh token is spent by its use, so that a refused one is not tried again.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use url::form_urlencoded::Serializer;

use super::{Login, LoginExchange, LoginStep, Session, wire, wso2};
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure};
use crate::secret::{Secret, Secrets, Source};

/// The key `login` of a provider entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// How to ask for a token.
    grant: Grant,
    /// The application's consumer key.
    client_id: String,
    /// The application's consumer secret.
    client_secret: Source,
    /// For `password`: the name of the user.
    username: Option<String>,
    /// For `password`: the password of the user.
    password: Option<Source>,
    /// For `refresh_token`: the token to begin with.
    refresh_token: Option<Source>,
    /// For `password` and `refresh_token`: the scope to ask for, `PRODUCTION` if left out.
    scope: Option<String>,
}

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Grant {
    /// With the application's key and secret.
    ClientCredentials,
    /// With the name and password of a user.
    Password,
    /// With a refresh token, which every use replaces.
    RefreshToken,
}

const SCOPE: &str = "PRODUCTION";

impl Settings {
    /// The secrets, with the key of each.
    pub(super) fn secrets(&self) -> Vec<(&'static str, &Source)> {
        let optional = [("login.password", &self.password), ("login.refresh_token", &self.refresh_token)];
        let sent = optional.into_iter().filter_map(|(key, source)| Some((key, source.as_ref()?)));
        std::iter::once(("login.client_secret", &self.client_secret)).chain(sent).collect()
    }

    /// Every key that the grant needs, and no other.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let (password, refresh) = (self.grant == Grant::Password, self.grant == Grant::RefreshToken);
        for (key, given, needed) in [
            ("login.username", self.username.is_some(), password),
            ("login.password", self.password.is_some(), password),
            ("login.refresh_token", self.refresh_token.is_some(), refresh),
        ] {
            if needed && !given {
                return Err(Problem::at(key, "the grant needs this key"));
            }
            if given && !needed {
                return Err(Problem::at(key, "the grant does not use this key; remove it"));
            }
        }
        if self.scope.is_some() && self.grant == Grant::ClientCredentials {
            return Err(Problem::at("login.scope", "the grant does not use this key; remove it"));
        }
        if self.client_id.is_empty() || self.client_id.contains(':') {
            return Err(Problem::at("login.client_id", "expected the application's consumer key, without a colon"));
        }
        Ok(())
    }
}

/// A token endpoint and the means to be given a token.
pub(super) struct OAuth {
    endpoint: String,
    client_id: String,
    client_secret: Secret,
    /// For the grants that name the client in a header.
    client: HeaderValue,
    scope: String,
    means: Means,
}

/// What the configured grant hands in.
enum Means {
    ClientCredentials,
    Password { username: String, password: Secret },
    RefreshToken(Secret),
}

/// One request for a token.
#[derive(Clone, Copy)]
enum Attempt<'a> {
    Configured,
    Refresh(&'a Secret),
}

impl OAuth {
    /// Takes the secrets in.
    pub(super) fn connect(settings: &Settings, base_url: &Url, path: &str, secrets: &Secrets) -> Result<Self, Problem> {
        let client_secret = wire::secret(secrets, "login.client_secret")?;
        let means = match settings.grant {
            Grant::ClientCredentials => Means::ClientCredentials,
            Grant::Password => Means::Password {
                username: settings.username.clone().unwrap_or_default(),
                password: wire::secret(secrets, "login.password")?.clone(),
            },
            Grant::RefreshToken => Means::RefreshToken(wire::secret(secrets, "login.refresh_token")?.clone()),
        };
        Ok(Self {
            endpoint: wire::endpoint(base_url, path),
            client_id: settings.client_id.clone(),
            client_secret: client_secret.clone(),
            client: wire::basic(&settings.client_id, client_secret)
                .map_err(|_| Problem::at("login.client_secret", "does not fit into a header"))?,
            scope: settings.scope.clone().unwrap_or_else(|| SCOPE.to_owned()),
            means,
        })
    }

    /// What to try, in order: to refresh the session, then the configured grant, unless that would hand
    /// in the same refresh token once more.
    fn attempts<'a>(&'a self, renew: Option<&'a Session>) -> Vec<Attempt<'a>> {
        let Some(held) = renew.and_then(|session| session.refresh.as_ref()) else { return vec![Attempt::Configured] };
        match &self.means {
            Means::RefreshToken(configured) if configured == held => vec![Attempt::Refresh(held)],
            Means::ClientCredentials | Means::Password { .. } | Means::RefreshToken(_) => {
                vec![Attempt::Refresh(held), Attempt::Configured]
            }
        }
    }

    fn request(&self, attempt: Attempt<'_>) -> Result<Request<Bytes>, Failure> {
        let mut form = Serializer::new(String::new());
        let in_header = match (attempt, &self.means) {
            (Attempt::Refresh(token), _) | (Attempt::Configured, Means::RefreshToken(token)) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", token.expose());
                form.append_pair("scope", &self.scope);
                true
            }
            (Attempt::Configured, Means::Password { username, password }) => {
                form.append_pair("grant_type", "password");
                form.append_pair("username", username);
                form.append_pair("password", password.expose());
                form.append_pair("scope", &self.scope);
                true
            }
            (Attempt::Configured, Means::ClientCredentials) => {
                form.append_pair("grant_type", "client_credentials");
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", self.client_secret.expose());
                false
            }
        };
        let mut request = Request::post(&self.endpoint)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if in_header {
            request = request.header(header::AUTHORIZATION, self.client.clone());
        }
        wire::built(request.body(form.finish().into()))
    }
}

impl Login for OAuth {
    fn step(&self, exchange: &LoginExchange<'_>) -> Result<LoginStep, Failure> {
        let attempts = self.attempts(exchange.renew);
        let next = attempts.get(exchange.replies.len());
        let Some(reply) = exchange.replies.last() else { return self.send(next) };
        match session(reply) {
            Ok(mut session) => {
                // a server may keep the refresh token as it is and not send it again
                if let (None, Some(Attempt::Refresh(kept))) =
                    (&session.refresh, attempts.get(exchange.replies.len() - 1))
                {
                    session.refresh = Some((*kept).clone());
                }
                Ok(LoginStep::Done(session))
            }
            Err(Refusal { grant_refused: true, .. }) if next.is_some() => self.send(next),
            Err(Refusal { failure, .. }) => Err(failure),
        }
    }
}

impl OAuth {
    fn send(&self, attempt: Option<&Attempt<'_>>) -> Result<LoginStep, Failure> {
        let attempt = attempt.ok_or_else(|| Failure::new(ErrorReason::Internal, "no way to log in is left"))?;
        self.request(*attempt).map(LoginStep::Send)
    }
}

/// Why a reply brought no session.
struct Refusal {
    failure: Failure,
    /// The grant itself was refused, so that another one may help.
    grant_refused: bool,
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

/// A login is not told the time. A date in `Retry-After` counts beside the reply's own `Date`, else as past.
const NO_CLOCK: Timestamp = Timestamp::MAX;

fn session(reply: &Response<Bytes>) -> Result<Session, Refusal> {
    let by_status = wire::success(reply, NO_CLOCK);
    if reply.status().is_redirection() {
        by_status.clone()?;
    }
    if let Some(fault) = wso2::fault(reply) {
        return Err(fault.failure(reply, NO_CLOCK).into());
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
        .and_then(|raw| raw.get().trim_matches('"').parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite())
        .map_or(USUAL_LIFETIME, |seconds| Duration::from_secs_f64(seconds.clamp(LEAST_LIFETIME, MOST_LIFETIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> Result<(), String> {
        serde_yaml::from_str::<Settings>(yaml)
            .map_err(|error| error.to_string())
            .and_then(|settings| settings.check().map_err(|problem| problem.path.to_string()))
    }

    #[test]
    fn a_grant_takes_its_own_keys_only() {
        let id = "client_id: key, client_secret: { file: s }";
        for (grant, keys, problem) in [
            ("client_credentials", "", None),
            ("client_credentials", ", username: u", Some("login.username")),
            ("client_credentials", ", password: { file: p }", Some("login.password")),
            ("client_credentials", ", refresh_token: { file: r }", Some("login.refresh_token")),
            ("client_credentials", ", scope: X", Some("login.scope")),
            ("password", ", username: u, password: { file: p }", None),
            ("password", ", username: u, password: { file: p }, scope: X", None),
            ("password", ", username: u", Some("login.password")),
            ("password", ", password: { file: p }", Some("login.username")),
            ("refresh_token", ", refresh_token: { file: r }", None),
            ("refresh_token", "", Some("login.refresh_token")),
            ("refresh_token", ", refresh_token: { file: r }, username: u", Some("login.username")),
        ] {
            let checked = settings(&format!("{{ grant: {grant}, {id}{keys} }}"));
            assert_eq!(checked.err().as_deref(), problem, "{grant}{keys}");
        }
        for client in ["''", "'a:b'"] {
            let checked = settings(&format!(
                "{{ grant: client_credentials, client_id: {client}, client_secret: {{ file: s }} }}"
            ));
            assert_eq!(checked.err().as_deref(), Some("login.client_id"), "{client}");
        }
    }

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
    fn tokens_are_plain_text() {
        for text in ["", "a b", "a\r\nX: y", "a\0", "é", &"x".repeat(4097)] {
            assert!(!is_token(&Secret::new(text)), "{text:?}");
        }
        assert!(is_token(&Secret::new("x".repeat(4096))) && is_token(&Secret::new("a-._~+/=")));
    }
}
