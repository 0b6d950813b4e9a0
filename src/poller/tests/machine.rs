//! What a world is made of: clocks that can be set and suspended, a disk that can be full, and providers that remember
//! what was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::desk::Desk;
use super::diary::note;
use super::stage::secs;
use super::world::{PROVIDERS, SESSIONS, STATE};
use crate::clock::{BootTime, Clock, Now};
use crate::failure::{ErrorReason, Failure};
use crate::route::Route;
use crate::store::Disk;
use crate::store::brittle_disk::BrittleDisk;
use crate::transport::{Outcome, Transport};

/// What is about to become the file of the sessions.
const REPLACEMENT: &str = "/state/state.sessions.new";
const ACCOUNTS_REPLACEMENT: &str = "/state/state.new";

/// The clocks of a machine, the time as it really is, and for how long its timers are trusted.
#[derive(Debug)]
pub(super) struct Clocks(pub(super) Instant, pub(super) Mutex<Shift>, pub(super) Duration);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shift {
    /// What the runtime does not know of: the machine was suspended.
    pub(super) slept: Duration,
    /// When the machine booted, in real time.
    pub(super) booted: Duration,
    /// How wrong the wall clock is, in seconds.
    pub(super) wall: i64,
}

impl Clocks {
    pub(super) fn real(&self) -> Duration {
        self.0.elapsed() + self.1.lock().unwrap().slept
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Shift)) {
        let mut shift = self.1.lock().unwrap();
        change(&mut shift);
        note(self.0.elapsed() + shift.slept, format_args!("clocks: {shift:?}"));
    }
}

impl Clock for Clocks {
    fn now(&self) -> Now {
        let real = self.real();
        let Shift { booted, wall, .. } = *self.1.lock().unwrap();
        let wall = Timestamp::from_second(1_800_000_000 + wall).unwrap() + real;
        Now { boot: BootTime::from_boot(real.checked_sub(booted).unwrap()), wall }
    }

    fn longest_nap(&self) -> Duration {
        self.2
    }
}

/// The brittle disk, whose files bear the time of this machine. It can be full, which forbids no removal.
#[derive(Debug)]
pub(super) struct Drive {
    pub(super) disk: BrittleDisk,
    pub(super) clocks: Arc<Clocks>,
    pub(super) full: Mutex<bool>,
    /// When the accounts were written last, and whether that is certain by now.
    pub(super) accounts: Mutex<(Duration, bool)>,
    /// How often something could not be done.
    pub(super) refusals: Mutex<u64>,
    /// How long it takes to write what is known of the accounts.
    pub(super) slowness: Duration,
}

impl Drive {
    fn timed(&self) -> &BrittleDisk {
        self.disk.set_time(self.clocks.now().wall);
        &self.disk
    }

    fn counted<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome {
            note(self.clocks.real(), format_args!("the disk refuses: {error}"));
        }
        *self.refusals.lock().unwrap() += u64::from(outcome.is_err());
        outcome
    }

    /// True if a loss of power would leave this token in a file of the sessions.
    pub(super) fn is_kept(&self, token: &str) -> bool {
        let quoted = format!("\"{token}\"");
        self.disk.synced().iter().any(|(path, bytes)| {
            [SESSIONS, REPLACEMENT].map(Path::new).contains(&path.as_path()) && memmem(bytes, quoted.as_bytes())
        })
    }

    /// Somebody else puts a file there, or takes it away.
    pub(super) fn plant(&self, path: &Path, bytes: Option<&[u8]>) {
        note(
            self.clocks.real(),
            format_args!("somebody puts {:?} bytes at {}", bytes.map(<[u8]>::len), path.display()),
        );
        match bytes {
            Some(bytes) => self.timed().write(path, bytes).unwrap(),
            None => drop(self.timed().remove(path)),
        }
        self.disk.sync_directory(path).unwrap();
    }
}

