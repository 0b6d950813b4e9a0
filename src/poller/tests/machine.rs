//! What a world is made of: clocks that can be set and suspended, a disk that can be full, and providers that remember
//! what was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::world::{PROVIDERS, STATE};
use crate::clock::{BootTime, Clock, Now};
use crate::failure::{ErrorReason, Failure};
use crate::route::Route;
use crate::store::Disk;
use crate::store::brittle_disk::BrittleDisk;
use crate::transport::{Outcome, Transport};

/// The clocks of a machine, and the time as it really is.
#[derive(Debug)]
pub(super) struct Clocks(pub(super) Instant, pub(super) Mutex<Shift>);

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
        change(&mut self.1.lock().unwrap());
    }
}

impl Clock for Clocks {
    fn now(&self) -> Now {
        let real = self.real();
        let Shift { booted, wall, .. } = *self.1.lock().unwrap();
        let wall = Timestamp::from_second(1_800_000_000 + wall).unwrap() + real;
        Now { boot: BootTime::from_boot(real.checked_sub(booted).unwrap()), wall }
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
}

impl Drive {
    fn timed(&self) -> &BrittleDisk {
        self.disk.set_time(self.clocks.now().wall);
        &self.disk
    }
}

impl Disk for Drive {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if *self.full.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.timed().write(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.timed().rename(from, to)?;
        if to == Path::new(STATE) {
            *self.accounts.lock().unwrap() = (self.clocks.real(), false);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.timed().remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.timed().sync_directory(directory)?;
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
    /// By provider, when requests arrived; those on their way at the end of their sender arrive then at the latest.
    pub(super) arrivals: BTreeMap<&'static str, Vec<Duration>>,
    pub(super) polling: BTreeSet<String>,
    /// Whom each number was said to, and when it was asked for.
    pub(super) said: Vec<(String, Duration)>,
}

/// An account that is being asked, until it is answered or given up.
struct Asking<'a>(&'a Wire, String);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.log.lock().unwrap().polling.remove(&self.1);
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
            let account = request.uri().path().trim_start_matches('/').to_owned();
            let asked = self.clocks.real();
            let (latency, number, _asking) = {
                let mut log = self.log.lock().unwrap();
                let longest = if log.calm { 1_000 } else { 12_000 };
                let latency = Duration::from_millis(log.rng.u64(1..longest));
                let arrival = asked + latency.min(deadline).mul_f64(log.rng.f64());
                let (provider, _) = PROVIDERS.iter().find(|(_, names)| names.contains(&account.as_str())).unwrap();
                log.arrivals.entry(provider).or_default().push(arrival);
                assert!(log.polling.insert(account.clone()), "{account} is polled twice at a time");
                log.said.push((account.clone(), asked));
                (latency, log.said.len(), Asking(self, account))
            };
            let late = Failure::new(ErrorReason::Timeout, "late");
            tokio::time::timeout(deadline, sleep(latency)).await.map_err(|_| late)?;
            Ok(Response::new(Bytes::from(format!("balance {number}"))))
        })
    }
}
