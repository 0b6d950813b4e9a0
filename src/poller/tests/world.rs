//! A machine on which the exporter lives, ends and starts again, and the judges of what it does meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::machine::{Clocks, Drive, Log, Wire};
use super::stage::{Entry, fleet, secs, settle};
use crate::account::{AccountId, Wallet};
use crate::board::{AccountStatus, Board};
use crate::clock::Clock;
use crate::exposition::Telemetry;
use crate::failure::ErrorReason;
use crate::poller::{Edge, Handle, Poller};
use crate::store::brittle_disk::{BrittleDisk, Crash};
use crate::store::{Place, Store};

pub(super) const PROVIDERS: [(&str, [&str; 3]); 2] = [("p", ["a", "b", "c"]), ("q", ["x", "y", "z"])];
pub(super) const STATE: &str = "/state/state";
/// Of the configuration's accounts, as it is if it is left out.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that back-off, its jitter included, keeps an account waiting.
const PATIENCE: Duration = Duration::from_secs(18 * 60);

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) kills: u64,
    pub(super) power_failures: u64,
    pub(super) stops: u64,
    pub(super) arrivals: u64,
    pub(super) reloads: u64,
    pub(super) scrapes: u64,
    pub(super) disk_troubles: u64,
    pub(super) clock_events: u64,
    /// Lives whose first scrape had numbers.
    pub(super) remembered: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.power_failures += other.power_failures;
        self.stops += other.stops;
        self.arrivals += other.arrivals;
        self.reloads += other.reloads;
        self.scrapes += other.scrapes;
        self.disk_troubles += other.disk_troubles;
        self.clock_events += other.clock_events;
        self.remembered += other.remembered;
    }
}

/// One process.
struct Life {
    edge: Arc<Edge>,
    handle: Handle,
    tasks: Vec<JoinHandle<()>>,
    /// Some of what was counted could not be kept.
    unkept: Arc<Mutex<bool>>,
}

