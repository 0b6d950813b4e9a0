//! Where a provider entry sends its requests.

use url::{Host, Url};

use crate::document::{Path, Problem};
use crate::providers::{Environment, Facts, Site};

/// The host of the environment, or `base_url`. A key of one environment never goes to the other's host.
pub(super) fn of(
    facts: &Facts,
    environment: Environment,
    base_url: Option<&str>,
    provider: &Path,
) -> Result<Site, Problem> {
    let (documented, other) = match environment {
        Environment::Production => (Some(facts.production), facts.sandbox),
        Environment::Sandbox => (facts.sandbox, Some(facts.production)),
    };
    let Some(written) = base_url else {
        let message = format!("{} has no public sandbox: give its `base_url`", facts.title);
        let documented = documented.ok_or_else(|| Problem::of(provider.key("environment"), message))?;
        let base_url = Url::parse(documented)
            .map_err(|_| Problem::of(provider.key("api"), "the documented host of this API is no URL"))?;
        return Ok(Site { base_url, environment });
    };
    let refused = |message: &str| Problem::of(provider.key("base_url"), message);
    let url = Url::parse(written).map_err(|_| refused("expected a URL such as https://api.example.com"))?;
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err(refused("expected https; http only to this machine, such as http://127.0.0.1:8080")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("expected no user and no password in the URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("expected neither `?` nor `#` in the URL"));
    }
    let is_host_of = |documented: Option<&str>| {
        documented.and_then(|text| Url::parse(text).ok()).is_some_and(|documented| documented.host() == url.host())
    };
    if is_host_of(other) && !is_host_of(documented) {
        return Err(refused(match environment {
            Environment::Production => "this is the sandbox host: set `environment: sandbox`, or remove base_url",
            Environment::Sandbox => "this is the production host: set `environment: production`, or remove base_url",
        }));
    }
    Ok(Site { base_url: url, environment })
}