fn memmem(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

impl Disk for Drive {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if *self.full.lock().unwrap() {
            return self.counted(Err(io::ErrorKind::StorageFull.into()));
        }
        if path == Path::new(ACCOUNTS_REPLACEMENT) {
            self.clocks.change(|shift| shift.slept += self.slowness);
        }
        note(self.clocks.real(), format_args!("write {}", path.display()));
        self.counted(self.timed().write(path, bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let outcome = self.timed().rename(from, to);
        // there is none at the first time
        if outcome.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            *self.refusals.lock().unwrap() += 1;
        }
        outcome?;
        if to == Path::new(STATE) {
            *self.accounts.lock().unwrap() = (self.clocks.real(), false);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.timed().remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.counted(self.timed().sync_directory(directory))?;
        self.accounts.lock().unwrap().1 = true;
        Ok(())
    }

    fn changed(&self, path: &Path) -> io::Result<Timestamp> {
        self.disk.changed(path)
    }
}

/// All providers, and what they remember.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) clocks: Arc<Clocks>,
    pub(super) drive: Arc<Drive>,
    pub(super) log: Mutex<Log>,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) rng: fastrand::Rng,
    pub(super) calm: bool,
    pub(super) life: u64,
    /// By provider, when requests arrived; those on their way at the end of their sender arrive then at the latest.
    pub(super) arrivals: BTreeMap<&'static str, Vec<Duration>>,
    pub(super) polling: BTreeSet<String>,
    /// Whom each number was said to, and when it was asked for.
    pub(super) said: Vec<(String, Duration)>,
    /// Where one logs in, by provider.
    pub(super) desks: BTreeMap<&'static str, Desk>,
    /// Until when a provider has asked to be left alone.
    pub(super) pauses: BTreeMap<&'static str, Duration>,
    /// Until when an account that was polled before a restart need not be polled.
    pub(super) not_before: BTreeMap<String, Duration>,
    /// Replies other than a number, by what they were.
    pub(super) faults: u64,
}

/// When something was asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) at: Duration,
    /// When the machine had booted.
    pub(super) boot: Duration,
    pub(super) life: u64,
    /// What the disk had refused by then.
    pub(super) disk_refusals: u64,
}

/// An account that is being asked, until it is answered or given up.
struct Asking<'a>(&'a Wire, String);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.log().polling.remove(&self.1);
    }
}

/// A login under way.
struct LoggingIn<'a>(&'a Wire, &'static str);

impl Drop for LoggingIn<'_> {
    fn drop(&mut self) {
        self.0.log().desk(self.1).in_flight -= 1;
    }
}

impl Log {
    pub(super) fn desk(&mut self, name: &str) -> &mut Desk {
        self.desks.get_mut(name).unwrap()
    }

    /// How long it takes, and where on the way it arrives.
    fn arrives(&mut self, provider: &'static str, asked: Duration, deadline: Duration) -> Duration {
        let longest = if self.calm { 1_000 } else { 12_000 };
        let latency = Duration::from_millis(self.rng.u64(1..longest));
        let arrival = asked + latency.min(deadline).mul_f64(self.rng.f64());
        self.arrivals.entry(provider).or_default().push(arrival);
        let pause = self.pauses.get(provider).copied().unwrap_or_default();
        assert!(asked >= pause, "{provider} is asked {:?} too early", pause.saturating_sub(asked));
        latency
    }

    /// What an account is told.
    fn reply(&mut self, account: &str, provider: &'static str, asked: Duration, token: Option<&str>) -> Reply {
        if let Some(due) = self.not_before.remove(account) {
            // times in files are whole milliseconds
            let early = due.saturating_sub(asked);
            assert!(early <= Duration::from_millis(2), "{account}: polled {early:?} too early after a restart");
        }
        let chance = if self.calm { u8::MAX } else { self.rng.u8(..) };
        self.faults += u64::from(chance < 24);
        match (chance, token) {
            (0..4, _) => Reply::Says(format!("slower {}", self.rng.u64(1..600))),
            (4..6, _) => Reply::Says("slower".to_owned()),
            (6..12, _) => Reply::Fails(Failure::new(ErrorReason::Connect, "refused")),
            (12..15, _) => Reply::Says("refused".to_owned()),
            (15..17, _) => Reply::Says("crash".to_owned()),
            (17..24, Some(token)) => {
                self.desk(provider).end(token);
                Reply::Says(if chance < 21 { "expired" } else { "dead" }.to_owned())
            }
            (17.., _) => {
                self.said.push((account.to_owned(), asked));
                Reply::Says(format!("balance {}", self.said.len()))
            }
        }
    }

