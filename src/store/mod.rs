//! What must survive a restart: what was sent to the providers, what is known of the accounts, and tokens that a
//! provider has replaced.
//!
//! Each is a file of its own, because each is written at another time: the first before a request leaves, the last
//! before a token is used, the other now and then. A disk in trouble never stops polling. The limits hold in this
//! process all the same, the next start takes its window for full, and a metric tells.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

mod accounts;
mod archive;
#[cfg(test)]
pub(crate) mod brittle_disk;
mod disk;
mod ledger;
mod lock;
mod origin;
mod sessions;
mod state_file;
#[cfg(test)]
mod tests;

pub use accounts::Recalled;
pub use disk::{Disk, SystemDisk, boot_id};
pub use lock::Locked;

use archive::{Archive, Files, Part};
use ledger::Ledger;
use lock::{Lock, Refused};
use sessions::Sessions;
use state_file::{Found, StateFile};

use crate::board::Board;
use crate::clock::{BootTime, Clock, Now};
use crate::providers::Session;
use crate::rate_limit::RateLimiter;

/// A file that was put there more than this before or after it was written, in milliseconds, is a copy.
const MOST_APART_MS: i64 = 60_000;

/// What is known of the accounts is written this often at most …
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// … and so seldom that it takes no more than this share of the time …
const MOST_BUSY: u32 = 200;
/// … but this often at least, however slow the disk is: counters are shown once they are kept.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// The state. Without a file everything is forgotten at the end of the process.
#[derive(Clone, Debug, Default)]
pub struct Store(Option<Arc<Inner>>);

/// Is told how each write went.
pub type Told = Box<dyn Fn(bool) + Send + Sync>;

struct Inner {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    boot: String,
    /// Empty while the disk cannot be used; and the lock, if there has to be one.
    archive: OnceLock<(Archive, Option<Lock>)>,
    ledger: Mutex<Ledger>,
    recalled: Mutex<Option<Recalled>>,
    sessions: Mutex<Sessions>,
    /// One lease at a time, so that those who wait share it.
    leasing: tokio::sync::Mutex<()>,
    told: Told,
    /// The parts whose last write failed.
    failing: Mutex<BTreeSet<Part>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// Where the state is and what it needs from outside.
pub struct Place {
    /// The name that the files' names begin with.
    pub path: PathBuf,
    /// What it lies on.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Which boot of the machine this is.
    pub boot: String,
}

impl Store {
    /// Forgets everything at the end of the process.
    pub const fn memory() -> Self {
        Self(None)
    }

    /// Takes the state over, on a thread of its own from now on. What cannot be used is not trusted, and set aside or
    /// left as it is; why is logged.
    pub fn open(place: Place, told: Told) -> Result<Self, Locked> {
        let lock = match Lock::take(&named(&place.path, "lock")) {
            Ok(lock) => Ok(lock),
            Err(Refused::Held(holder)) => return Err(Locked { path: place.path, holder }),
            Err(Refused::Io(error)) => Err(error),
        };
        let is_new = lock.as_ref().is_ok_and(|lock| lock.is_new);
        let taken = lock.map(|lock| (lock, recall(&place, is_new)));
        let taken = taken.and_then(|(lock, (files, memory))| Ok(((Archive::start(files)?, Some(lock)), memory)));
        let (archive, memory) = match taken {
            Ok((archive, memory)) => {
                told(memory.written);
                (OnceLock::from(archive), memory)
            }
            Err(error) => {
                let path = place.path.display();
                tracing::error!(
                    "the state {path} cannot be used ({error}): until it can, nothing survives a restart, and what was \
                     sent before is taken for a full limit"
                );
                told(false);
                (OnceLock::new(), Everything::unknown(&place))
            }
        };
        Ok(Self::assembled(place, told, archive, memory))
    }

    /// The same without a thread and a lock, for simulated time.
    pub fn open_inline(place: Place, is_new: bool, told: Told) -> Self {
        let (files, memory) = recall(&place, is_new);
        Self::assembled(place, told, (Archive::Inline(Mutex::new(Box::new(files))), None).into(), memory)
    }

