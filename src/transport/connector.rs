//! A connection made by our own hand, for those that are kept: the library keeps its own to itself.
//!
//! It goes the same way as a fresh one of the library does: the same resolver, the same limits, TLS with the same
//! sessions, a proxy asked for a tunnel. The phases are noted on the way.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use reqwest::dns::{Addrs, Resolve as _};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Url;

use super::phase::{Phase, note};
use super::resolver::Resolver;
use super::wire::Wire;

/// What went wrong, for whoever can put it in words.
pub(super) type Trouble = Box<dyn StdError + Send + Sync>;

/// A stream to the provider itself, inside TLS if there is any.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections.
pub(super) struct Connector {
    http: HttpConnector<Names>,
    tls: TlsConnector,
    proxy: Option<Uri>,
    limit: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    pub(super) fn new(
        names: Resolver,
        tls: Arc<ClientConfig>,
        proxy: Option<&Url>,
        limit: Duration,
    ) -> Result<Self, Trouble> {
        let mut http = HttpConnector::new_with_resolver(Names(names));
        http.set_nodelay(true);
        // the scheme is looked at here, since TLS is made here
        http.enforce_http(false);
        http.set_connect_timeout(Some(limit));
        let proxy = proxy.map(|proxy| Uri::from_str(proxy.as_str())).transpose()?;
        Ok(Self { http, tls: TlsConnector::from(tls), proxy, limit })
    }

    /// A connection to where this leads, within the limit: the stream, and the wire below it.
    pub(super) async fn connect(&self, to: &Uri) -> Result<(Box<dyn Stream>, Wire), Trouble> {
        match tokio::time::timeout(self.limit, self.connected(to)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    async fn connected(&self, to: &Uri) -> Result<(Box<dyn Stream>, Wire), Trouble> {
        let stream = match &self.proxy {
            None => self.http.clone().call(to.clone()).await?,
            Some(proxy) => Tunnel::new(proxy.clone(), self.http.clone()).call(to.clone()).await?,
        };
        let stream: TcpStream = stream.into_inner();
        let wire = Wire::new(stream);
        let stream: Box<dyn Stream> = if to.scheme_str() == Some("https") {
            // an address of six stands in brackets
            let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            Box::new(self.tls.connect(ServerName::try_from(host.to_owned())?, wire.clone()).await?)
        } else {
            Box::new(wire.clone())
        };
        note(Phase::Exchange);
        Ok((stream, wire))
    }
}

/// The resolver, as the connector wants it.
#[derive(Clone)]
struct Names(Resolver);

impl Service<Name> for Names {
    type Response = Addrs;
    type Error = Trouble;
    type Future = Pin<Box<dyn Future<Output = Result<Addrs, Trouble>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match name.as_str().parse() {
            Ok(name) => self.0.resolve(name),
            Err(error) => Box::pin(std::future::ready(Err(Trouble::from(error)))),
        }
    }
}
