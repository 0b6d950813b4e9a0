//! A machine on which the exporter lives, ends and starts again. What it may do meanwhile, its judges know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod trouble;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::desk::{Desk, Style};
use super::diary::note;
use super::judge::{Judge, Tally, judge_arrivals};
use super::machine::{Clocks, Drive, Log, Wire};
use super::stage::{Entry, fleet, secs, settle};
use crate::board::{AccountStatus, Board};
use crate::clock::Clock;
use crate::config::{Config, SecretReader};
use crate::exposition::Telemetry;
use crate::poller::{Edge, Fleet, Handle, Poller};
use crate::providers::Login;
use crate::store::brittle_disk::{BrittleDisk, Crash};
use crate::store::{Place, Store};

/// The first is asked with each request's own credentials, the second logs in with a password, the third has a refresh
/// token to begin with.
pub(super) const PROVIDERS: [(&str, [&str; 3]); 3] =
    [("p", ["a", "b", "c"]), ("q", ["k", "l", "m"]), ("r", ["x", "y", "z"])];
const ALL: [bool; 9] = [true; 9];
pub(super) const STATE: &str = "/state/state";
const LIMITS: &str = "/state/state.limits";
pub(super) const SESSIONS: &str = "/state/state.sessions";
/// Of the configuration's accounts, as it is if it is left out.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that back-off, its jitter included, keeps an account waiting.
const PATIENCE: Duration = Duration::from_secs(18 * 60);
/// The longest that a provider asks to be left alone, or is if it does not say how long.
const PAUSE: Duration = Duration::from_secs(15 * 60);
/// The longest until what is known is written again, and then some.
const SOON: Duration = Duration::from_secs(120);

/// One process.
struct Life {
    edge: Arc<Edge>,
    handle: Handle,
    tasks: Vec<JoinHandle<()>>,
    /// Some of what was counted could not be kept.
    unkept: Arc<Mutex<bool>>,
}

/// What the operator has written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    configured: [bool; 9],
    /// Whether each provider is polled half as often.
    slow: [bool; 3],
}