    fn assembled(place: Place, told: Told, archive: OnceLock<(Archive, Option<Lock>)>, memory: Everything) -> Self {
        let Place { path, disk, clock, boot } = place;
        Self(Some(Arc::new(Inner {
            path,
            disk,
            clock,
            boot,
            archive,
            ledger: Mutex::new(memory.ledger),
            recalled: Mutex::new(Some(memory.accounts)),
            sessions: Mutex::new(memory.sessions),
            leasing: tokio::sync::Mutex::default(),
            told,
            failing: Mutex::default(),
        })))
    }

    /// Keeps the book of this provider's limit from now on. The limiter learns what was sent before this start.
    pub fn know(&self, provider: &Arc<str>, limiter: &Arc<Mutex<RateLimiter>>) {
        if let Some(inner) = &self.0 {
            locked(&inner.ledger).know(provider, limiter, inner.clock.now().boot);
        }
    }

    /// Returns when it stands in the file that one more request may have been sent to this provider.
    pub async fn lease(&self, provider: &Arc<str>) {
        let Some(inner) = &self.0 else { return };
        if locked(&inner.ledger).take(provider) {
            return;
        }
        let _waiting = Waiting::begin(inner, provider);
        let _one_at_a_time = inner.leasing.lock().await;
        if !locked(&inner.ledger).take(provider) {
            inner.write_ledger().await;
            locked(&inner.ledger).take(provider);
        }
    }

    /// The last session at this provider that was obtained with these settings, and when it was asked for.
    pub fn session(&self, provider: &str, settings: &str) -> Option<(Session, BootTime)> {
        let inner = self.0.as_ref()?;
        locked(&inner.sessions).of(provider, settings)
    }

    /// Returns when a session that can be refreshed is kept: its provider has spent what it was obtained with.
    pub async fn keep_session(&self, provider: &Arc<str>, settings: &str, session: &Session, obtained: BootTime) {
        let Some(inner) = self.0.as_ref().filter(|_| session.refresh.is_some()) else { return };
        locked(&inner.sessions).keep(provider, settings, session, obtained);
        inner.write_sessions().await;
    }

    /// What an earlier run knew of the accounts; once, and only if there is a state.
    pub fn recalled(&self) -> Option<Recalled> {
        locked(&self.0.as_ref()?.recalled).take()
    }

    /// Writes down what is known of the accounts, again and again, for as long as anybody waits for it.
    pub async fn follow(&self, board: &Board) {
        let Some(inner) = &self.0 else { return std::future::pending().await };
        let mut pause = LEAST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            inner.take_over().await;
            inner.make_up().await;
            if !board.is_kept() {
                let began = inner.clock.now().boot;
                inner.write_accounts(board).await;
                pause = (inner.clock.now().boot.since(began) * MOST_BUSY).clamp(LEAST_PAUSE, MOST_PAUSE);
            }
        }
    }

    /// Writes down how it ended, once nothing is sent any more, but takes no longer than this: what must not be lost
    /// is on the disk already. Without the rest the next start knows a little less, and waits for a lease that was
    /// not used.
    pub async fn close(&self, board: &Board, patience: Duration) {
        let Some(inner) = &self.0 else { return };
        let closing = async {
            inner.make_up().await;
            inner.write_accounts(board).await;
            locked(&inner.ledger).settle();
            inner.write_ledger().await;
        };
        if tokio::time::timeout(patience, closing).await.is_err() {
            tracing::warn!("the disk is too slow: the end is not written down");
        }
    }
}

impl Inner {
    async fn write_ledger(&self) {
        let (written, leases) = locked(&self.ledger).proposal(&self.boot, &self.clock.now());
        self.replace(Part::Limits, written).await;
        // without a file the limits hold in this process all the same
        locked(&self.ledger).grant(leases);
    }

