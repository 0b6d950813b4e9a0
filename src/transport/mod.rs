//! The only HTTP client: one request in, one complete reply or one reason out.
//!
//! No redirects, no retries, no proxy from the environment, no decompression, no second use of a connection, a body
//! of at most 64 KiB, a deadline for everything: each of these is a promise that the library's defaults break.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response};
use reqwest::dns::Resolve;
use url::Url;

mod phase;
mod resolver;
mod tls;
mod trouble;

use phase::{NotePhase, Phase};
use resolver::{Resolver, SystemResolver};
pub use tls::Authorities;
use trouble::malformed;

use crate::failure::{ErrorReason, Failure};
use crate::route::{Identity, Route};

/// The longest body that is read.
pub const MOST_BODY_BYTES: usize = 64 * 1024;
/// The most header lines of a reply.
const MOST_HEADERS: usize = 100;

/// A reply, or why there is none.
pub type Outcome = Result<Response<Bytes>, Failure>;

/// What carries requests to a provider and replies back.
pub trait Transport: Send + Sync {
    /// What carries those of a provider that is reached in its own way; `None` if this one does.
    fn along(&self, route: &Route) -> Option<Arc<dyn Transport>>;

    /// Sends the request once. It is over, one way or the other, within `deadline`.
    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
}

/// What can be chosen of the client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a connection may take: name, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Who may vouch for providers.
    pub authorities: Authorities,
    /// Who we are to a provider that asks.
    pub identity: Option<Identity>,
    /// The HTTP proxy that connects us; without one nobody does, whatever the environment says.
    pub proxy: Option<Url>,
}

impl Default for Settings {
    /// Five seconds, and whom the system trusts.
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), authorities: Authorities::System, identity: None, proxy: None }
    }
}

/// HTTP/1.1 over TCP or TLS.
#[derive(Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    settings: Settings,
    resolver: Resolver,
}

/// The client could not be built.
#[derive(Debug)]
pub struct TransportError(Box<dyn StdError + Send + Sync>);

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set up the HTTP client: {}", self.0)
    }
}

impl StdError for TransportError {}

impl HttpTransport {
    /// A client that verifies providers against the certificate authorities of the system.
    pub fn new() -> Result<Self, TransportError> {
        Self::with(Settings::default())
    }

    /// A client of one's own choice.
    pub fn with(settings: Settings) -> Result<Self, TransportError> {
        Self::resolving(settings, Arc::new(SystemResolver::default()))
    }

    /// The same, where names are looked up in another place than the system.
    pub fn resolving(settings: Settings, names: Arc<dyn Resolve>) -> Result<Self, TransportError> {
        Self::build(settings, Resolver::new(names))
    }

    fn build(settings: Settings, resolver: Resolver) -> Result<Self, TransportError> {
        let Settings { connect_timeout, authorities, identity, proxy } = settings.clone();
        let config = tls::config(authorities, identity).map_err(|error| TransportError(error.into()))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .dns_resolver(resolver.clone())
            .connector_layer(NotePhase)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .http1_only()
            .http1_max_headers(MOST_HEADERS)
            .pool_max_idle_per_host(0)
            .connect_timeout(connect_timeout)
            .user_agent(concat!("balance-exporter/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| TransportError(error.into()))?);
        }
        let client = builder.build().map_err(|error| TransportError(error.into()))?;
        Ok(Self { client, settings, resolver })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Outcome {
        let request = reqwest::Request::try_from(request)
            .map_err(|_| Failure::new(ErrorReason::Internal, "the request could not be built"))?;
        let explained = |error| trouble::explained(&error, &self.settings);
        let mut reply = self.client.execute(request).await.map_err(explained)?;
        phase::note(Phase::Body);
        if has_doubtful_length(reply.headers()) {
            return Err(malformed("the answer states the length of its body in a doubtful way"));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = reply.chunk().await.map_err(explained)? {
            if body.len() + chunk.len() > MOST_BODY_BYTES {
                return Err(malformed(format!("the answer is larger than {} KiB", MOST_BODY_BYTES / 1024)));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = reply.status();
        std::mem::swap(response.headers_mut(), reply.headers_mut());
        Ok(response)
    }
}

impl Transport for HttpTransport {
    fn along(&self, route: &Route) -> Option<Arc<dyn Transport>> {
        if route.is_usual() {
            return None;
        }
        let Route { authorities, identity, proxy } = route.clone();
        let settings = Settings {
            authorities: authorities.map_or_else(|| self.settings.authorities.clone(), Authorities::Only),
            identity,
            proxy,
            ..self.settings
        };
        // without its own way a provider is not asked at all
        Some(Self::build(settings, self.resolver.clone()).map_or_else(
            |error| Arc::new(Closed(error.to_string())) as Arc<dyn Transport>,
            |transport| Arc::new(transport),
        ))
    }

    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(phase::scope(async move {
            match tokio::time::timeout(deadline, self.exchange(request)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(trouble::late(deadline)),
            }
        }))
    }
}

/// A way that could not be built. The configuration was checked, so nobody should meet this.
struct Closed(String);

impl Transport for Closed {
    fn along(&self, _: &Route) -> Option<Arc<dyn Transport>> {
        None
    }

    fn send(&self, _: Request<Bytes>, _: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        let failure = Failure::new(ErrorReason::Internal, self.0.clone());
        Box::pin(std::future::ready(Err(failure)))
    }
}

/// True if two readers could see bodies of two lengths in this reply. The library takes the sender's word for more
/// than one statement, and reads on to the end of the connection after a coding that it does not know.
fn has_doubtful_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => false,
        (Some(length), None) => lengths.next().is_some() || length.as_bytes().contains(&b','),
        (None, Some(coding)) => codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::dns::{Name, Resolving};

    use super::*;

    /// A resolver whose answer never comes.
    struct Silent;

    impl Resolve for Silent {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_is_dns_by_either_limit() {
        let transport = HttpTransport::resolving(Settings::default(), Arc::new(Silent)).unwrap();
        for (deadline, said) in [(60, "gave up after 5s"), (3, "no complete answer within 3s")] {
            let request = Request::get("https://provider.test/path").body(Bytes::new()).unwrap();
            let failure = transport.send(request, Duration::from_secs(deadline)).await.unwrap_err();
            assert_eq!(failure.reason, ErrorReason::Dns);
            assert!(failure.detail.starts_with(said), "{}", failure.detail);
        }
    }
}