    /// The provider's words have arrived.
    fn heard(&mut self, provider: &'static str, says: &str, now: Duration) {
        if let Some(span) = says.strip_prefix("slower ").and_then(|span| span.parse().ok()) {
            let pause = self.pauses.entry(provider).or_default();
            *pause = (*pause).max(now + secs(span));
        }
    }
}

#[derive(Debug)]
enum Reply {
    Says(String),
    Fails(Failure),
}

impl Wire {
    /// Also after a judge has spoken.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self, life: u64) -> Asked {
        let boot = self.clocks.1.lock().unwrap().booted;
        Asked { at: self.clocks.real(), boot, life, disk_refusals: *self.drive.refusals.lock().unwrap() }
    }

    async fn log_in(&self, provider: &'static str, body: &[u8], deadline: Duration) -> Outcome {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
        let (asked, latency, answer, _logging_in) = {
            let mut log = self.log.lock().unwrap();
            let asked = self.asked(log.life);
            let latency = log.arrives(provider, asked.at, deadline);
            let is_troubled = !log.calm && log.rng.u8(..) < 20;
            let answer = log.desk(provider).ask(&form, asked, is_troubled);
            log.desk(provider).in_flight += 1;
            let form = String::from_utf8_lossy(body);
            note(asked.at, format_args!("login at {provider} {form} -> {} {}", answer.status, answer.body));
            (asked, latency, answer, LoggingIn(self, provider))
        };
        let late = Failure::new(ErrorReason::Timeout, "late");
        tokio::time::timeout(deadline, sleep(latency)).await.map_err(|_| late)?;
        note(self.clocks.real(), format_args!("login at {provider}: session {:?} delivered", answer.number));
        self.log.lock().unwrap().desk(provider).delivered(&answer, asked.at, self.clocks.real());
        let mut response = Response::new(Bytes::from(answer.body));
        *response.status_mut() = answer.status.try_into().unwrap();
        Ok(response)
    }

    async fn poll(&self, account: String, token: Option<String>, deadline: Duration) -> Outcome {
        let (provider, _) = PROVIDERS.iter().find(|(_, names)| names.contains(&account.as_str())).unwrap();
        let (latency, reply, _asking) = {
            let mut log = self.log.lock().unwrap();
            let asked = self.asked(log.life);
            let latency = log.arrives(provider, asked.at, deadline);
            assert!(log.polling.insert(account.clone()), "{account} is polled twice at a time");
            assert_eq!(token.is_some(), log.desks.contains_key(provider), "{account}: a session where it belongs");
            let is_kept = |token: &str| self.drive.is_kept(token);
            let admitted = token
                .as_deref()
                .is_none_or(|token| log.desk(provider).admits(token, asked.at, asked.disk_refusals, is_kept));
            let reply = if admitted {
                log.reply(&account, provider, asked.at, token.as_deref())
            } else {
                log.not_before.remove(&account);
                Reply::Says("expired".to_owned())
            };
            note(asked.at, format_args!("poll {account} with {token:?} -> {reply:?}"));
            (latency, reply, Asking(self, account))
        };
        let late = Failure::new(ErrorReason::Timeout, "late");
        tokio::time::timeout(deadline, sleep(latency)).await.map_err(|_| late)?;
        match reply {
            Reply::Says(says) => {
                self.log.lock().unwrap().heard(provider, &says, self.clocks.real());
                Ok(Response::new(Bytes::from(says)))
            }
            Reply::Fails(failure) => Err(failure),
        }
    }
}

impl Transport for Wire {
    fn along(&self, _: &Route) -> Option<Arc<dyn Transport>> {
        None
    }

    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async move {
            if !self.drive.disk.has_power() {
                std::future::pending::<()>().await;
            }
            let path = request.uri().path().trim_start_matches('/').to_owned();
            if let Some((provider, "apicall/token")) = path.split_once('/') {
                let provider = PROVIDERS.iter().find(|(name, _)| *name == provider).unwrap().0;
                return self.log_in(provider, request.body(), deadline).await;
            }
            let token = request.headers().get("token").map(|token| token.to_str().unwrap().to_owned());
            self.poll(path, token, deadline).await
        })
    }
}