    async fn write_sessions(&self) {
        let written = locked(&self.sessions).written(&self.boot, &self.clock.now());
        self.replace(Part::Sessions, written).await;
    }

    /// Takes over a state that could not be used when this began. What it says of the limits is from before, and
    /// nothing is worse at the next start than a book that looks sound and knows nothing of this run.
    async fn take_over(&self) {
        if self.archive.get().is_some() {
            return;
        }
        let (path, disk, now) = (self.path.clone(), self.disk.clone(), self.clock.now());
        let opened = tokio::task::spawn_blocking(move || {
            let lock = Lock::take(&named(&path, "lock")).ok()?;
            let (mut files, [_, _, sessions]) = files_of(&path, &disk, &now);
            files.limits.forget();
            let kept = sessions.body().and_then(|body| parsed(&files.sessions, body));
            Some((Archive::start(files).ok()?, lock, kept))
        });
        let Ok(Some((archive, lock, kept))) = opened.await else { return };
        locked(&self.sessions).adopt(Sessions::open(kept, &self.boot, &self.clock.now()));
        if self.archive.set((archive, Some(lock))).is_ok() {
            tracing::info!("the state {} can be used now", self.path.display());
            locked(&self.failing).extend([Part::Limits, Part::Sessions]);
        }
    }

    /// What the disk did not take is written as soon as it takes it. A renewed token: the one before is spent. What was
    /// sent: it may be long until the next request needs a lease, and who started before that would believe a file
    /// that does not know of it.
    async fn make_up(&self) {
        if locked(&self.failing).contains(&Part::Sessions) {
            self.write_sessions().await;
        }
        if locked(&self.failing).contains(&Part::Limits) {
            self.write_ledger().await;
        }
    }

    async fn write_accounts(&self, board: &Board) {
        let look = board.latest();
        let now = self.clock.now();
        let (boot, same) = (self.boot.clone(), look.clone());
        self.replace_with(Part::Accounts, move || json(&accounts::Content::new(&boot, &now, &same))).await;
        // what cannot be kept is shown all the same: silence would be worse than a counter that is set back
        board.keep(&look);
    }

    async fn replace<T: serde::Serialize + Send + 'static>(&self, part: Part, content: T) {
        self.replace_with(part, move || json(&content)).await;
    }

    async fn replace_with(&self, part: Part, content: impl FnOnce() -> Vec<u8> + Send + 'static) {
        let Some((archive, _)) = self.archive.get() else { return };
        let outcome = archive.replace(part, Box::new(content)).await;
        let was_failing = {
            let mut failing = locked(&self.failing);
            let was_failing = failing.remove(&part);
            failing.extend(outcome.is_err().then_some(part));
            (self.told)(failing.is_empty());
            was_failing
        };
        match outcome {
            Ok(()) if was_failing => tracing::info!("the state is written again"),
            Err(error) if !was_failing => tracing::error!(
                "the state cannot be written ({error}): polling goes on, but a restart would take each limit for spent"
            ),
            Ok(()) | Err(_) => {}
        }
    }
}

/// These types have nothing that cannot be written as JSON; nothing is no content that anybody would read.
fn json(content: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(content).unwrap_or_default()
}

/// A request that waits for a lease, until it has it or is given up.
struct Waiting<'a> {
    inner: &'a Inner,
    provider: &'a str,
}

impl<'a> Waiting<'a> {
    fn begin(inner: &'a Inner, provider: &'a str) -> Self {
        locked(&inner.ledger).wait(provider, true);
        Self { inner, provider }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        locked(&self.inner.ledger).wait(self.provider, false);
    }
}

/// What is known of earlier runs.
struct Everything {
    ledger: Ledger,
    accounts: Recalled,
    sessions: Sessions,
    /// Whether the disk takes what is written now.
    written: bool,
}

impl Everything {
    fn unknown(place: &Place) -> Self {
        let now = place.clock.now();
        Self {
            ledger: Ledger::open(None, &place.boot, &now),
            accounts: Recalled::of(None, &place.boot, &now),
            sessions: Sessions::default(),
            written: false,
        }
    }
}

