//! Logging in at an OAuth 2 token endpoint: three grants, and what its replies mean. RFC 6749.
//!
//! Everything secret goes into the form or into the `Authorization` header, never into the URL, which
//! proxies write down. A refresh token is spent by its use, so that a refused one is not tried again.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use super::token::{self, Refusal};
use super::{Login, LoginExchange, LoginStep, Session, wire};
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
        match token::session(reply, exchange.at) {
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

    fn begins_with(&self) -> Option<&Secret> {
        match &self.means {
            Means::RefreshToken(token) => Some(token),
            Means::ClientCredentials | Means::Password { .. } => None,
        }
    }
}

impl OAuth {
    fn send(&self, attempt: Option<&Attempt<'_>>) -> Result<LoginStep, Failure> {
        let attempt = attempt.ok_or_else(|| Failure::new(ErrorReason::Internal, "no way to log in is left"))?;
        self.request(*attempt).map(LoginStep::Send)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use jiff::Timestamp;

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

    fn client(yaml: &str) -> OAuth {
        let settings: Settings = serde_yaml::from_str(yaml).unwrap();
        let secrets = ["login.client_secret", "login.password", "login.refresh_token"]
            .into_iter()
            .map(|key| (key, Secret::new(format!("the {key}"))))
            .collect();
        OAuth::connect(&settings, &"https://host.example".parse().unwrap(), "/token", &secrets).unwrap()
    }

    fn held(refresh: &str) -> Session {
        Session { token: Secret::new("t"), refresh: Some(Secret::new(refresh)), lifetime: Duration::ZERO }
    }

    fn reply(body: &str) -> Response<Bytes> {
        Response::new(Bytes::copy_from_slice(body.as_bytes()))
    }

    const GRANTS: [&str; 3] = [
        "{ grant: client_credentials, client_id: key, client_secret: { file: s } }",
        "{ grant: password, client_id: key, client_secret: { file: s }, username: u, password: { file: p } }",
        "{ grant: refresh_token, client_id: key, client_secret: { file: s }, refresh_token: { file: r } }",
    ];

    #[test]
    fn a_refresh_token_that_is_not_replaced_is_kept() {
        for (sent, kept) in [("", "held"), (r#","refresh_token":"new""#, "new"), (r#","refresh_token":"""#, "held")] {
            let body = format!(r#"{{"access_token":"a","token_type":"Bearer","expires_in":60{sent}}}"#);
            for grant in GRANTS {
                let exchange =
                    LoginExchange { at: Timestamp::UNIX_EPOCH, renew: Some(&held("held")), replies: &[reply(&body)] };
                let LoginStep::Done(session) = client(grant).step(&exchange).unwrap() else { panic!("not done") };
                assert_eq!(session.refresh, Some(Secret::new(kept)), "{grant}{sent}");
                assert_eq!(session.lifetime, Duration::from_secs(60));
            }
        }
    }

    #[test]
    fn the_refresh_token_of_a_dead_session_is_not_kept() {
        let replies = [reply(r#"{"error":"invalid_grant"}"#), reply(r#"{"access_token":"a","token_type":"Bearer"}"#)];
        let login = client(GRANTS[0]);
        let step = login
            .step(&LoginExchange { at: Timestamp::UNIX_EPOCH, renew: Some(&held("dead")), replies: &replies })
            .unwrap();
        assert!(matches!(step, LoginStep::Done(Session { refresh: None, .. })));
    }

    #[test]
    fn no_secret_is_in_the_address_of_a_request() {
        for grant in GRANTS {
            for renew in [None, Some(&held("held"))] {
                let step =
                    client(grant).step(&LoginExchange { at: Timestamp::UNIX_EPOCH, renew, replies: &[] }).unwrap();
                let LoginStep::Send(request) = step else { panic!("nothing sent") };
                assert_eq!(request.uri(), "https://host.example/token");
                assert!(request.headers().get(header::AUTHORIZATION).is_none_or(HeaderValue::is_sensitive));
            }
        }
    }
}
