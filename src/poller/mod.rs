//! The loop: takes turns from the schedule, walks each poll through the gate of its provider, files the outcome on
//! the board, and hands the turn back.
//!
//! The loop keeps the turns and the tasks do the work, so that a task that panics costs one account one poll.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};

mod alarm;
mod change;
mod gate;
mod handle;
mod journal;
#[cfg(test)]
mod tests;
mod thread;
mod trace;
mod walk;

use alarm::Alarm;
use gate::Gate;
use handle::Command;
pub use handle::{Changes, Fleet, Handle};
use journal::{Before, Journal};
pub use thread::spawn;
pub use trace::{Trace, Traced};
use walk::{Halt, Link, Sessions, Walk};

use crate::account::AccountId;
use crate::board::{Board, Filing, Progress, Snapshot};
use crate::clock::{BootTime, Clock, Now};
use crate::config::{AccountConfig, ProviderConfig};
use crate::exposition::Telemetry;
use crate::failure::{ErrorReason, Failure};
use crate::providers::{Connection, Provider};
use crate::schedule::{Cause, NotNow, Schedule, Turn, Wait};
use crate::service::pulse;
use crate::store::Store;
use crate::transport::Transport;

/// Room for so many polls under way is never given back.
const MOST_ROOM: usize = 256;

/// So many polls are begun before those under way get on: if all that are due were begun first, a machine that is too slow
/// for them would have a connection open for each, and time to answer none.
const MOST_BEGUN: usize = 32;

/// Everything outside that the poller touches.
pub struct Edge {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What carries requests.
    pub transport: Arc<dyn Transport>,
    /// What must survive a restart.
    pub store: Store,
    /// Where outcomes are filed.
    pub board: Arc<Board>,
    /// What is counted besides.
    pub telemetry: Arc<Telemetry>,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Edge {
    fn link(&self, provider: &ProviderConfig, connection: &Connection, sessions: Arc<Sessions>, secrets: u32) -> Link {
        let transport = self.transport.along(&connection.route).unwrap_or_else(|| self.transport.clone());
        let (login, settings) = (connection.login.clone(), provider.fingerprint());
        Link { login, settings, sessions, secrets, transport, signing: Semaphore::new(1) }
    }
}

/// Polls one account once, outside of any schedule, and notes in `trace` what was said.
pub async fn poll_once(
    edge: Arc<Edge>,
    provider: &ProviderConfig,
    connection: Connection,
    account: &AccountConfig,
    trace: &Trace,
) -> Result<Snapshot, Failure> {
    let gate = Gate::new(provider.name.clone(), provider.quota.clone(), edge.clone());
    let position = provider.accounts.iter().position(|known| known.id == account.id);
    let Some(adapter) = position.and_then(|position| connection.accounts.get(position)) else {
        return Err(Failure::new(ErrorReason::Internal, "the account does not belong to the provider"));
    };
    let link = edge.link(provider, &connection, Arc::default(), 0);
    let superseded = &Notify::new();
    let walk = Walk {
        edge: &edge,
        config: account,
        provider: adapter,
        link: &link,
        gate: &gate,
        superseded,
        trace: Some(trace),
    };
    walk.poll().await.map_err(|halt| match halt {
        Halt::Failed(failure) => failure,
        Halt::Superseded => Failure::new(ErrorReason::Internal, "something took its place; this is a bug"),
    })
}

/// An account as the loop polls it.
struct Target {
    config: Arc<AccountConfig>,
    adapter: Arc<dyn Provider>,
    link: Arc<Link>,
    gate: Arc<Gate>,
}

/// A poll under way.
struct Poll {
    turn: Turn,
    config: Arc<AccountConfig>,
    began: BootTime,
    /// Tells it that it asks with settings or secrets that are no longer in force.
    superseded: Arc<Notify>,
}

/// The loop's own state.
pub struct Poller {
    edge: Arc<Edge>,
    random: fastrand::Rng,
    schedule: Schedule,
    targets: BTreeMap<AccountId, Arc<Target>>,
    gates: BTreeMap<Arc<str>, Arc<Gate>>,
    links: BTreeMap<Arc<str>, (Arc<ProviderConfig>, Arc<Link>)>,
    /// The sessions of entries that have left, for as long as somebody is on the way with them.
    left: BTreeMap<Arc<str>, (Arc<ProviderConfig>, Weak<Sessions>, u32)>,
    tasks: JoinSet<Result<Snapshot, Halt>>,
    under_way: HashMap<Id, Poll>,
    journal: Journal,
}

impl Poller {
    /// A poller of nothing yet. `seed` decides its jitter.
    pub fn new(edge: Arc<Edge>, seed: u64) -> Self {
        Self {
            edge,
            random: fastrand::Rng::with_seed(seed),
            schedule: Schedule::default(),
            targets: BTreeMap::new(),
            gates: BTreeMap::new(),
            links: BTreeMap::new(),
            left: BTreeMap::new(),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            journal: Journal::default(),
        }
    }