/// The files, and what was found of the limits, the accounts and the sessions.
fn files_of(path: &Path, disk: &Arc<dyn Disk>, now: &Now) -> (Files, [Found; 3]) {
    let suffix = now.wall.as_second().to_string();
    let open = |path, kind| StateFile::open(disk.clone(), path, kind, &suffix);
    let (limits, found_limits) = open(named(path, "limits"), "limits");
    let (accounts, found_accounts) = open(path.to_owned(), "accounts");
    let (sessions, found_sessions) = open(named(path, "sessions"), "sessions");
    (Files { limits, accounts, sessions }, [found_limits, found_accounts, found_sessions])
}

/// What the files say, and the files themselves, ready to be written.
fn recall(place: &Place, is_new: bool) -> (Files, Everything) {
    let now = place.clock.now();
    let (files, [found_limits, found_accounts, found_sessions]) = files_of(&place.path, &place.disk, &now);
    let Files { mut limits, accounts, sessions } = files;

    let last: Option<ledger::Written> = match found_limits {
        // a lock that was there before says that there was a state, and it is gone
        Found::Nothing if is_new => Some(ledger::Written::nothing(&place.boot, &now)),
        Found::Last(body) => parsed(&limits, &body).filter(|written: &ledger::Written| {
            let changed = place.disk.changed(limits.found_at()).map(Timestamp::as_millisecond);
            let in_place = changed.is_ok_and(|changed| (changed - written.origin.wall_ms).abs() <= MOST_APART_MS);
            if !in_place {
                tracing::warn!(
                    "{} is a copy of an earlier state: each limit is taken for spent",
                    limits.path().display()
                );
            }
            in_place
        }),
        Found::Nothing | Found::Earlier(_) => {
            tracing::warn!("{} was lost: each limit is taken for spent", limits.path().display());
            None
        }
        Found::Unusable(why) => {
            tracing::error!("{} is not used: {why}; each limit is taken for spent", limits.path().display());
            None
        }
    };
    let mut ledger = Ledger::open(last, &place.boot, &now);
    // a disk that takes nothing now has perhaps taken nothing for a while
    let (content, _) = ledger.proposal(&place.boot, &now);
    let outcome = limits.replace(json(&content));
    let written = outcome.is_ok();
    if let Err(error) = outcome {
        tracing::error!("{} cannot be written ({error}): each limit is taken for spent", limits.path().display());
        limits.forget();
        ledger = Ledger::open(None, &place.boot, &now);
    }
    let kept = match found_sessions {
        Found::Last(body) | Found::Earlier(body) => parsed(&sessions, &body),
        Found::Nothing => None,
        Found::Unusable(why) => {
            tracing::error!("{} is not used: {why}; log-ins begin anew", sessions.path().display());
            None
        }
    };
    let sessions_kept = Sessions::open(kept, &place.boot, &now);
    let known = match found_accounts {
        Found::Last(body) => parsed(&accounts, &body),
        Found::Earlier(body) => {
            tracing::warn!("{} was lost: the accounts are as they were a little earlier", accounts.path().display());
            parsed(&accounts, &body)
        }
        Found::Nothing => None,
        Found::Unusable(why) => {
            tracing::error!("{} is not used: {why}; every account begins anew", accounts.path().display());
            None
        }
    };
    let accounts_known = Recalled::of(known, &place.boot, &now);
    let files = Files { limits, accounts, sessions };
    (files, Everything { ledger, accounts: accounts_known, sessions: sessions_kept, written })
}

/// The content, whose checksum is right.
fn parsed<T: DeserializeOwned>(file: &StateFile, body: &[u8]) -> Option<T> {
    serde_json::from_slice(body)
        // serde's own words would quote the content
        .map_err(|_| tracing::error!("{} does not have the content that it should have", file.path().display()))
        .ok()
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// A panic elsewhere must not cost the state.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
