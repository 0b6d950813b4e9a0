//! Whose turn it is, and how patient each failure makes us.
//!
//! Every account has a rhythm of its own: the instants `phase + n * interval` of the boot clock, where the
//! phase is a fixed hash of its name. So a fleet is spread evenly, and a restart keeps the rhythm. The first
//! poll comes at once; a missed turn is dropped, never made up; an account has one turn out at a time.
//!
//! The driver asks two questions: [`Schedule::take_due`] and [`Schedule::next_wakeup`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::account::AccountId;
use crate::clock::BootTime;
use crate::failure::{ErrorReason, Failure};

/// First polls of a fleet are spread over this span per account …
const SPREAD_PER_ACCOUNT: Duration = Duration::from_millis(10);
/// … but over no more than this.
const MOST_SPREAD: Duration = Duration::from_secs(2);
/// An early retry after fleeting trouble comes no sooner than this …
const LEAST_EARLY_RETRY: Duration = Duration::from_secs(1);
/// … and at most this much later.
const EARLY_RETRY_SPREAD: Duration = Duration::from_secs(2);
/// The longest that back-off alone keeps an account waiting.
const MOST_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// So many refusals in a row, and the provider is left alone for a while: it may be about to lock us out.
const REFUSALS_BEFORE_GUARD: u32 = 3;
/// How long it is left alone at least.
const LOCKOUT_GUARD: Duration = Duration::from_secs(5 * 60);

/// What the schedule must know of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// From one poll to the next.
    pub interval: Duration,
    /// Back-off stays below half of it, so that one good poll comes before the number is withdrawn.
    pub stale_after: Duration,
}

/// The right to poll an account once. It is not `Clone`: whoever has it is the only one, and hands it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub id: AccountId,
    /// When it was to begin.
    pub due: BootTime,
    serial: u64,
}

/// All accounts and their turns.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: BTreeMap<AccountId, Entry>,
    /// Every waiting entry, by its time.
    waiting: BTreeSet<(BootTime, AccountId)>,
    /// Accounts that left while their turn was out.
    leaving: BTreeMap<AccountId, u64>,
    next_serial: u64,
}

#[derive(Debug)]
struct Entry {
    plan: Plan,
    state: State,
    failures_in_a_row: u32,
    refusals_in_a_row: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting(BootTime),
    Out { serial: u64 },
}

impl Schedule {
    /// Makes the schedule be about exactly these accounts. An account whose plan is the same is not disturbed; one
    /// with another interval keeps its place if that comes sooner, or if it is being patient with a failure.
    pub fn replace(&mut self, plans: &BTreeMap<AccountId, Plan>, now: BootTime) {
        let gone: Vec<_> = self.entries.keys().filter(|id| !plans.contains_key(*id)).cloned().collect();
        for id in gone {
            if let Some(entry) = self.entries.remove(&id) {
                match entry.state {
                    State::Waiting(due) => drop(self.waiting.remove(&(due, id))),
                    State::Out { serial } => drop(self.leaving.insert(id, serial)),
                }
            }
        }
        let spread = (SPREAD_PER_ACCOUNT * u32::try_from(plans.len()).unwrap_or(u32::MAX)).min(MOST_SPREAD);
        for (id, plan) in plans {
            let Some(entry) = self.entries.get_mut(id) else {
                let state = match self.leaving.remove(id) {
                    Some(serial) => State::Out { serial },
                    None => State::Waiting(now + phase(id, spread)),
                };
                self.insert(id.clone(), Entry { plan: *plan, state, failures_in_a_row: 0, refusals_in_a_row: 0 });
                continue;
            };
            if entry.plan == *plan {
                continue;
            }
            entry.plan = *plan;
            if let State::Waiting(due) = entry.state
                && entry.failures_in_a_row == 0
            {
                let due = due.min(next_in_rhythm(id, plan.interval, now));
                self.wait_until(id, due);
            }
        }
    }