    /// Runs until it is told to stop.
    pub fn start(mut self) -> (Handle, impl Future<Output = ()> + Send) {
        // a reload waits for the one before it, so one place is enough
        let (commands, mut inbox) = mpsc::channel(1);
        let (pulse, mut heart) = pulse();
        let run = async move {
            let mut alarm = Alarm::new(self.edge.clock.clone());
            loop {
                if self.begin_due() {
                    tokio::task::yield_now().await;
                }
                let next = self.schedule.next_wakeup();
                tokio::select! {
                    command = inbox.recv() => match command {
                        Some(Command::Change(changes, done)) => {
                            self.change(changes);
                            // whoever asked may have gone
                            let _ = done.send(());
                        }
                        Some(Command::Reconnect(provider, connection)) => self.reconnect(&provider, connection),
                        Some(Command::PollNow(id, done)) => {
                            let _ = done.send(self.poll_now(&id));
                        }
                        Some(Command::Stop(patience, done)) => {
                            self.drain(patience).await;
                            let _ = done.send(());
                            return;
                        }
                        None => return,
                    },
                    Some(ended) = self.tasks.join_next_with_id() => {
                        self.end(ended);
                        // and those that have ended meanwhile, without going round for each
                        while let Some(ended) = self.tasks.try_join_next_with_id() {
                            self.end(ended);
                        }
                    }
                    () = alarm.rings_at(next) => {}
                    () = heart.beat() => {}
                }
            }
        };
        (Handle(commands, pulse), run)
    }

    /// A pause that the provider asked for holds for all its accounts, whoever asks.
    fn poll_now(&mut self, id: &AccountId) -> Result<(), NotNow> {
        let now = self.edge.clock.now();
        let target = self.targets.get(id).ok_or(NotNow::Unknown)?;
        if let Some(until) = target.gate.paused_until(now.boot) {
            return Err(NotNow::LeftAlone { cause: Cause::Throttled, until });
        }
        self.schedule.advance(id, now.boot)?;
        tracing::info!(provider = %id.provider, account = %id.account, "{id} is polled now, since somebody asks for it");
        Ok(())
    }

    /// True if others may be due as well.
    fn begin_due(&mut self) -> bool {
        let now = self.edge.clock.now().boot;
        for _ in 0..MOST_BEGUN {
            let Some(turn) = self.schedule.take_due(now) else { return false };
            let Some(target) = self.targets.get(&turn.id).cloned() else { continue };
            self.edge.telemetry.observe_lateness(now.since(turn.due));
            self.edge.board.set_progress(&turn.id, Progress::Asking);
            let config = target.config.clone();
            let edge = self.edge.clone();
            let superseded = Arc::new(Notify::new());
            let told = superseded.clone();
            let task = self.tasks.spawn(async move {
                let Target { config, adapter, link, gate } = &*target;
                Walk { edge: &edge, config, provider: adapter, link, gate, superseded: &told, trace: None }.poll().await
            });
            self.under_way.insert(task.id(), Poll { turn, config, began: now, superseded });
        }
        true
    }

    fn end(&mut self, ended: Result<(Id, Result<Snapshot, Halt>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                (error.id(), Err(Failure::new(ErrorReason::Internal, "the poll panicked; this is a bug").into()))
            }
        };
        let Some(Poll { turn, config, began, .. }) = self.under_way.remove(&id) else { return };
        self.make_room_smaller();
        let now = self.edge.clock.now();
        let outcome = match outcome {
            Ok(snapshot) => Ok(snapshot),
            Err(Halt::Failed(failure)) => Err(failure),
            Err(Halt::Superseded) => {
                self.schedule.returned(turn, now.boot);
                self.edge.board.set_progress(&config.id, Progress::Resting);
                self.show_next(&config.id, now);
                return;
            }
        };
        let before = self.edge.board.account(&config.id).map(|status| Before::of(&status, &now)).unwrap_or_default();
        self.schedule.finished(turn, outcome.as_ref().map(|_| ()), now.boot, self.random.f64());
        let filing = self.edge.board.file(&config, outcome.clone(), now);
        match filing {
            Filing::Filed | Filing::Held => {
                let took = now.boot.since(began);
                self.journal.note(&config.id, before, &outcome, filing, took);
            }
            // if the account is still there, it has asked for something else since
            Filing::Dropped => self.schedule.expedite(&config.id, now.boot),
        }
        self.show_next(&config.id, now);
    }

    /// The first polls of a fleet are under way together, and never again as many.
    fn make_room_smaller(&mut self) {
        let polls = self.under_way.len();
        if self.under_way.capacity() > 8 * polls.max(MOST_ROOM) {
            self.under_way.shrink_to(2 * polls.max(MOST_ROOM));
        }
    }

    fn show_next(&self, id: &AccountId, now: Now) {
        if let Some(Wait { due, cause, streak }) = self.schedule.wait(id) {
            self.edge.board.set_next_poll(id, now.wall_at(due), cause, streak);
        }
    }

    async fn drain(&mut self, patience: Duration) {
        let rest = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.end(ended);
            }
        };
        if tokio::time::timeout(patience, rest).await.is_err() {
            tracing::warn!(polls = self.tasks.len(), "gave up polls that were still under way");
            self.tasks.shutdown().await;
        }
    }
}
