//! How far a request has got. The library does not tell, so the parts that it calls note it here.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One after the other, for a request over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The name is looked up.
    Resolve,
    /// The connection is being made.
    Connect,
    /// The TLS session is being made.
    Handshake,
    /// The request is out, or about to be.
    Exchange,
    /// The head of the reply is in.
    Body,
}

tokio::task_local! {
    static PHASE: Cell<Phase>;
}

/// Runs a request. What it connects through must be polled here and not in a task of its own, as it is without a
/// pool of connections; the tests of every phase's failure would not pass otherwise.
pub(super) fn scope<T>(request: impl Future<Output = T>) -> impl Future<Output = T> {
    // a look-up is noted when it begins; an address needs none
    PHASE.scope(Cell::new(Phase::Connect), request)
}

/// Notes how far the request in this scope has got.
pub(super) fn note(phase: Phase) {
    // outside a request there is nothing to note
    let _ = PHASE.try_with(|cell| cell.set(phase));
}

/// How far the request in this scope has got.
pub(super) fn current() -> Phase {
    PHASE.try_with(Cell::get).unwrap_or(Phase::Exchange)
}

/// Notes that the connection stands.
#[derive(Clone)]
pub(super) struct NotePhase;

impl<S> tower_layer::Layer<S> for NotePhase {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Noting<S> {
        Noting(inner)
    }
}

#[derive(Clone)]
pub(super) struct Noting<S>(S);

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