    /// Lets a waiting account have its next turn at once, its failures forgotten: it asks something new.
    pub fn expedite(&mut self, id: &AccountId, now: BootTime) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.failures_in_a_row = 0;
            entry.refusals_in_a_row = 0;
            if let State::Waiting(_) = entry.state {
                self.wait_until(id, now);
            }
        }
    }

    /// The turn that has been due the longest, if any is due.
    pub fn take_due(&mut self, now: BootTime) -> Option<Turn> {
        let (due, id) = self.waiting.first().filter(|(due, _)| *due <= now)?.clone();
        self.waiting.pop_first();
        let serial = self.next_serial;
        self.next_serial += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::Out { serial };
        }
        Some(Turn { id, due, serial })
    }

    /// When a turn is due next, if nothing else happens.
    pub fn next_wakeup(&self) -> Option<BootTime> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// When this account is due; `None` while its turn is out, or if there is no such account.
    pub fn due(&self, id: &AccountId) -> Option<BootTime> {
        match self.entries.get(id)?.state {
            State::Waiting(due) => Some(due),
            State::Out { .. } => None,
        }
    }

    /// Takes a turn back and says when the account is due again; `None` if it has left meanwhile.
    ///
    /// `jitter` is a random number in `[0, 1)`.
    pub fn finished(
        &mut self,
        turn: Turn,
        outcome: Result<(), &Failure>,
        now: BootTime,
        jitter: f64,
    ) -> Option<BootTime> {
        if self.leaving.get(&turn.id) == Some(&turn.serial) {
            self.leaving.remove(&turn.id);
            return None;
        }
        let entry = self.entries.get_mut(&turn.id)?;
        let due = match outcome {
            Ok(()) => {
                entry.failures_in_a_row = 0;
                entry.refusals_in_a_row = 0;
                next_in_rhythm(&turn.id, entry.plan.interval, now)
            }
            Err(failure) => {
                entry.failures_in_a_row = entry.failures_in_a_row.saturating_add(1);
                entry.refusals_in_a_row = match patience(failure.reason) {
                    Patience::Guarded => entry.refusals_in_a_row.saturating_add(1),
                    Patience::BackOff | Patience::AsAsked => 0,
                };
                entry.due_after(&turn.id, failure, now, jitter)
            }
        };
        self.wait_until(&turn.id, due);
        Some(due)
    }

    fn insert(&mut self, id: AccountId, entry: Entry) {
        if let State::Waiting(due) = entry.state {
            self.waiting.insert((due, id.clone()));
        }
        self.entries.insert(id, entry);
    }

    fn wait_until(&mut self, id: &AccountId, due: BootTime) {
        if let Some(entry) = self.entries.get_mut(id) {
            if let State::Waiting(before) = entry.state {
                self.waiting.remove(&(before, id.clone()));
            }
            entry.state = State::Waiting(due);
            self.waiting.insert((due, id.clone()));
        }
    }
}

/// How we take a failure.
enum Patience {
    /// Wait longer each time, below staleness.
    BackOff,
    /// The same, but after some in a row leave the provider alone: another try can do harm and no good.
    Guarded,
    /// As long as the provider asked; the limiter holds everyone else back meanwhile.
    AsAsked,
}

const fn patience(reason: ErrorReason) -> Patience {
    match reason {
        ErrorReason::Dns => Patience::BackOff,
        ErrorReason::Connect => Patience::BackOff,
        ErrorReason::Tls => Patience::BackOff,
        ErrorReason::Timeout => Patience::BackOff,
        ErrorReason::Auth => Patience::Guarded,
        ErrorReason::RateLimited => Patience::AsAsked,
        ErrorReason::Redirect => Patience::Guarded,
        ErrorReason::Rejected => Patience::Guarded,
        ErrorReason::Unavailable => Patience::BackOff,
        ErrorReason::Malformed => Patience::BackOff,
        ErrorReason::Schema => Patience::BackOff,
        ErrorReason::Mismatch => Patience::BackOff,
        ErrorReason::Integrity => Patience::BackOff,
        ErrorReason::Clock => Patience::BackOff,
        ErrorReason::Internal => Patience::BackOff,
    }
}

