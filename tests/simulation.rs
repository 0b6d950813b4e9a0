//! Months of polling in seconds: the schedule and the limiter, driven by a hand-held clock, against providers
//! that answer late, fail, throttle and are reconfigured. One seed decides everything; it is printed when a law
//! is broken, and `SIMULATION_SEED=<seed>` runs that one alone; `SIMULATION_DAYS` says how many days there are in all.
//!
//! The oracle is the provider's own arrival log: a request arrives at a random moment between its start and its
//! completion, and nothing here looks at the limiter to judge it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use balance_exporter::account::AccountId;
use balance_exporter::clock::BootTime;
use balance_exporter::failure::{ErrorReason, Failure};
use balance_exporter::rate_limit::{Admission, Quota, RateLimiter, Ticket, Window};
use balance_exporter::schedule::{Plan, Schedule, Turn};

/// Simulated days, if nobody asks for more.
const DAYS: u64 = 1_000;
const DAYS_PER_SEED: u64 = 10;
const ACCOUNTS: usize = 12;
const PROVIDERS: usize = 4;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So much of each day is trouble; the rest is calm, in which everyone must be served in time again.
const TROUBLE: Duration = Duration::from_secs(18 * 3600);
/// The longest that the troubles of the day may keep someone waiting after they have ended: a pause of an hour,
/// an interval of an hour, then the queue.
const RECOVERY: Duration = Duration::from_secs(2 * 3600 + 900);
const MOST_LATENCY: Duration = Duration::from_secs(15);

#[test]
fn a_thousand_days() {
    let seeds = seeds();
    let days = DAYS_PER_SEED * seeds.len() as u64;
    let mut total = Tally::default();
    for seed in seeds {
        let tally = std::panic::catch_unwind(|| World::new(seed).run()).unwrap_or_else(|panic| {
            eprintln!("SIMULATION_SEED={seed} breaks a law");
            std::panic::resume_unwind(panic);
        });
        total.polls += tally.polls;
        total.requests += tally.requests;
        total.deferred += tally.deferred;
        total.throttled += tally.throttled;
        total.reloads += tally.reloads;
    }
    println!("{days} days: {total:?}");
    // the run must have met what it is about
    assert!(total.polls > 1_000 && total.deferred > 100 && total.throttled > 100 && total.reloads > 10, "{total:?}");
}

/// The one that a person asks for; else always the same ones, and one that nobody has seen.
#[expect(clippy::disallowed_methods, reason = "how a person asks for one seed or more days")]
fn seeds() -> Vec<u64> {
    let asked = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let days = asked("SIMULATION_DAYS").unwrap_or(DAYS);
    match asked("SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (1..days / DAYS_PER_SEED).chain([fastrand::u64(DAYS..)]).collect(),
    }
}

#[derive(Debug, Default)]
struct Tally {
    polls: u64,
    requests: u64,
    deferred: u64,
    throttled: u64,
    reloads: u64,
}

enum Event {
    /// Something may be due.
    Wake,
    /// The queue of a provider may move.
    Admit { provider: usize },
    /// A request reaches the provider.
    Arrive { provider: usize, sent_under: Vec<(u32, Duration)> },
    /// A request is over.
    Complete { poll: u64 },
    /// The configuration changes.
    Reload,
}

struct Poll {
    turn: Turn,
    ticket: Option<Ticket>,
    requests_left: u32,
    calm: bool,
}

struct Provider {
    limiter: RateLimiter,
    queue: VecDeque<u64>,
    asked_for: Option<BootTime>,
    /// The provider's own log, per window length that any quota ever had.
    arrivals: VecDeque<BootTime>,
}

struct Served {
    last_start: BootTime,
    since: BootTime,
    polling: bool,
}

