//! How the daemon ends: everything in its order, each within its time.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind};
use tokio::time::timeout;

use super::keeper::Keeper;
use super::{AppError, on_signal};
use crate::board::Board;
use crate::store::Store;
use crate::web;

/// How long polls under way may take to end after a signal to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// So long after it, it must have been written down how it ended …
const WRITTEN: Duration = Duration::from_millis(5_500);
/// … and so long after it the last answers are cut short: a service manager's patience has an end …
const ANSWERED: Duration = Duration::from_millis(5_800);
/// … though each of these has this long in any case.
const LEAST: Duration = Duration::from_millis(300);

/// The signals that mean stop.
pub(super) struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    /// From now on they end nothing by themselves.
    pub(super) fn listen() -> Result<Self, AppError> {
        Ok(Self { terminate: on_signal(SignalKind::terminate())?, interrupt: on_signal(SignalKind::interrupt())? })
    }

    /// Resolves when one comes.
    pub(super) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends polls, state and web side. Scrapes are answered until the last poll is in.
pub(super) async fn end(keeper: &Keeper, store: &Store, board: &Board, server: web::Handle) {
    let begun = keeper.clock.now().boot;
    let left = |end: Duration| end.saturating_sub(keeper.clock.now().boot.since(begun)).max(LEAST);
    keeper.poller.stop(DRAIN).await;
    store.close(board, left(WRITTEN)).await;
    // whoever reads too slowly has no whole answer
    let _ = timeout(left(ANSWERED), server.stop()).await;
}
