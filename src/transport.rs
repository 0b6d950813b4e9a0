//! The only HTTP client: one request in, one complete reply or one reason out.
//!
//! No redirects, no retries, no proxy from the environment, no decompression, no second use of a connection, a body
//! of at most 64 KiB, a deadline for everything: each of these is a promise that the library's defaults break.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::client::Tls13ClientSessionValue;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::failure::{ErrorReason, Failure};

/// The longest body that is read.
pub const MOST_BODY_BYTES: usize = 64 * 1024;
/// How long a connection may take: name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most header lines of a reply.
const MOST_HEADERS: usize = 100;
/// TLS sessions kept for resumption, over all providers.
const TLS_SESSIONS: usize = 256;

/// A reply, or why there is none.
pub type Outcome = Result<Response<Bytes>, Failure>;

/// What carries requests to a provider and replies back.
pub trait Transport: Send + Sync {
    /// Sends the request once. It is over, one way or the other, within `deadline`.
    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
}

/// HTTP/1.1 over TCP or TLS.
#[derive(Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
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
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config().map_err(|error| TransportError(error.into()))?)
            .dns_resolver(SystemResolver)
            .connector_layer(NotePhase)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .http1_only()
            .http1_max_headers(MOST_HEADERS)
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("balance-exporter/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| TransportError(error.into()))?;
        Ok(Self { client })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Outcome {
        let request = reqwest::Request::try_from(request)
            .map_err(|_| Failure::new(ErrorReason::Internal, "the request could not be built"))?;
        let mut reply = self.client.execute(request).await.map_err(|error| explain(&error))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| explain(&error))? {
            if body.len() + chunk.len() > MOST_BODY_BYTES {
                let detail = format!("the reply is larger than {} KiB", MOST_BODY_BYTES / 1024);
                return Err(Failure::new(ErrorReason::Malformed, detail));
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
    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(PHASE.scope(Cell::new(Phase::Connect), async move {
            match tokio::time::timeout(deadline, self.exchange(request)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    Err(out_of_time(&format!("no complete answer within {}", humantime::format_duration(deadline))))
                }
            }
        }))
    }
}

/// How far a request has got. The library does not tell, so the parts it calls note it here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resolve,
    Connect,
    Handshake,
    Exchange,
}

tokio::task_local! {
    static PHASE: Cell<Phase>;
}

fn note(phase: Phase) {
    // outside a request there is nothing to note
    let _ = PHASE.try_with(|cell| cell.set(phase));
}

fn phase() -> Phase {
    PHASE.try_with(Cell::get).unwrap_or(Phase::Exchange)
}

/// A phase that runs out of time carries its own name.
fn out_of_time(what: &str) -> Failure {
    match phase() {
        Phase::Resolve => Failure::new(ErrorReason::Dns, format!("{what}: the provider's name was not resolved")),
        Phase::Connect => Failure::new(ErrorReason::Connect, format!("{what}: the connection was not established")),
        Phase::Handshake => Failure::new(ErrorReason::Tls, format!("{what}: the TLS handshake did not finish")),
        Phase::Exchange => Failure::new(ErrorReason::Timeout, what),
    }
}

/// One reason for what the library reports. Its own text is left out: it can hold the URL.
fn explain(error: &reqwest::Error) -> Failure {
    if let Some(tls) = cause::<rustls::Error>(error) {
        return Failure::new(ErrorReason::Tls, format!("TLS with the provider failed: {}", tls_trouble(tls)));
    }
    if cause::<NotResolved>(error).is_some() {
        return Failure::new(ErrorReason::Dns, "the provider's host name has no address");
    }
    if error.is_timeout() {
        return out_of_time(&format!("gave up after {}", humantime::format_duration(CONNECT_TIMEOUT)));
    }
    let io = cause::<io::Error>(error).map(io::Error::kind);
    match phase() {
        Phase::Resolve => Failure::new(ErrorReason::Dns, "the provider's host name could not be resolved"),
        Phase::Connect => {
            let why = io.map_or_else(|| "refused".to_owned(), |kind| kind.to_string());
            Failure::new(ErrorReason::Connect, format!("cannot connect to the provider: {why}"))
        }
        Phase::Handshake => {
            let why = io.map_or_else(|| "not TLS".to_owned(), |kind| kind.to_string());
            Failure::new(ErrorReason::Tls, format!("no TLS session with the provider: {why}"))
        }
        Phase::Exchange => match io {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => {
                Failure::new(ErrorReason::Connect, "the provider reset the connection")
            }
            _ => Failure::new(ErrorReason::Malformed, "the provider's answer is not complete, valid HTTP"),
        },
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of another crate, which may grow")]
fn tls_trouble(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            format!("its certificate was refused ({why:?})").chars().take(160).collect()
        }
        rustls::Error::AlertReceived(alert) => format!("the provider sent the alert {alert:?}"),
        rustls::Error::PeerIncompatible(_) => "no protocol version or cipher suite in common".to_owned(),
        rustls::Error::InvalidMessage(_) => "the answer is not TLS".to_owned(),
        _ => "protocol error".to_owned(),
    }
}

fn cause<E: StdError + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // an `io::Error` hides what it wraps from `source`
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| inner.downcast_ref::<E>()) {
            return Some(found);
        }
        next = wrapped.map_or_else(|| error.source(), |inner| Some(inner as &(dyn StdError + 'static)));
    }
    None
}

#[derive(Debug)]
struct NotResolved;

impl fmt::Display for NotResolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address")
    }
}

impl StdError for NotResolved {}

/// The system's resolver, with the phase noted.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        note(Phase::Resolve);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NotResolved)?;
            let addresses: Vec<_> = found.collect();
            if addresses.is_empty() {
                return Err(NotResolved.into());
            }
            note(Phase::Connect);
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// Notes that the connection stands.
#[derive(Clone)]
struct NotePhase;

impl<S> tower_layer::Layer<S> for NotePhase {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Noting<S> {
        Noting(inner)
    }
}

#[derive(Clone)]
struct Noting<S>(S);

impl<S, R> tower_service::Service<R> for Noting<S>
where
    S: tower_service::Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connection = connecting.await?;
            note(Phase::Exchange);
            Ok(connection)
        })
    }
}

/// TLS 1.2 and 1.3 against the system's authorities, with sessions resumed: a fresh connection per request is
/// cheap that way. Without authorities nobody is trusted, and every handshake fails.
fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut config = match builder.clone().with_platform_verifier() {
        Ok(verified) => verified.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no certificate authorities on this system: https providers will fail with reason tls");
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(NotingSessions(ClientSessionMemoryCache::new(TLS_SESSIONS))));
    Ok(config)
}

/// Sessions for resumption. A look-up is the first thing a handshake does, and so tells that it has begun.
#[derive(Debug)]
struct NotingSessions(ClientSessionMemoryCache);

impl ClientSessionStore for NotingSessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        note(Phase::Handshake);
        self.0.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        note(Phase::Handshake);
        self.0.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        note(Phase::Handshake);
        self.0.take_tls13_ticket(server)
    }
}