struct World {
    rng: fastrand::Rng,
    now: BootTime,
    begin: BootTime,
    end: BootTime,
    order: u64,
    events: BinaryHeap<Reverse<(BootTime, u64)>>,
    bodies: BTreeMap<u64, Event>,
    schedule: Schedule,
    wake_at: Option<BootTime>,
    plans: BTreeMap<AccountId, Plan>,
    providers: Vec<Provider>,
    polls: BTreeMap<u64, Poll>,
    next_poll: u64,
    served: BTreeMap<AccountId, Served>,
    tally: Tally,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let begin = BootTime::from_boot(Duration::from_secs(rng.u64(0..10_000_000)));
        let mut world = Self {
            now: begin,
            begin,
            end: begin + DAY * u32::try_from(DAYS_PER_SEED).unwrap(),
            order: 0,
            events: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            schedule: Schedule::default(),
            wake_at: None,
            plans: BTreeMap::new(),
            providers: Vec::new(),
            polls: BTreeMap::new(),
            next_poll: 0,
            served: BTreeMap::new(),
            tally: Tally::default(),
            rng,
        };
        for account in 0..ACCOUNTS {
            let plan = world.any_plan();
            world.plans.insert(id(account), plan);
        }
        for provider in 0..PROVIDERS {
            let quota = world.feasible_quota(provider);
            world.providers.push(Provider {
                limiter: RateLimiter::new(quota),
                queue: VecDeque::new(),
                asked_for: None,
                arrivals: VecDeque::new(),
            });
        }
        world.apply_plans();
        world
    }

    fn run(mut self) -> Tally {
        let mut reload = self.now;
        while reload < self.end {
            reload = reload + HOUR + DAY.mul_f64(self.rng.f64() / 3.0);
            self.at(reload, Event::Reload);
        }
        while let Some(Reverse((time, order))) = self.events.pop() {
            if time > self.end {
                break;
            }
            assert!(time >= self.now, "time runs backwards");
            self.now = time;
            match self.bodies.remove(&order).unwrap() {
                Event::Wake => self.wake_at = self.wake_at.filter(|at| *at > self.now),
                Event::Admit { provider } => {
                    let asked_for = &mut self.providers[provider].asked_for;
                    *asked_for = asked_for.filter(|at| *at > self.now);
                    self.admit(provider);
                }
                Event::Arrive { provider, sent_under } => self.arrive(provider, &sent_under),
                Event::Complete { poll } => self.complete(poll),
                Event::Reload => self.reload(),
            }
            self.take_turns();
            self.nobody_starves();
        }
        self.tally
    }

    fn at(&mut self, time: BootTime, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order)));
        self.bodies.insert(self.order, event);
    }

    /// The last hours of every day are calm.
    fn calm(&self) -> bool {
        let into_day = self.now.since(self.begin).as_nanos() % DAY.as_nanos();
        into_day >= TROUBLE.as_nanos()
    }

    fn take_turns(&mut self) {
        while let Some(turn) = self.schedule.take_due(self.now) {
            let served = self.served.get_mut(&turn.id).unwrap();
            assert!(!served.polling, "two polls of {} at once", turn.id);
            served.polling = true;
            let provider = provider_of(&turn.id);
            let calm = self.calm();
            let requests_left = if !calm && self.rng.f64() < 0.1 { self.rng.u32(2..5) } else { 1 };
            let poll = self.next_poll;
            self.next_poll += 1;
            self.polls.insert(poll, Poll { turn, ticket: None, requests_left, calm });
            self.join(poll, provider);
        }
        if let Some(wakeup) = self.schedule.next_wakeup().filter(|next| self.wake_at.is_none_or(|at| *next < at)) {
            self.wake_at = Some(wakeup);
            self.at(wakeup, Event::Wake);
        }
    }

    fn join(&mut self, poll: u64, provider: usize) {
        let ticket = self.providers[provider].limiter.join();
        self.polls.get_mut(&poll).unwrap().ticket = Some(ticket);
        self.providers[provider].queue.push_back(poll);
        self.admit(provider);
        if self.providers[provider].queue.contains(&poll) {
            self.tally.deferred += 1;
        }
    }

    fn admit(&mut self, provider: usize) {
        while let Some(poll) = self.providers[provider].queue.front().copied() {
            let ticket = self.polls[&poll].ticket.as_ref().unwrap();
            match self.providers[provider].limiter.admit(ticket, self.now) {
                Admission::Go => {
                    self.providers[provider].queue.pop_front();
                    self.send(poll, provider);
                }
                Admission::At(time) => {
                    assert!(time > self.now, "the limiter asks to come back at once");
                    if self.providers[provider].asked_for.is_none_or(|asked| time < asked) {
                        self.providers[provider].asked_for = Some(time);
                        self.at(time, Event::Admit { provider });
                    }
                    return;
                }
                Admission::Behind => return,
            }
        }
    }

    fn send(&mut self, poll: u64, provider: usize) {
        self.tally.requests += 1;
        let turn = &self.polls[&poll].turn;
        let served = self.served.get_mut(&turn.id).unwrap();
        served.last_start = self.now;
        let latency = match self.rng.u32(0..20) {
            0 => MOST_LATENCY,
            1..4 => MOST_LATENCY.mul_f64(self.rng.f64()),
            _ => Duration::from_millis(self.rng.u64(20..800)),
        };
        let arrival = self.now + latency.mul_f64(self.rng.f64());
        let sent_under = self.promised(provider);
        self.at(arrival, Event::Arrive { provider, sent_under });
        self.at(self.now + latency, Event::Complete { poll });
    }

    /// The law: no window holds more than the quota. A request that was under way while the quota changed is only
    /// logged: it was sent under one promise and arrives under another.
    fn arrive(&mut self, provider: usize, sent_under: &[(u32, Duration)]) {
        let promised = self.promised(provider);
        let log = &mut self.providers[provider].arrivals;
        log.push_back(self.now);
        while log.front().is_some_and(|first| self.now.since(*first) > DAY) {
            log.pop_front();
        }
        for (requests, per) in promised.iter().filter(|_| promised == sent_under) {
            let within = log.iter().rev().take_while(|arrival| self.now.since(**arrival) < *per).count();
            assert!(
                within <= *requests as usize,
                "{within} arrivals in {per:?}, {requests} allowed, at {:?}",
                self.now
            );
        }
    }

    fn promised(&self, provider: usize) -> Vec<(u32, Duration)> {
        self.providers[provider].limiter.quota().windows.iter().map(|w| (w.requests, w.per)).collect()
    }

    fn complete(&mut self, poll: u64) {
        let mut state = self.polls.remove(&poll).unwrap();
        let provider = provider_of(&state.turn.id);
        self.providers[provider].limiter.finished(state.ticket.take().unwrap(), self.now);
        let failure = if state.calm || self.calm() { None } else { self.any_failure() };
        if failure.is_none() && state.requests_left > 1 {
            state.requests_left -= 1;
            self.polls.insert(poll, state);
            self.join(poll, provider);
        } else {
            self.tally.polls += 1;
            if let Some(failure) = failure.as_ref().filter(|f| f.reason == ErrorReason::RateLimited) {
                self.tally.throttled += 1;
                let pause = failure.retry_after.unwrap_or(Duration::from_secs(30));
                self.providers[provider].limiter.pause(self.now + pause);
            }
            if let Some(served) = self.served.get_mut(&state.turn.id) {
                served.polling = false;
            }
            let outcome = failure.as_ref().map_or(Ok(()), Err);
            let jitter = self.rng.f64();
            let id = state.turn.id.clone();
            if let Some(due) = self.schedule.finished(state.turn, outcome, self.now, jitter) {
                let interval = self.plans[&id].interval;
                assert!(due.since(self.now) <= interval.max(HOUR), "{id} waits {:?}", due.since(self.now));
            }
        }
        self.admit(provider);
    }

    fn any_failure(&mut self) -> Option<Failure> {
        if self.rng.f64() < 0.7 {
            return None;
        }
        let reason = ErrorReason::ALL[self.rng.usize(0..ErrorReason::ALL.len())];
        let wait = (self.rng.f64() < 0.1).then(|| HOUR.mul_f64(self.rng.f64()));
        Some(Failure::new(reason, "simulated").retry_after(wait))
    }

    fn reload(&mut self) {
        self.tally.reloads += 1;
        match self.rng.u32(0..4) {
            0 => {
                let account = id(self.rng.usize(0..ACCOUNTS));
                let plan = self.any_plan();
                self.plans.insert(account, plan);
            }
            1 if self.plans.len() > 6 => {
                let account = self.plans.keys().nth(self.rng.usize(0..self.plans.len())).unwrap().clone();
                self.plans.remove(&account);
            }
            2 => {
                // there and back within one poll: the account must not get a second turn
                let all = std::mem::take(&mut self.plans);
                self.apply_plans();
                self.plans = all;
            }
            _ => {}
        }
        for provider in 0..PROVIDERS {
            let quota = self.feasible_quota(provider);
            self.providers[provider].limiter.set_quota(quota);
            self.at(self.now, Event::Admit { provider });
        }
        self.apply_plans();
    }

    fn apply_plans(&mut self) {
        self.schedule.replace(&self.plans, self.now);
        let (now, plans) = (self.now, &self.plans);
        self.served.retain(|id, served| plans.contains_key(id) || served.polling);
        for id in plans.keys() {
            let served =
                self.served.entry(id.clone()).or_insert(Served { last_start: now, since: now, polling: false });
            served.since = now;
        }
        self.at(now, Event::Wake);
    }

    /// In the calm, once the troubles have been waited out, every account is asked in its interval; what others
    /// have in flight or in the queue before it can cost it the length of a window once.
    fn nobody_starves(&self) {
        let into_day = self.now.since(self.begin).as_nanos() % DAY.as_nanos();
        if into_day < (TROUBLE + RECOVERY).as_nanos() {
            return;
        }
        for (id, plan) in &self.plans {
            let served = &self.served[id];
            let longest = self.providers[provider_of(id)].limiter.quota().windows.iter().map(|w| w.per).max().unwrap();
            let most = plan.interval + longest + MOST_LATENCY * 4;
            if self.now.since(served.since) > HOUR * 2 {
                let gap = self.now.since(served.last_start);
                assert!(gap <= most, "{id} was not asked for {gap:?}, interval {:?}", plan.interval);
            }
        }
    }

    fn any_plan(&mut self) -> Plan {
        // log-uniform from a minute to an hour
        let interval = Duration::from_secs(60).mul_f64(60_f64.powf(self.rng.f64()));
        Plan { interval, stale_after: interval * 2 + Duration::from_secs(60) }
    }

    /// A quota that the accounts of a provider nearly use up, as the configuration allows, in two windows.
    fn feasible_quota(&mut self, provider: usize) -> Quota {
        let per = Duration::from_secs(60 * self.rng.u64(1..=60));
        let rate: f64 = self
            .plans
            .iter()
            .filter(|(id, _)| provider_of(id) == provider)
            .map(|(_, plan)| per.as_secs_f64() / plan.interval.as_secs_f64())
            .sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let requests = (rate * 1.3).ceil() as u32 + 1;
        let windows = vec![
            Window { requests, per },
            Window { requests: requests.min(2), per: Duration::from_secs(self.rng.u64(1..=5)) },
        ];
        Quota { windows }
    }
}

fn id(account: usize) -> AccountId {
    AccountId {
        provider: format!("provider-{}", account % PROVIDERS).into(),
        account: format!("account-{account}").into(),
    }
}

fn provider_of(id: &AccountId) -> usize {
    id.provider.rsplit('-').next().unwrap().parse().unwrap()
}
