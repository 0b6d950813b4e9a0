//! Requests over connections that are kept, for provider entries that ask for it.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use rustls::ClientConfig;

use super::connector::{Connector, Trouble};
use super::kept::{Behind, Kept, NoAnswer};
use super::phase::{Phase, note};
use super::pool::Pool;
use super::resolver::Resolver;
use super::trouble::{explained, malformed};
use super::{OUR_NAME, Outcome, Rested, Settings, whole};
use crate::failure::{ErrorReason, Failure};

/// What keeps the connections of one provider entry.
#[derive(Debug)]
pub(super) struct KeepAlive {
    connector: Connector,
    pool: Pool,
}

impl KeepAlive {
    pub(super) fn new(settings: &Settings, names: Resolver, tls: Arc<ClientConfig>) -> Result<Self, Trouble> {
        let connector = Connector::new(names, tls, settings.proxy.as_ref(), settings.connect_timeout)?;
        Ok(Self { connector, pool: Pool::new(settings.clock.clone()) })
    }

    /// Sends the request once, over a connection that rests or over a new one. Whoever gives up takes the connection
    /// along.
    pub(super) async fn exchange(&self, request: Request<Bytes>, settings: &Settings) -> Outcome {
        let failed = |error: Trouble| explained(&*error, settings);
        let to = request.uri().clone();
        let authority = to.authority().cloned().ok_or_else(unsound)?;
        let mut request = as_sent(request).ok_or_else(unsound)?;
        let (mut kept, reply, began) = loop {
            let mut kept = match self.pool.take(&authority).await {
                Some(kept) => kept,
                None => self.connect(&to, authority.clone(), settings.silence).await.map_err(failed)?,
            };
            note(Phase::Exchange);
            let began = self.pool.now();
            match kept.ask(request).await {
                Ok(reply) => break (kept, reply, began),
                // it ended between the look at it and the first byte
                Err(NoAnswer::NotSent(unsent)) => request = *unsent,
                Err(NoAnswer::Failed(error)) => return Err(failed(error)),
            }
        };
        note(Phase::Body);
        let was_used = kept.is_used();
        let mut reply = kept.drive(whole(reply, settings)).await?;
        let ended = self.pool.now();
        match kept.listen(ended.since(began), ended).await {
            Behind::Silence(kept) => self.pool.put(*kept),
            Behind::End => {}
            // the first answer on a connection can be for the first request alone
            Behind::Speech if was_used => {
                return Err(malformed(
                    "more came behind the provider's answer: it may be the answer to something else",
                ));
            }
            Behind::Speech => {}
        }
        reply.extensions_mut().insert(Rested(self.pool.now().since(ended)));
        Ok(reply)
    }

    async fn connect(&self, to: &Uri, authority: Authority, silence: Duration) -> Result<Kept, Trouble> {
        let (stream, wire) = self.connector.connect(to).await?;
        Kept::of(stream, wire, authority, silence, self.pool.now()).await
    }
}

/// The request with what the library adds to it, and without the host before its path.
fn as_sent(request: Request<Bytes>) -> Option<Request<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    let (host, usual) = (head.uri.host()?, if head.uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = match head.uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    head.uri = Uri::from_str(path).ok()?;
    head.headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    head.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OUR_NAME));
    head.headers.entry(HOST).or_insert(HeaderValue::try_from(host).ok()?);
    Some(Request::from_parts(head, Full::new(body)))
}

fn unsound() -> Failure {
    Failure::new(ErrorReason::Internal, "the request could not be built")
}
