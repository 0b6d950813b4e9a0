//! The way to a provider: certificates, a proxy and what becomes of connections, as written and checked.

use schemars::JsonSchema;
use url::Url;

use crate::document::{Path, Problem};
use crate::providers::Site;
use crate::route::{CA, CLIENT_CERTIFICATE, CLIENT_KEY, Route};
use crate::secret::{Secrets, Source};

/// Certificates beside those that the system knows, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The authorities of which one must vouch for the provider, in place of those that the system trusts.
    #[serde(default)]
    ca: Option<Source>,
    /// The certificate that we show if the provider asks for one, followed by those between it and its authority.
    #[serde(default)]
    client_certificate: Option<Source>,
    /// The key of `client_certificate`.
    #[serde(default)]
    client_key: Option<Source>,
}

/// What a provider entry says of the way, without secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Way {
    tls: Tls,
    proxy: Option<Url>,
    keep_alive: bool,
}

impl Way {
    /// Checks it. `site` is where the way leads, if that is known.
    pub(super) fn of(
        tls: Option<&Tls>,
        proxy: Option<&str>,
        keep_alive: bool,
        site: Option<&Site>,
        provider: &Path,
    ) -> Result<Self, Vec<Problem>> {
        let plain = site.is_some_and(|site| site.base_url.scheme() == "http");
        let mut problems = Vec::new();
        if let Some(tls) = tls {
            problems.extend(tls.problem(plain).map(|problem| problem.below(provider)));
        }
        let proxy = proxy.map(|written| proxy_of(written, plain)).transpose();
        let proxy = proxy.map_err(|why| problems.push(Problem::of(provider.key("proxy"), why))).unwrap_or_default();
        if problems.is_empty() {
            Ok(Self { tls: tls.cloned().unwrap_or_default(), proxy, keep_alive })
        } else {
            Err(problems)
        }
    }

    /// The sources, with the key of each.
    pub(super) fn secrets(&self) -> Vec<(&'static str, &Source)> {
        let Tls { ca, client_certificate, client_key } = &self.tls;
        let keys = [(CA, ca), (CLIENT_CERTIFICATE, client_certificate), (CLIENT_KEY, client_key)];
        keys.into_iter().filter_map(|(key, source)| Some((key, source.as_ref()?))).collect()
    }

    /// The proxy, if there is one.
    pub(super) const fn proxy(&self) -> Option<&Url> {
        self.proxy.as_ref()
    }

    /// Whether connections are used again.
    pub(super) const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The way with its secrets in hand.
    pub(super) fn route(&self, secrets: &Secrets) -> Result<Route, Problem> {
        Route::of(secrets, self.proxy.clone(), self.keep_alive)
    }
}

impl Tls {
    fn problem(&self, plain: bool) -> Option<Problem> {
        let Self { ca, client_certificate, client_key } = self;
        match (ca, client_certificate, client_key) {
            (None, None, None) => {
                Some(Problem::at("tls", "expected `ca`, or `client_certificate` with `client_key`, or all three"))
            }
            (_, Some(_), None) => Some(Problem::at(CLIENT_CERTIFICATE, "give its key as `client_key`, too")),
            (_, None, Some(_)) => Some(Problem::at(CLIENT_KEY, "give its certificate as `client_certificate`, too")),
            (Some(_), None, None) | (_, Some(_), Some(_)) => {
                plain.then(|| Problem::at("tls", "`base_url` is http, which has no certificates"))
            }
        }
    }
}

/// A proxy sees what is asked over http, so that only https goes through one.
fn proxy_of(written: &str, plain: bool) -> Result<Url, &'static str> {
    let wanted = "expected http, a host and a port, such as http://proxy.example:3128";
    let url = Url::parse(written).map_err(|_| wanted)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected no user and no password in the URL; let the proxy know this machine by its address");
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "http" || url.host().is_none() || !bare {
        return Err(wanted);
    }
    if plain {
        return Err("`base_url` is http to this machine, which needs no proxy and must not be told to one");
    }
    Ok(url)
}
