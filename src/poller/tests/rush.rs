//! Many that are due at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::time::{advance, sleep};

use super::super::{Edge, MOST_BEGUN, Poller};
use super::stage::{Entry, Stage, fleet, secs};
use crate::board::{Board, Progress};
use crate::route::Route;
use crate::store::Store;
use crate::transport::{Outcome, Transport};

/// Counts at each request how many polls had begun that had sent nothing yet.
struct Counting {
    board: Arc<Board>,
    transport: Arc<dyn Transport>,
    sent: AtomicUsize,
    most: AtomicUsize,
}

impl Transport for Counting {
    fn along(&self, _: &Route) -> Option<Arc<dyn Transport>> {
        None
    }

    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        let begun = self.board.view().accounts.iter().filter(|status| status.progress == Progress::Asking).count();
        let sent = self.sent.fetch_add(1, Ordering::SeqCst);
        // those that have been answered are not among the first any more
        self.most.fetch_max(begun.saturating_sub(sent), Ordering::SeqCst);
        self.transport.send(request, deadline)
    }
}

#[tokio::test(start_paused = true)]
async fn few_are_begun_before_those_under_way_get_on() {
    let stage = Stage::new();
    let Edge { clock, transport, board, telemetry, .. } = &*stage.edge;
    let (transport, board) = (transport.clone(), board.clone());
    let counting =
        Arc::new(Counting { board: board.clone(), transport, sent: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let edge = Edge {
        clock: clock.clone(),
        transport: counting.clone(),
        store: Store::memory(),
        board,
        telemetry: telemetry.clone(),
    };
    let (handle, run) = Poller::new(Arc::new(edge), 1).start();
    tokio::spawn(run);
    let names: Vec<String> = (0..10 * MOST_BEGUN).map(|n| format!("a{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    handle.configure(fleet(&[Entry { interval: 3600, ..Entry::new("p", &names) }])).await;
    let is_at_rest = || counting.board.view().accounts.iter().all(|status| status.progress == Progress::Resting);
    while counting.sent.load(Ordering::SeqCst) < names.len() || !is_at_rest() {
        sleep(secs(1)).await;
    }
    counting.sent.store(0, Ordering::SeqCst);
    counting.most.store(0, Ordering::SeqCst);
    // nobody runs meanwhile, and the turns of all have come
    advance(secs(3600)).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(counting.sent.load(Ordering::SeqCst), names.len());
    assert_eq!(counting.most.load(Ordering::SeqCst), MOST_BEGUN);
}
