//! The only HTTP client: one request in, one complete reply or one reason out.
//!
//! No redirects, no retries, no proxy from the environment, no decompression, no second use of a connection unless the
//! provider entry asks for that, a body of at most 64 KiB, a deadline for everything: each of these is a promise that
//! the library's defaults break.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use reqwest::dns::Resolve;
use rustls::ClientConfig;
use url::Url;

mod connector;
mod keep_alive;
mod kept;
mod phase;
mod pool;
mod resolver;
mod tls;
mod trouble;
mod wire;

use keep_alive::KeepAlive;
use phase::{NotePhase, Phase};
use resolver::{Resolver, SystemResolver};
pub use tls::Authorities;
use trouble::{explained, malformed};

use crate::clock::{Clock, SystemClock};
use crate::failure::{ErrorReason, Failure};
use crate::route::{Identity, Route};

/// The longest body that is read.
pub const MOST_BODY_BYTES: usize = 64 * 1024;
/// The most header lines of a reply.
const MOST_HEADERS: usize = 100;
/// Who we say we are.
const OUR_NAME: &str = concat!("balance-exporter/", env!("CARGO_PKG_VERSION"));

/// A reply, or why there is none.
pub type Outcome = Result<Response<Bytes>, Failure>;

/// Among the extensions of a reply: how long was listened, once it was whole, for what comes behind it.
#[derive(Clone, Copy, Debug)]
pub struct Rested(pub Duration);

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
    /// Whether connections are used again.
    pub keep_alive: bool,
    /// For how long at least nothing may come behind an answer before its connection is used again.
    pub silence: Duration,
    /// What tells how long they have rested.
    pub clock: Arc<dyn Clock>,
}

impl Default for Settings {
    /// Five seconds, whom the system trusts, and a connection for each request; a tenth of a second if that changes.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            authorities: Authorities::System,
            identity: None,
            proxy: None,
            keep_alive: false,
            silence: Duration::from_millis(100),
            clock: Arc::new(SystemClock),
        }
    }
}

/// HTTP/1.1 over TCP or TLS.
#[derive(Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    kept: Option<KeepAlive>,
    settings: Settings,
    resolver: Resolver,
    tls: Arc<ClientConfig>,
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
        let Settings { connect_timeout, authorities, identity, proxy, .. } = settings.clone();
        let config = tls::config(authorities, identity).map_err(|error| TransportError(error.into()))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config.clone())
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
            .user_agent(OUR_NAME);
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| TransportError(error.into()))?);
        }
        let client = builder.build().map_err(|error| TransportError(error.into()))?;
        Self { client, kept: None, settings: settings.clone(), resolver, tls: Arc::new(config) }.set(settings)
    }

    /// The same client with these settings, which trust the same and go the same way: what is shared is what is costly
    /// to make. Connections are never shared.
    fn set(&self, settings: Settings) -> Result<Self, TransportError> {
        let kept = settings.keep_alive.then(|| KeepAlive::new(&settings, self.resolver.clone(), self.tls.clone()));
        let kept = kept.transpose().map_err(TransportError)?;
        let (client, resolver, tls) = (self.client.clone(), self.resolver.clone(), self.tls.clone());
        Ok(Self { client, kept, settings, resolver, tls })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Outcome {
        if let Some(kept) = &self.kept {
            // it takes several times what the rest does, and most providers have no kept connections
            return Box::pin(kept.exchange(request, &self.settings)).await;
        }
        let request = reqwest::Request::try_from(request)
            .map_err(|_| Failure::new(ErrorReason::Internal, "the request could not be built"))?;
        let reply = self.client.execute(request).await.map_err(|error| explained(&error, &self.settings))?;
        phase::note(Phase::Body);
        whole(reply.into(), &self.settings).await
    }
}

/// The reply with all of its body.
async fn whole<B>(reply: Response<B>, settings: &Settings) -> Outcome
where
    B: Body<Data = Bytes, Error: StdError + 'static> + Unpin,
{
    let (head, mut rest) = reply.into_parts();
    if has_doubtful_length(&head.headers) {
        return Err(malformed("the answer states the length of its body in a doubtful way"));
    }
    let mut body = BytesMut::new();
    while let Some(frame) = rest.frame().await {
        let frame = frame.map_err(|error| explained(&error, settings))?;
        // trailers say nothing that anybody here asks for
        let Ok(chunk) = frame.into_data() else { continue };
        if body.len() + chunk.len() > MOST_BODY_BYTES {
            return Err(malformed(format!("the answer is larger than {} KiB", MOST_BODY_BYTES / 1024)));
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Ok(response)
}

impl Transport for HttpTransport {
    fn along(&self, route: &Route) -> Option<Arc<dyn Transport>> {
        if route.is_usual() {
            return None;
        }
        let leads_as_usual = route.leads_as_usual();
        let Route { authorities, identity, proxy, keep_alive } = route.clone();
        let transport = if leads_as_usual {
            self.set(Settings { keep_alive, ..self.settings.clone() })
        } else {
            let settings = Settings {
                authorities: authorities.map_or_else(|| self.settings.authorities.clone(), Authorities::Only),
                identity,
                proxy,
                keep_alive,
                ..self.settings.clone()
            };
            Self::build(settings, self.resolver.clone())
        };
        // without its own way a provider is not asked at all
        Some(transport.map_or_else(
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