/// A file as it was, when that was, and how wrong the wall clock was then.
type Backup = (&'static str, Vec<u8>, Duration, i64);

/// The machine.
pub(super) struct World {
    rng: fastrand::Rng,
    clocks: Arc<Clocks>,
    drive: Arc<Drive>,
    wire: Arc<Wire>,
    boots: u32,
    rates: [(u32, u64); 3],
    intervals: [u64; 3],
    written: Written,
    fleets: BTreeMap<Written, Fleet>,
    /// By provider and the refresh token that it begins with.
    logins: BTreeMap<(&'static str, Option<usize>), Arc<dyn Login>>,
    /// Accounts and providers that were removed in this life.
    removed: BTreeSet<&'static str>,
    is_new: bool,
    /// Since when nothing is wrong with the disk, as far as that goes.
    sound_since: Option<Duration>,
    backup: Option<Backup>,
    judge: Judge,
    tally: Tally,
    suspended: Duration,
    /// When the wall clock was set last.
    stepped: Duration,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the beginning of the time that these clocks tell")]
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let nap = secs(*rng.choice(&[1, 10, 30]).unwrap());
        let clocks = Arc::new(Clocks(Instant::now(), Mutex::default(), nap));
        // the machine has been up for a while
        clocks.change(|shift| shift.slept = secs(1_000));
        let drive = Arc::new(Drive {
            disk: BrittleDisk::default(),
            clocks: clocks.clone(),
            full: Mutex::default(),
            accounts: Mutex::default(),
            refusals: Mutex::default(),
            slowness: Duration::from_millis(*rng.choice(&[0, 80, 200, 400]).unwrap()),
        });
        let intervals = [(); 3].map(|()| *rng.choice(&[60_u64, 300, 600, 900, 1_800]).unwrap());
        let pers = [(); 3].map(|()| *rng.choice(&[10_u64, 60, 600, 1_800]).unwrap());
        // the shortest that is believed is half a minute; one that ends while its first use waits for a slot is no good
        let lifetimes = pers.map(|per| *rng.choice(&[if per > 60 { 2_400 } else { 60 }, 3_600, 36_000]).unwrap());
        // what three accounts and their log-ins need, and hardly more
        let mut rates = [(0, 0); 3];
        for nth in 0..3 {
            let (per, interval) = (pers[nth], intervals[nth]);
            let logins = if nth == 0 { 0 } else { per.div_ceil(interval.min(lifetimes[nth])) + 1 };
            let polls = (3 * per).div_ceil(interval);
            rates[nth] = (u32::try_from(polls + logins).unwrap() + rng.u32(1..3), per);
        }
        let desks = [1, 2].map(|nth| {
            let style = *rng.choice(&[Style::Strict, Style::Strict, Style::Lenient, Style::Lasting]).unwrap();
            let (name, _) = PROVIDERS[nth];
            (name, Desk::new(name, style, lifetimes[nth], nth == 2))
        });
        let log = Log {
            rng: rng.fork(),
            calm: false,
            life: 0,
            arrivals: BTreeMap::new(),
            polling: BTreeSet::new(),
            said: Vec::new(),
            desks: desks.into(),
            pauses: BTreeMap::new(),
            not_before: BTreeMap::new(),
            faults: 0,
        };
        let wire = Arc::new(Wire { clocks: clocks.clone(), drive: drive.clone(), log: Mutex::new(log) });
        Self {
            rng,
            clocks,
            drive,
            wire,
            boots: 0,
            rates,
            intervals,
            written: Written { configured: ALL, slow: [false; 3] },
            fleets: BTreeMap::new(),
            logins: BTreeMap::new(),
            removed: BTreeSet::new(),
            is_new: true,
            sound_since: Some(Duration::ZERO),
            backup: None,
            judge: Judge::default(),
            tally: Tally::default(),
            suspended: Duration::ZERO,
            stepped: Duration::ZERO,
        }
    }

    /// Trouble for so long, then calm in which everything must be well again.
    pub(super) async fn run_for(mut self, span: Duration) -> Tally {
        let end = self.clocks.real() + span;
        let life = loop {
            let life = self.start().await;
            let ended_well = self.live(&life).await;
            let over = self.clocks.real() >= end;
            if over && self.drive.disk.has_power() && self.rng.bool() {
                break life;
            }
            if over && self.drive.disk.has_power() {
                // as in `meddle`: nobody ends between the mending and the next write
                self.heal();
                sleep(SOON).await;
            }
            self.end(life, ended_well).await;
            if over {
                self.heal();
                break self.start().await;
            }
        };
        self.heal();
        self.written = Written { configured: ALL, slow: [false; 3] };
        self.wire.log.lock().unwrap().calm = true;
        for desk in self.wire.log.lock().unwrap().desks.values_mut() {
            desk.refusing = false;
        }
        let fleet = self.fleet();
        life.handle.configure(fleet).await;
        // a token that was lost on its way can only be replaced by a person
        self.reconnect(&life, "r", true).await;
        let longest = self.rates.iter().map(|(_, per)| *per).max().unwrap().max(60);
        let most = secs(longest * 2 + self.intervals.into_iter().max().unwrap() * 2) + PATIENCE + PAUSE + TIMEOUT;
        let began = self.clocks.real();
        while self.clocks.real() < began + most {
            sleep(secs(60)).await;
            self.scrape(&life);
        }
        let now = self.clocks.now();
        for status in life.edge.board.view().accounts {
            assert!(status.fresh(&now).is_some(), "not fresh in time: {status:?}");
        }
        self.end(life, true).await;
        let mut log = self.wire.log.lock().unwrap();
        self.tally.arrivals = judge_arrivals(&mut log, &self.rates);
        self.tally.faults = log.faults;
        self.tally.hours_suspended = self.suspended.as_secs() / 3_600;
        for desk in log.desks.values() {
            self.tally.logins += desk.logins;
            self.tally.refreshes += desk.refreshes;
            self.tally.repeated += desk.repeated;
            self.tally.logins_refused += desk.refused;
        }
        self.tally
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |nth: usize| {
            let (name, accounts) = PROVIDERS[nth];
            let here = accounts.into_iter().enumerate().filter(|(at, _)| self.written.configured[nth * 3 + at]);
            let accounts: Vec<_> = here.map(|(_, account)| account).collect();
            let interval = self.intervals[nth] * if self.written.slow[nth] { 2 } else { 1 };
            (!accounts.is_empty()).then(|| Entry { rate: self.rates[nth], interval, ..Entry::new(name, &accounts) })
        };
        (0..3).filter_map(entry).collect()
    }

    /// As it is written down now, with the secrets of now.
    fn fleet(&mut self) -> Fleet {
        let entries = self.entries();
        let mut fleet = self.fleets.entry(self.written).or_insert_with(|| fleet(&entries)).clone();
        for (provider, connection) in &mut fleet {
            connection.login = self.login(&provider.name);
        }
        fleet
    }

    fn login(&mut self, provider: &str) -> Option<Arc<dyn Login>> {
        let (name, number) = {
            let log = self.wire.log.lock().unwrap();
            let desk = log.desks.get(provider)?;
            (desk.name, desk.configured)
        };
        Some(self.logins.entry((name, number)).or_insert_with(|| login(name, number)).clone())
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
        let fleet = self.fleet();
        if let Some(recalled) = store.recalled() {
            let configs = fleet.iter().flat_map(|(provider, _)| &provider.accounts);
            let known = configs.filter_map(|config| {
                let memory = recalled.accounts.get(&config.id)?;
                Some(AccountStatus::recalled(config.clone(), memory, recalled.since))
            });
            let known: Vec<_> = known.collect();
            self.expect_patience(&known);
            board.recall(known, recalled.providers);
        }
        let edge = Arc::new(Edge {
            store: store.clone(),
            clock: self.clocks.clone(),
            transport: self.wire.clone(),
            board: board.clone(),
            telemetry: Arc::new(Telemetry::new().unwrap()),
        });
        let number = {
            let mut log = self.wire.log.lock().unwrap();
            log.life += 1;
            log.life
        };
        note(self.clocks.real(), format_args!("=== life {number} in boot {}: {:?}", self.boots, self.written));
        let (handle, run) = Poller::new(edge.clone(), self.rng.u64(..)).start();
        let following = async move { store.follow(&board).await };
        let tasks = vec![tokio::spawn(run), tokio::spawn(following)];
        handle.configure(fleet).await;
        let shown = edge.board.view().accounts;
        let now = self.clocks.now();
        self.tally.remembered += u64::from(shown.iter().any(|status| status.fresh(&now).is_some()));
        let life = Life { edge, handle, tasks, unkept };
        self.scrape(&life);
        life
    }

    /// Whoever was polled not long ago, and is known so, waits for the next poll as if nothing had happened.
    fn expect_patience(&mut self, known: &[AccountStatus]) {
        let (written, _) = *self.drive.accounts.lock().unwrap();
        // what was written before the clock was set means another time now
        let known = if written > self.stepped { known } else { &[] };
        let promised = known.iter().filter_map(|status| {
            let until = self.judge.promised(status, &self.clocks)?;
            Some((status.config.id.account.to_string(), until))
        });
        let promised: BTreeMap<_, _> = promised.collect();
        self.tally.resumed += promised.len() as u64;
        self.wire.log.lock().unwrap().not_before = promised;
    }

    /// True if it is to be told to stop; else it is killed, or dead already.
    async fn live(&mut self, life: &Life) -> bool {
        let longest = *self.rng.choice(&[1, 10, 100, 1_000, 10_000, 20_000]).unwrap();
        let end = self.clocks.real() + Duration::from_millis(self.rng.u64(0..longest * 1_000));
        if self.rng.u8(..) < 110 {
            let operations = *self.rng.choice(&[10, 100, 1_000]).unwrap();
            self.drive.disk.crash_after(self.rng.usize(0..operations));
        }
        while self.clocks.real() < end && self.drive.disk.has_power() {
            let nap = *self.rng.choice(&[10, 2_000, 30_000, 300_000]).unwrap();
            sleep(Duration::from_millis(self.rng.u64(0..nap)).min(end.saturating_sub(self.clocks.real()))).await;
            if self.drive.disk.has_power() {
                self.scrape(life);
                self.meddle(life).await;
            }
        }
        self.drive.disk.has_power() && self.rng.u8(..) < 50
    }

    /// No disk is repaired by a crash: what could not be removed cannot be written at the next start.
    async fn end(&mut self, life: Life, well: bool) {
        let Life { edge, handle, tasks, unkept } = life;
        let power = self.drive.disk.has_power();
        note(self.clocks.real(), format_args!("end of the life, well: {well}, power: {power}"));
        if well {
            self.tally.stops += 1;
            handle.stop(secs(5)).await;
            edge.store.close(&edge.board, secs(1)).await;
            if self.drive.disk.has_power() {
                self.judge.look(&edge.board, &self.clocks, &self.wire.log.lock().unwrap());
            }
        }
        self.judge.last_look(&edge.board, &self.clocks);
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
            for arrival in log.arrivals.values_mut().flat_map(|arrivals| arrivals.iter_mut().rev().take(100)) {
                *arrival = (*arrival).min(now);
            }
            log.pauses.clear();
            for desk in log.desks.values_mut() {
                assert_eq!(desk.in_flight, 0, "somebody logs in");
                desk.life_ends(|token| self.drive.is_kept(token));
            }
        }
        if *unkept.lock().unwrap() {
            self.judge.forget_counters(|_| true);
        }
        let removed = std::mem::take(&mut self.removed);
        self.judge.forget_counters(|name| removed.contains(name));
        if self.drive.disk.has_power() && self.rng.bool() {
            self.tally.kills += u64::from(!well);
            sleep(Duration::from_millis(self.rng.u64(0..5_000))).await;
            // the power stays
            self.drive.disk.crash_after(usize::MAX);
            let (written, _) = *self.drive.accounts.lock().unwrap();
            if written < self.clocks.1.lock().unwrap().booted {
                // what is known is from before the boot, and nothing on the disk tells of this
                let by = self.judge.set_back.iter().map(|(_, by)| *by).sum();
                self.judge.untold.push((self.clocks.real(), by));
            }
            self.let_somebody_in();
            return;
        }
        self.tally.power_failures += 1;
        note(self.clocks.real(), format_args!("the power fails"));
        let (written, certain) = *self.drive.accounts.lock().unwrap();
        let set_back = std::mem::take(&mut self.judge.set_back);
        let unwritten = set_back.into_iter().filter(|(at, _)| !certain || *at >= written);
        self.judge.untold.push((self.clocks.real(), unwritten.map(|(_, by)| by).sum()));
        let crash = *self.rng.choice(&[Crash::LosesAll, Crash::KeepsAPart, Crash::KeepsAll]).unwrap();
        self.drive.disk.restart(crash);
        self.boots += 1;
        sleep(secs(self.rng.u64(0..600))).await;
        let booted = self.clocks.real();
        self.clocks.change(|shift| shift.booted = booted);
        sleep(secs(self.rng.u64(1..30))).await;
    }

    fn scrape(&mut self, life: &Life) {
        self.tally.scrapes += 1;
        let log = self.wire.log.lock().unwrap();
        self.judge.look(&life.edge.board, &self.clocks, &log);
        // what a disk in trouble did not take, it takes soon afterwards
        let now = self.clocks.real();
        if self.sound_since.is_some_and(|since| now.saturating_sub(since) > SOON) {
            for desk in log.desks.values() {
                if let Some(token) = desk.held_for(SOON, log.life, now) {
                    assert!(self.drive.is_kept(&token), "{token} is not kept after all this time");
                }
            }
        }
    }
}

/// The real client of the token endpoint.
fn login(name: &str, number: Option<usize>) -> Arc<dyn Login> {
    let grant = match number {
        None => "{ grant: password, username: u, password: { env: PASSWORD }",
        Some(_) => "{ grant: refresh_token, refresh_token: { env: TOKEN }",
    };
    let text = format!(
        "
providers:
  - name: {name}
    api: dialog
    base_url: http://127.0.0.1:1/{name}
    currency: LKR
    login: {grant}, client_id: c, client_secret: {{ env: SECRET }} }}
    accounts: [{{ name: one, msisdn: \"94770000000\" }}]"
    );
    let token = format!("{name}-r-{}", number.unwrap_or_default());
    let secrets = [("PASSWORD", format!("password of {name}")), ("TOKEN", token), ("SECRET", "s".to_owned())];
    let secrets = secrets.into_iter().map(|(variable, secret)| (variable.to_owned(), secret)).collect();
    let config = Config::parse(&text).unwrap();
    config.providers[0].connect(&SecretReader::with_environment(secrets)).unwrap().login.unwrap()
}
