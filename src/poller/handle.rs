//! How others speak to a running poller.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::account::AccountId;
use crate::config::{Change, ProviderConfig};
use crate::providers::Connection;
use crate::schedule::NotNow;
use crate::service::Pulse;

/// What is to be polled from now on: every provider entry with its secrets in hand.
pub type Fleet = Vec<(Arc<ProviderConfig>, Connection)>;

/// The same as it differs from what was handed over last: every provider entry, and what becomes of it.
pub type Changes = Vec<(Arc<ProviderConfig>, Change)>;

/// Speaks to a running poller.
#[derive(Clone, Debug)]
pub struct Handle(pub(super) mpsc::Sender<Command>, pub(super) Pulse);

/// What they say.
pub(super) enum Command {
    Change(Changes, oneshot::Sender<()>),
    Reconnect(Arc<str>, Connection),
    PollNow(AccountId, oneshot::Sender<Result<(), NotNow>>),
    Stop(Duration, oneshot::Sender<()>),
}

impl Handle {
    /// Polls this from now on; returns when it is so. What is known of accounts and providers that stay is kept.
    pub async fn configure(&self, fleet: Fleet) {
        self.change(changes(fleet)).await;
    }

    /// The same, at the cost of what has changed: the loop polls nobody meanwhile.
    pub async fn change(&self, changes: Changes) {
        let (done, is_done) = oneshot::channel();
        // a poller that has stopped needs no configuration
        if self.0.send(Command::Change(changes, done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    /// Polls the accounts of one provider entry with other secrets from now on. Those that are failing are polled at
    /// once.
    pub async fn reconnect(&self, provider: Arc<str>, connection: Connection) {
        // a poller that has stopped needs no secrets
        let _ = self.0.send(Command::Reconnect(provider, connection)).await;
    }

    /// Has an account polled now, out of its rhythm but through the gate like any other, or says why not. It returns
    /// when that is decided, and not when the poll is over.
    pub async fn poll_now(&self, id: AccountId) -> Result<(), NotNow> {
        let (done, is_done) = oneshot::channel();
        // a poller that has stopped polls nobody
        if self.0.send(Command::PollNow(id, done)).await.is_err() {
            return Err(NotNow::Stopping);
        }
        is_done.await.unwrap_or(Err(NotNow::Stopping))
    }

    /// Tells whether the loop still turns.
    pub const fn pulse(&self) -> &Pulse {
        &self.1
    }

    /// Begins no more polls and waits for those under way, at most for this long.
    pub async fn stop(&self, patience: Duration) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Command::Stop(patience, done)).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

/// All of it, whatever was polled before.
pub(super) fn changes(fleet: Fleet) -> Changes {
    fleet.into_iter().map(|(provider, connection)| (provider, Change::Everything(connection))).collect()
}
