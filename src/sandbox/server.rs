//! The sockets of the sandbox: HTTP/1.1, bounded in connections, bytes and time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::call::{Answer, Call, json};
use super::fault::MOST_DELAY;
use super::{Sandbox, control, may_control, router};

/// Connections at a time; more wait.
const MOST_CONNECTIONS: usize = 256;
/// Bytes of a request's body.
const MOST_BODY: usize = 64 * 1024;
/// How long a request's head, and then its body, may take to arrive. Idle connections end after it too.
const PATIENCE: Duration = Duration::from_secs(75);
/// A pause after the machine refused to accept, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes.
pub(super) async fn serve(
    sandbox: Arc<Sandbox>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // dropped at the end, which ends every connection
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            // the semaphore is never closed, so this always is a slot
            let slot = Arc::clone(&slots).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let sandbox = Arc::clone(&sandbox);
                    connections.spawn(async move {
                        let _slot = slot;
                        connection(sandbox, stream, peer).await;
                    });
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    Ok(())
}

async fn connection(sandbox: Arc<Sandbox>, stream: TcpStream, peer: SocketAddr) {
    let service = service_fn(move |request| {
        let sandbox = Arc::clone(&sandbox);
        async move { exchange(&sandbox, request, peer).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // a peer that goes away, or that we hang up on, is an everyday thing here
    drop(served);
}

/// One request and its answer; an error closes the connection without one.
async fn exchange(
    sandbox: &Sandbox,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with(control::ROOT) && !may_control(peer) {
        return Ok(json(StatusCode::FORBIDDEN, r#"{"error":"control is for this machine only"}"#).map(Full::new));
    }
    let Ok(Ok(body)) = timeout(PATIENCE, Limited::new(body, MOST_BODY).collect()).await else {
        return Ok(json(StatusCode::PAYLOAD_TOO_LARGE, r#"{"message":"no complete body"}"#).map(Full::new));
    };
    let body = body.to_bytes();
    // the world is locked while it decides, never while it waits
    let answer = {
        let now = sandbox.clock.now();
        router::answer(&mut sandbox.world(), &Call { parts: &parts, body: &body, now })
    };
    match answer {
        Answer::Reply(reply) => Ok(reply.map(Full::new)),
        Answer::Late(delay, reply) => {
            sleep(delay).await;
            Ok(reply.map(Full::new))
        }
        Answer::Never => {
            // far beyond any client's patience; the bound only frees the slot of one that leaves it open
            sleep(MOST_DELAY).await;
            Err(io::ErrorKind::TimedOut.into())
        }
        Answer::Close => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