impl Entry {
    fn due_after(&self, id: &AccountId, failure: &Failure, now: BootTime, jitter: f64) -> BootTime {
        let regular = next_in_rhythm(id, self.plan.interval, now);
        if failure.fleeting && self.failures_in_a_row == 1 && failure.retry_after.is_none() {
            let early = LEAST_EARLY_RETRY + EARLY_RETRY_SPREAD.mul_f64(jitter);
            return regular.min(now + early);
        }
        let wait = match patience(failure.reason) {
            Patience::BackOff => self.backoff(jitter),
            Patience::Guarded if self.refusals_in_a_row >= REFUSALS_BEFORE_GUARD => {
                LOCKOUT_GUARD.mul_f64(1.0 + jitter / 5.0)
            }
            Patience::Guarded => self.backoff(jitter),
            Patience::AsAsked => Duration::ZERO,
        };
        regular.max(now + wait.max(failure.retry_after.unwrap_or_default()))
    }

    /// Capped exponential back-off with full jitter.
    fn backoff(&self, jitter: f64) -> Duration {
        let most = MOST_BACKOFF.min(self.plan.stale_after / 2);
        let doublings = self.failures_in_a_row.saturating_sub(1).min(16);
        self.plan.interval.saturating_mul(1 << doublings).min(most).mul_f64(jitter)
    }
}

/// The first instant of the account's rhythm after `now`.
fn next_in_rhythm(id: &AccountId, interval: Duration, now: BootTime) -> BootTime {
    let (now, every) = (now.since_boot().as_nanos(), interval.as_nanos().max(1));
    let offset = phase(id, interval).as_nanos();
    let passed = if now < offset { 0 } else { (now - offset) / every + 1 };
    let nanos = u64::try_from(offset + passed * every).unwrap_or(u64::MAX);
    BootTime::from_boot(Duration::from_nanos(nanos))
}

