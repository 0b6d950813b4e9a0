//! The HTTP client against servers that misbehave in every way that has a name: the reason is exact, one request is
//! on the wire per send at most, no connection outlives its request, and no failure tells what it was about.
//!
//! Not shown here: a connection attempt that is never answered. The loopback interface answers every attempt. It takes
//! the way of the silent resolver, which a test beside the client shows: the phase that runs out of time gives the
//! reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use balance_exporter::failure::Failure;
use balance_exporter::transport::{HttpTransport, Outcome, Settings, Transport};
use bytes::Bytes;
use http::Request;
use http::header::HeaderValue;

mod connection;
mod kept;
mod privacy;
mod reply;
mod server;
mod tls;

/// More than anything takes.
const AMPLE: Duration = Duration::from_secs(20);
/// For those who let time run out.
const SHORT: Duration = Duration::from_millis(600);

/// What must not be told: by part of the request.
const CANARIES: [&str; 5] = ["canary-path", "canary-query", "canary-header", "canary-sign", "canary-body"];

fn transport() -> HttpTransport {
    HttpTransport::new().unwrap()
}

/// One that keeps connections. Nothing waits longer for what may come behind an answer than it must to be seen.
fn keeping() -> HttpTransport {
    transport_with(Settings { keep_alive: true, ..Settings::default() })
}

fn transport_with(settings: Settings) -> HttpTransport {
    HttpTransport::with(settings).unwrap()
}

/// A request with a canary in every part.
fn request(origin: &str) -> Request<Bytes> {
    let mut secret = HeaderValue::from_static("canary-header");
    secret.set_sensitive(true);
    Request::post(format!("{origin}/canary-path?q=canary-query"))
        .header("authorization", secret)
        .header("sign", "canary-sign")
        .header("content-type", "application/json")
        .body(Bytes::from_static(b"{\"canary-body\":1}"))
        .unwrap()
}

/// Sends that request. Whatever comes of it, a failure tells nothing of it.
async fn send(transport: &HttpTransport, origin: &str, deadline: Duration) -> Outcome {
    let outcome = transport.send(request(origin), deadline).await;
    if let Err(failure) = &outcome {
        assert_tells_nothing(failure, origin);
    }
    outcome
}

fn assert_tells_nothing(failure: &Failure, origin: &str) {
    let told = format!("{failure:?}");
    let (_, authority) = origin.split_once("://").unwrap();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "://"));
    for secret in CANARIES.into_iter().chain([authority, host, port, "://"]) {
        assert!(!told.contains(secret), "{secret} stands in {told}");
    }
}

/// Sends a request, and gives it up once it is the one of this number that the server has seen.
async fn give_up_at(transport: &HttpTransport, origin: &str, server: &server::Server, number: usize) {
    let sending = send(transport, origin, AMPLE);
    tokio::pin!(sending);
    while server.seen.requests().len() < number {
        tokio::select! {
            outcome = &mut sending => panic!("nobody answered, but {outcome:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}