/// The machine.
pub(super) struct World {
    rng: fastrand::Rng,
    clocks: Arc<Clocks>,
    drive: Arc<Drive>,
    wire: Arc<Wire>,
    boots: u32,
    rates: [(u32, u64); 2],
    intervals: [u64; 2],
    /// Accounts that are configured now, and those that were removed in this life.
    configured: [bool; 6],
    removed: BTreeSet<String>,
    is_new: bool,
    /// When the wall clock was set back in this boot, and by how much.
    set_back: Vec<(Duration, Duration)>,
    /// Power failures, and by how much it was set back before them without a trace: nobody can know of it afterwards.
    untold: Vec<(Duration, Duration)>,
    counted: BTreeMap<String, u64>,
    tally: Tally,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the beginning of the time that these clocks tell")]
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let clocks = Arc::new(Clocks(Instant::now(), Mutex::default()));
        // the machine has been up for a while
        clocks.change(|shift| shift.slept = secs(1_000));
        let drive = Arc::new(Drive {
            disk: BrittleDisk::default(),
            clocks: clocks.clone(),
            full: Mutex::default(),
            accounts: Mutex::default(),
        });
        let log =
            Log { rng: rng.fork(), calm: false, arrivals: BTreeMap::new(), polling: BTreeSet::new(), said: Vec::new() };
        let wire = Arc::new(Wire { clocks: clocks.clone(), drive: drive.clone(), log: Mutex::new(log) });
        let intervals = [(); 2].map(|()| *rng.choice(&[20_u64, 60, 300]).unwrap());
        // what three accounts need, and hardly more
        let rates = intervals.map(|interval| {
            let per = *rng.choice(&[10_u64, 60, 600, 1_800]).unwrap();
            (u32::try_from((3 * per).div_ceil(interval)).unwrap() + rng.u32(1..3), per)
        });
        Self {
            rng,
            clocks,
            drive,
            wire,
            boots: 0,
            rates,
            intervals,
            configured: [true; 6],
            removed: BTreeSet::new(),
            is_new: true,
            set_back: Vec::new(),
            untold: Vec::new(),
            counted: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Trouble for so many hours, then calm in which everything must be well again.
    pub(super) async fn run(mut self, hours: u64) -> Tally {
        let end = self.clocks.real() + secs(hours * 3_600);
        while self.clocks.real() < end {
            let life = self.start().await;
            let ended_well = self.live(&life).await;
            self.end(life, ended_well).await;
        }
        self.heal();
        self.configured = [true; 6];
        self.wire.log.lock().unwrap().calm = true;
        let life = self.start().await;
        let longest = self.rates.iter().map(|(_, per)| *per).max().unwrap().max(60);
        let most = secs(longest * 2 + self.intervals.into_iter().max().unwrap()) + PATIENCE + TIMEOUT;
        let began = self.clocks.real();
        while self.clocks.real() < began + most {
            sleep(secs(5)).await;
            self.scrape(&life.edge);
        }
        let now = self.clocks.now();
        for status in life.edge.board.view().accounts {
            assert!(status.fresh(&now).is_some(), "not fresh in time: {status:?}");
        }
        self.end(life, true).await;
        self.judge_arrivals();
        self.tally
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |nth: usize| {
            let (name, accounts) = PROVIDERS[nth];
            let here = accounts.into_iter().enumerate().filter(|(at, _)| self.configured[nth * 3 + at]);
            let accounts: Vec<_> = here.map(|(_, account)| account).collect();
            let (rate, interval) = (self.rates[nth], self.intervals[nth]);
            (!accounts.is_empty()).then(|| Entry { rate, interval, ..Entry::new(name, &accounts) })
        };
        (0..2).filter_map(entry).collect()
    }

    async fn start(&mut self) -> Life {
        let unkept = Arc::new(Mutex::new(false));
        let told = unkept.clone();
        let place = Place {
            path: STATE.into(),
            disk: self.drive.clone(),
            clock: self.clocks.clone(),
            boot: format!("boot {}", self.boots),
        };
        let told = Box::new(move |written: bool| *told.lock().unwrap() |= !written);
        let store = Store::open_inline(place, self.is_new, told);
        self.is_new = false;
        let board = Arc::new(Board::default());
        let fleet = fleet(&self.entries());
        if let Some(recalled) = store.recalled() {
            let configs = fleet.iter().flat_map(|(provider, _)| &provider.accounts);
            let known = configs.filter_map(|config| {
                let memory = recalled.accounts.get(&config.id)?;
                Some(AccountStatus::recalled(config.clone(), memory, recalled.since))
            });
            board.recall(known.collect(), recalled.providers);
        }
        let edge = Arc::new(Edge {
            store: store.clone(),
            clock: self.clocks.clone(),
            transport: self.wire.clone(),
            board: board.clone(),
            telemetry: Arc::new(Telemetry::new().unwrap()),
        });
        let (handle, run) = Poller::new(edge.clone(), self.rng.u64(..)).start();
        let following = async move { store.follow(&board).await };
        let tasks = vec![tokio::spawn(run), tokio::spawn(following)];
        handle.configure(fleet).await;
        let shown = edge.board.view().accounts;
        let now = self.clocks.now();
        self.tally.remembered += u64::from(shown.iter().any(|status| status.fresh(&now).is_some()));
        self.scrape(&edge);
        Life { edge, handle, tasks, unkept }
    }

    /// True if it is to be told to stop; else it is killed, or dead already.
    async fn live(&mut self, life: &Life) -> bool {
        let longest = *self.rng.choice(&[1, 10, 100, 1_000, 10_000]).unwrap();
        let end = self.clocks.real() + Duration::from_millis(self.rng.u64(0..longest * 1_000));
        if self.rng.u8(..) < 110 {
            let operations = *self.rng.choice(&[10, 100, 1_000]).unwrap();
            self.drive.disk.crash_after(self.rng.usize(0..operations));
        }
        while self.clocks.real() < end && self.drive.disk.has_power() {
            let nap = *self.rng.choice(&[10, 1_000, 30_000]).unwrap();
            sleep(Duration::from_millis(self.rng.u64(0..nap)).min(end.saturating_sub(self.clocks.real()))).await;
            if self.drive.disk.has_power() {
                self.scrape(&life.edge);
                self.meddle(life).await;
            }
        }
        self.drive.disk.has_power() && self.rng.u8(..) < 50
    }

    /// Now and then something happens.
    async fn meddle(&mut self, life: &Life) {
        match self.rng.u8(..) {
            0..3 => {
                let nth = self.rng.usize(..6);
                self.configured[nth] = !self.configured[nth];
                if !self.configured[nth] {
                    let (provider, names) = PROVIDERS[nth / 3];
                    self.removed.insert(format!("{provider} {}", names[nth % 3]));
                    self.removed.insert(format!("{provider} "));
                }
                life.handle.configure(fleet(&self.entries())).await;
                self.tally.reloads += 1;
            }
            3 => {
                let mut full = self.drive.full.lock().unwrap();
                *full = !*full;
                self.tally.disk_troubles += u64::from(*full);
            }
            4 => {
                self.drive.disk.fail_with(Some(io::ErrorKind::ReadOnlyFilesystem));
                self.tally.disk_troubles += 1;
            }
            5..8 => self.drive.disk.fail_with(None),
            8 => {
                let by = self.rng.i64(-7_200..7_200);
                self.clocks.change(|shift| shift.wall += by);
                if by < 0 {
                    self.set_back.push((self.clocks.real(), secs(by.unsigned_abs())));
                }
                self.tally.clock_events += 1;
            }
            9 => {
                let span = secs(self.rng.u64(1..10_000));
                self.clocks.change(|shift| shift.slept += span);
                self.tally.clock_events += 1;
            }
            10.. => {}
        }
    }

    /// No disk is repaired by a crash: what could not be removed cannot be written at the next start.
    async fn end(&mut self, life: Life, well: bool) {
        let Life { edge, handle, tasks, unkept } = life;
        if well {
            self.tally.stops += 1;
            handle.stop(secs(5)).await;
            edge.store.close(&edge.board).await;
            if self.drive.disk.has_power() {
                self.scrape(&edge);
            }
        }
        for task in tasks {
            task.abort();
            // however it ended
            let _ = task.await;
        }
        drop((handle, edge));
        settle().await;
        let now = self.clocks.real();
        {
            let mut log = self.wire.log.lock().unwrap();
            assert!(log.polling.is_empty(), "somebody polls on: {:?}", log.polling);
            for arrival in log.arrivals.values_mut().flatten() {
                *arrival = (*arrival).min(now);
            }
        }
        if *unkept.lock().unwrap() {
            self.counted.clear();
        }
        let removed = std::mem::take(&mut self.removed);
        self.counted.retain(|name, _| !removed.iter().any(|removed| name.starts_with(removed)));
        if self.drive.disk.has_power() && self.rng.bool() {
            self.tally.kills += u64::from(!well);
            sleep(Duration::from_millis(self.rng.u64(0..5_000))).await;
            // the power stays
            self.drive.disk.crash_after(usize::MAX);
            return;
        }
        self.tally.power_failures += 1;
        let (written, certain) = *self.drive.accounts.lock().unwrap();
        let unwritten = std::mem::take(&mut self.set_back).into_iter().filter(|(at, _)| !certain || *at >= written);
        self.untold.push((self.clocks.real(), unwritten.map(|(_, by)| by).sum()));
        let crash = *self.rng.choice(&[Crash::LosesAll, Crash::KeepsAPart, Crash::KeepsAll]).unwrap();
        self.drive.disk.restart(crash);
        self.boots += 1;
        sleep(secs(self.rng.u64(0..600))).await;
        let booted = self.clocks.real();
        self.clocks.change(|shift| shift.booted = booted);
        sleep(secs(self.rng.u64(1..30))).await;
    }

    fn heal(&mut self) {
        *self.drive.full.lock().unwrap() = false;
        self.drive.disk.fail_with(None);
        self.drive.disk.crash_after(usize::MAX);
    }

    /// What is shown now: numbers that were said, young enough by the real time; counters that are not set back.
    fn scrape(&mut self, edge: &Edge) {
        self.tally.scrapes += 1;
        let (now, real) = (self.clocks.now(), self.clocks.real());
        let view = edge.board.view();
        let mut counts = Vec::new();
        for status in &view.accounts {
            let AccountId { provider, account } = &status.config.id;
            let name = format!("{provider} {account}");
            counts.push((format!("{name} polls"), status.polls));
            let failures: u64 = ErrorReason::ALL.into_iter().map(|reason| status.failures(reason)).sum();
            counts.push((format!("{name} failures"), failures));
            for flow in &status.flows {
                if flow.wallet == Wallet::new("payout") {
                    counts.push((
                        format!("{name} inflow"),
                        flow.inflow.to_string().split('.').next().unwrap().parse().unwrap(),
                    ));
                }
            }
            if let Some(snapshot) = status.fresh(&now) {
                let shown = snapshot.reading().balances()[0].available.unwrap().to_string();
                let log = self.wire.log.lock().unwrap();
                let (whose, asked) = &log.said[shown.parse::<usize>().unwrap() - 1];
                assert_eq!(whose, &**account, "a number under another name");
                let age = real.saturating_sub(*asked);
                // times in files are whole milliseconds
                let untold = self.untold.iter().filter(|(at, _)| at >= asked).map(|(_, by)| *by).sum::<Duration>();
                let most = status.config.stale_after + untold + Duration::from_millis(2);
                assert!(age <= most, "{name}: shown at an age of {age:?}, {most:?} allowed");
            }
        }
        for status in &view.providers {
            counts.push((format!("{} requests", status.name), status.counts.requests));
        }
        for (name, count) in counts {
            let before = self.counted.insert(name.clone(), count).unwrap_or_default();
            assert!(count >= before, "{name} is set back from {before} to {count}");
        }
    }

    fn judge_arrivals(&mut self) {
        let mut log = self.wire.log.lock().unwrap();
        for ((name, _), (requests, per)) in PROVIDERS.iter().zip(self.rates) {
            let Some(arrivals) = log.arrivals.get_mut(name) else { continue };
            arrivals.sort_unstable();
            self.tally.arrivals += arrivals.len() as u64;
            for window in arrivals.windows(requests as usize + 1) {
                let span = window[requests as usize].checked_sub(window[0]).unwrap();
                assert!(span >= secs(per), "{name}: {requests} + 1 requests arrived in {span:?} at {:?}", window[0]);
            }
        }
    }
}
