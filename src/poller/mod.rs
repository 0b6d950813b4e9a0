//! The loop: takes turns from the schedule, walks each poll through the gate of its provider, files the outcome on
//! the board, and hands the turn back.
//!
//! The loop keeps the turns and the tasks do the work, so that a task that panics costs one account one poll.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

mod gate;
mod journal;
#[cfg(test)]
mod tests;
mod trace;
mod walk;

use gate::{Gate, sleep_until};
use journal::Journal;
pub use trace::{Trace, Traced};
use walk::{Halt, Link, Sessions, Walk};

use crate::account::AccountId;
use crate::board::{AccountStatus, Board, Filing, Progress, Snapshot};
use crate::clock::{BootTime, Clock, Now};
use crate::config::{AccountConfig, ProviderConfig};
use crate::exposition::Telemetry;
use crate::failure::{ErrorReason, Failure};
use crate::providers::{Connection, Login, Provider};
use crate::schedule::{Cause, NotNow, Plan, Schedule, Turn, Wait};
use crate::service::{Pulse, pulse};
use crate::session::SessionKeeper;
use crate::store::Store;
use crate::transport::Transport;

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

/// What is to be polled from now on: every provider entry with its secrets in hand.
pub type Fleet = Vec<(Arc<ProviderConfig>, Connection)>;

/// A refused account is polled after this at the latest, when it comes back.
const MOST_RESUMED: Duration = Duration::from_secs(15 * 60);

/// Speaks to a running poller.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Command>, Pulse);

enum Command {
    Configure(Fleet, oneshot::Sender<()>),
    Reconnect(Arc<str>, Connection),
    PollNow(AccountId, oneshot::Sender<Result<(), NotNow>>),
    Stop(Duration, oneshot::Sender<()>),
}