/// A fixed place in `[0, span)` for each account.
fn phase(id: &AccountId, span: Duration) -> Duration {
    let digest =
        Sha256::new().chain_update(id.provider.as_bytes()).chain_update(b"/").chain_update(id.account.as_bytes());
    let digest = digest.finalize();
    let hash = digest.iter().take(8).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    let nanos = (span.as_nanos() * hash) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAN: Plan = Plan { interval: Duration::from_secs(60), stale_after: Duration::from_secs(300) };

    fn id(account: &str) -> AccountId {
        AccountId { provider: "p".into(), account: account.into() }
    }

    fn at(millis: u64) -> BootTime {
        BootTime::from_boot(Duration::from_millis(millis))
    }

    fn plans(accounts: &[&str], plan: Plan) -> BTreeMap<AccountId, Plan> {
        accounts.iter().map(|account| (id(account), plan)).collect()
    }

    fn fail(reason: ErrorReason) -> Failure {
        Failure::new(reason, "x")
    }

    /// One account that had its first turn at 1,000 s.
    fn one() -> (Schedule, Turn) {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(&["a"], PLAN), at(1_000_000));
        let turn = schedule.take_due(at(1_000_020)).unwrap();
        (schedule, turn)
    }

    #[test]
    fn the_first_turn_comes_at_once_and_then_the_rhythm() {
        let (mut schedule, turn) = one();
        assert!(turn.due >= at(1_000_000) && turn.due < at(1_000_010), "{turn:?}");
        assert_eq!(schedule.take_due(at(9_000_000)), None, "one turn at a time");
        let second = schedule.finished(turn, Ok(()), at(1_001_000), 0.5).unwrap();
        assert!(second > at(1_001_000) && second <= at(1_061_000));
        let turn = schedule.take_due(second).unwrap();
        let third = schedule.finished(turn, Ok(()), second + Duration::from_secs(59), 0.5).unwrap();
        assert_eq!(third.since(second), PLAN.interval);
    }

    #[test]
    fn missed_turns_are_dropped() {
        let (mut schedule, turn) = one();
        let second = schedule.finished(turn, Ok(()), at(1_001_000), 0.5).unwrap();
        let late = second + Duration::from_secs(8 * 3600 + 7);
        let turn = schedule.take_due(late).unwrap();
        assert_eq!(turn.due, second);
        let third = schedule.finished(turn, Ok(()), late, 0.5).unwrap();
        assert_eq!(schedule.take_due(late), None);
        assert!(third > late && third.since(late) <= PLAN.interval);
        assert_eq!(third.since(second).as_nanos() % PLAN.interval.as_nanos(), 0, "back in its rhythm");
    }

    #[test]
    fn a_restart_keeps_the_rhythm() {
        let next = |boot: u64| {
            let mut schedule = Schedule::default();
            schedule.replace(&plans(&["a"], PLAN), at(boot));
            let turn = schedule.take_due(at(boot + 100)).unwrap();
            schedule.finished(turn, Ok(()), at(boot + 100), 0.5).unwrap()
        };
        assert_eq!(next(7_000_000).since(next(1_000_000)).as_nanos() % PLAN.interval.as_nanos(), 0);
    }

    #[test]
    fn a_fleet_is_spread_evenly() {
        let names: Vec<String> = (0..1000).map(|n| format!("account-{n}")).collect();
        let mut per_second = [0_u32; 60];
        for name in &names {
            let phase = phase(&id(name), Duration::from_secs(60));
            per_second[usize::try_from(phase.as_secs()).unwrap()] += 1;
        }
        assert!(per_second.iter().all(|n| *n <= 3 * 1000 / 60), "{per_second:?}");
        let first: Vec<_> = names.iter().map(|name| phase(&id(name), MOST_SPREAD)).collect();
        assert!(first.iter().all(|offset| *offset < MOST_SPREAD));
    }

    #[test]
    fn fleeting_trouble_is_retried_once_and_early() {
        let (mut schedule, turn) = one();
        let now = at(1_001_000);
        let retry = schedule.finished(turn, Err(&fail(ErrorReason::Connect)), now, 0.5).unwrap();
        assert_eq!(retry.since(now), Duration::from_secs(2));
        let turn = schedule.take_due(retry).unwrap();
        let next = schedule.finished(turn, Err(&fail(ErrorReason::Connect)), retry, 0.0).unwrap();
        assert_eq!(next, next_in_rhythm(&id("a"), PLAN.interval, retry), "the second time it waits for its rhythm");
    }

    #[test]
    fn backoff_grows_and_stays_below_staleness() {
        let (mut schedule, mut turn) = one();
        let mut now = at(1_001_000);
        for (nth, least, most) in [(1, 0, 60), (2, 59, 120), (3, 149, 150), (4, 149, 150), (50, 149, 150)] {
            schedule.entries.get_mut(&turn.id).unwrap().failures_in_a_row = nth - 1;
            let due = schedule.finished(turn, Err(&fail(ErrorReason::Unavailable)), now, 0.999_999).unwrap();
            let wait = due.since(now);
            assert!(wait >= Duration::from_secs(least) && wait <= Duration::from_secs(most), "{nth}: {wait:?}");
            now = due;
            turn = schedule.take_due(now).unwrap();
        }
    }

    #[test]
    fn repeated_refusals_slow_down_to_five_minutes() {
        for reason in [ErrorReason::Auth, ErrorReason::Rejected, ErrorReason::Redirect] {
            let (mut schedule, mut turn) = one();
            let mut now = at(1_001_000);
            for nth in 1..=6 {
                let due = schedule.finished(turn, Err(&fail(reason)), now, 0.3).unwrap();
                let wait = due.since(now);
                assert_eq!(wait >= LOCKOUT_GUARD, nth >= 3, "{reason} {nth}: {wait:?}");
                assert!(wait <= LOCKOUT_GUARD + LOCKOUT_GUARD / 5);
                now = due;
                turn = schedule.take_due(now).unwrap();
            }
            let due = schedule.finished(turn, Ok(()), now, 0.3).unwrap();
            assert!(due.since(now) <= PLAN.interval, "one good poll ends the guard");
        }
    }

    #[test]
    fn a_wish_of_the_provider_is_honoured() {
        for reason in [ErrorReason::RateLimited, ErrorReason::Unavailable] {
            let (mut schedule, turn) = one();
            let failure = fail(reason).retry_after(Some(Duration::from_secs(1_000)));
            let due = schedule.finished(turn, Err(&failure), at(1_001_000), 0.5).unwrap();
            assert_eq!(due, at(2_001_000));
        }
    }

    #[test]
    fn an_account_that_leaves_and_returns_during_its_turn_gets_no_second_one() {
        let (mut schedule, turn) = one();
        schedule.replace(&BTreeMap::new(), at(1_001_000));
        assert_eq!(schedule.next_wakeup(), None);
        schedule.replace(&plans(&["a"], PLAN), at(1_002_000));
        assert_eq!(schedule.take_due(at(9_000_000)), None);
        assert!(schedule.finished(turn, Ok(()), at(1_003_000), 0.5).is_some());

        let (mut schedule, turn) = one();
        schedule.replace(&BTreeMap::new(), at(1_001_000));
        assert_eq!(schedule.finished(turn, Ok(()), at(1_002_000), 0.5), None);
        assert!(schedule.leaving.is_empty());
    }

    #[test]
    fn a_reload_disturbs_only_what_changed() {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(&["a", "b"], PLAN), at(1_000_000));
        for _ in 0..2 {
            let turn = schedule.take_due(at(1_000_100)).unwrap();
            schedule.finished(turn, Ok(()), at(1_000_200), 0.5);
        }
        let (a, b) = (schedule.due(&id("a")).unwrap(), schedule.due(&id("b")).unwrap());
        let mut changed = plans(&["a", "b", "c"], PLAN);
        changed.insert(id("b"), Plan { interval: Duration::from_secs(10), ..PLAN });
        schedule.replace(&changed, at(1_000_300));
        assert_eq!(schedule.due(&id("a")), Some(a));
        assert!(schedule.due(&id("b")).unwrap() <= b.min(at(1_010_300)));
        assert!(schedule.due(&id("c")).unwrap() < at(1_000_330), "a new account is polled at once");
        schedule.expedite(&id("a"), at(1_000_400));
        assert_eq!(schedule.due(&id("a")), Some(at(1_000_400)));
    }

    proptest! {
        #[test]
        fn patience_is_bounded(
            reason in 0_usize..15,
            failures in 0_u32..1_000_000,
            interval in 5_u64..86_400,
            slack in 1_u64..100_000,
            hint in proptest::option::of(0_u64..=3_600),
            jitter in 0.0_f64..1.0,
        ) {
            let plan = Plan { interval: Duration::from_secs(interval), stale_after: Duration::from_secs(interval + slack) };
            let mut schedule = Schedule::default();
            schedule.replace(&plans(&["a"], plan), at(0));
            let turn = schedule.take_due(at(10)).unwrap();
            let entry = schedule.entries.get_mut(&turn.id).unwrap();
            (entry.failures_in_a_row, entry.refusals_in_a_row) = (failures, failures);
            let failure = fail(ErrorReason::ALL[reason]).retry_after(hint.map(Duration::from_secs));
            let wait = schedule.finished(turn, Err(&failure), at(1_000), jitter).unwrap().since(at(1_000));
            prop_assert!(wait <= plan.interval.max(Duration::from_secs(3_600)));
            prop_assert!(wait >= Duration::from_secs(hint.unwrap_or(0)));
        }
    }
}