impl Handle {
    /// Polls this from now on; returns when it is so. What is known of accounts and providers that stay is kept.
    pub async fn configure(&self, fleet: Fleet) {
        let (done, is_done) = oneshot::channel();
        // a poller that has stopped needs no configuration
        if self.0.send(Command::Configure(fleet, done)).await.is_ok() {
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
        provider: &**adapter,
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
            loop {
                self.begin_due();
                let clock = self.edge.clock.clone();
                let next = self.schedule.next_wakeup();
                tokio::select! {
                    command = inbox.recv() => match command {
                        Some(Command::Configure(fleet, done)) => {
                            self.configure(fleet);
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
                    Some(ended) = self.tasks.join_next_with_id() => self.end(ended),
                    () = wait_until(&*clock, next) => {}
                    () = heart.beat() => {}
                }
            }
        };
        (Handle(commands, pulse), run)
    }

    fn configure(&mut self, fleet: Fleet) {
        let now = self.edge.clock.now();
        let mut targets = BTreeMap::new();
        let mut plans = BTreeMap::new();
        let mut links = BTreeMap::new();
        let mut statuses = Vec::new();
        let mut accounts = Vec::new();
        for (provider, connection) in fleet {
            let name = &provider.name;
            let new_gate = || Arc::new(Gate::new(name.clone(), provider.quota.clone(), self.edge.clone()));
            let gate = self.gates.entry(name.clone()).or_insert_with(new_gate).clone();
            gate.set_quota(provider.quota.clone());
            statuses.push(gate.status());
            self.edge.telemetry.know_provider(name);
            let (sessions, secrets) = self.sessions(&provider);
            let link = Arc::new(self.edge.link(&provider, &connection, sessions, secrets));
            for (config, adapter) in provider.accounts.iter().zip(connection.accounts) {
                let plan = Plan { interval: config.interval, stale_after: config.stale_after };
                plans.insert(config.id.clone(), plan);
                accounts.push(config.clone());
                let target = Target { config: config.clone(), adapter, link: link.clone(), gate: gate.clone() };
                targets.insert(config.id.clone(), Arc::new(target));
            }
            links.insert(name.clone(), (provider, link));
        }
        self.edge.board.configure(statuses, &accounts);
        let arrived: Vec<_> = plans.keys().filter(|id| !self.targets.contains_key(*id)).cloned().collect();
        self.schedule.replace(&plans, now.boot);
        for id in arrived {
            let Some(status) = self.edge.board.account(&id) else { continue };
            self.schedule.resume(&id, status.streak, was_refused(&status));
            if let Some(due) = resumed(&status, &now) {
                self.schedule.postpone(&id, due);
            }
        }
        for (id, target) in &targets {
            if self.targets.get(id).is_some_and(|before| before.config.asks != target.config.asks) {
                self.schedule.expedite(id, now.boot);
            }
        }
        let stays = |name: &str| {
            let (before, after) = (self.links.get(name)?.0.as_ref(), links.get(name)?.0.as_ref());
            Some(before.same_connection(after) && before.same_way(after))
        };
        let staying: HashSet<_> = self.links.keys().filter(|name| stays(name) == Some(true)).collect();
        for Poll { config, superseded, .. } in self.under_way.values() {
            let asks_the_same = targets.get(&config.id).is_some_and(|target| target.config.asks == config.asks);
            if !asks_the_same || !staying.contains(&config.id.provider) {
                superseded.notify_one();
            }
        }
        for (name, (provider, link)) in self.links.iter().filter(|(name, _)| !links.contains_key(*name)) {
            self.edge.telemetry.forget_provider(name);
            let sessions = Arc::downgrade(&link.sessions);
            self.left.insert(name.clone(), (provider.clone(), sessions, link.secrets));
        }
        self.left.retain(|name, (_, sessions, _)| !links.contains_key(name) && sessions.strong_count() > 0);
        (self.targets, self.links) = (targets, links);
        self.journal.retain(|id| self.targets.contains_key(id));
        // a provider that left keeps its gate until nobody is on the way to it and what was sent through it counts
        // no more
        let links = &self.links;
        self.gates
            .retain(|name, gate| links.contains_key(name) || Arc::strong_count(gate) > 1 || !gate.is_idle(now.boot));
        for id in self.targets.keys() {
            self.show_next(id, now);
        }
    }

    /// The login state goes as well, unless a token in it is all that there is: a refusal of the old secrets says
    /// nothing about the new ones.
    fn reconnect(&mut self, name: &str, connection: Connection) {
        let now = self.edge.clock.now();
        let Some((provider, link)) = self.links.get_mut(name) else { return };
        let begins_with =
            |login: &Option<Arc<dyn Login>>| login.as_ref().and_then(|login| login.begins_with().cloned());
        let token = begins_with(&connection.login);
        let sessions = if token.is_some() && token == begins_with(&link.login) {
            link.sessions.clone()
        } else {
            link.sessions.replaced.store(true, Ordering::Relaxed);
            Arc::default()
        };
        *link = Arc::new(self.edge.link(provider, &connection, sessions, link.secrets + 1));
        for (config, adapter) in provider.accounts.iter().zip(connection.accounts) {
            let Some(target) = self.targets.get_mut(&config.id) else { continue };
            let (config, gate) = (config.clone(), target.gate.clone());
            *target = Arc::new(Target { config, adapter, link: link.clone(), gate });
            self.schedule.retry(&target.config.id, now.boot);
        }
        for Poll { superseded, .. } in self.under_way.values().filter(|poll| &*poll.config.id.provider == name) {
            superseded.notify_one();
        }
        for id in self.targets.keys().filter(|id| &*id.provider == name) {
            self.show_next(id, now);
        }
    }

    /// The sessions of a provider entry that logs in as before, be it before a restart; else none. And how often its
    /// secrets were replaced.
    fn sessions(&self, provider: &ProviderConfig) -> (Arc<Sessions>, u32) {
        let live = self.links.get(&provider.name).map(|(before, link)| (before, link.sessions.clone(), link.secrets));
        let left = || {
            let (before, sessions, secrets) = self.left.get(&provider.name)?;
            Some((before, sessions.upgrade()?, *secrets))
        };
        match live.or_else(left) {
            Some((before, sessions, secrets)) if before.same_connection(provider) => (sessions, secrets),
            Some((_, sessions, _)) => {
                sessions.replaced.store(true, Ordering::Relaxed);
                Default::default()
            }
            None => {
                let kept = self.edge.store.session(&provider.name, &provider.fingerprint());
                let mut keeper = SessionKeeper::default();
                if let Some((session, asked)) = kept {
                    keeper.obtained(session, asked);
                }
                (Arc::new(Sessions { keeper: keeper.into(), replaced: false.into() }), 0)
            }
        }
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

    fn begin_due(&mut self) {
        let now = self.edge.clock.now().boot;
        while let Some(turn) = self.schedule.take_due(now) {
            let Some(target) = self.targets.get(&turn.id).cloned() else { continue };
            self.edge.telemetry.observe_lateness(now.since(turn.due));
            self.edge.board.set_progress(&turn.id, Progress::Asking);
            let config = target.config.clone();
            let edge = self.edge.clone();
            let superseded = Arc::new(Notify::new());
            let told = superseded.clone();
            let task = self.tasks.spawn(async move {
                let Target { config, adapter, link, gate } = &*target;
                let (edge, provider, superseded) = (&edge, &**adapter, &told);
                Walk { edge, config, provider, link, gate, superseded, trace: None }.poll().await
            });
            self.under_way.insert(task.id(), Poll { turn, config, began: now, superseded });
        }
    }

    fn end(&mut self, ended: Result<(Id, Result<Snapshot, Halt>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                (error.id(), Err(Failure::new(ErrorReason::Internal, "the poll panicked; this is a bug").into()))
            }
        };
        let Some(Poll { turn, config, began, .. }) = self.under_way.remove(&id) else { return };
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
        let before = self.edge.board.account(&config.id);
        self.schedule.finished(turn, outcome.as_ref().map(|_| ()), now.boot, self.random.f64());
        let filing = self.edge.board.file(&config, outcome.clone(), now);
        match filing {
            Filing::Filed | Filing::Held => {
                let took = now.boot.since(began);
                self.journal.note(&config.id, before.as_deref(), &outcome, filing, (now, took));
            }
            // if the account is still there, it has asked for something else since
            Filing::Dropped => self.schedule.expedite(&config.id, now.boot),
        }
        self.show_next(&config.id, now);
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

/// When an account is due that was polled before it came: when it was due then. Nobody knows what the wall clock did
/// meanwhile, and so it is never later than the next poll could have been.
fn resumed(status: &AccountStatus, now: &Now) -> Option<BootTime> {
    let longest = if status.poll_success {
        status.config.interval
    } else if was_refused(status) {
        // whoever is refused must not try again because of a restart, or the credentials may be locked
        MOST_RESUMED
    } else {
        // what it failed for may be mended
        return None;
    };
    Some(now.boot_at(status.next_poll?).min(now.boot + longest))
}

/// True if the provider refused the credentials at the last poll.
fn was_refused(status: &AccountStatus) -> bool {
    !status.poll_success && status.last_failure.as_ref().is_some_and(|(_, failure)| failure.reason == ErrorReason::Auth)
}

async fn wait_until(clock: &dyn Clock, next: Option<BootTime>) {
    match next {
        Some(time) => sleep_until(clock, time).await,
        None => std::future::pending().await,
    }
}
