//! Whose turn it is. How patient each failure makes us stands in `patience`.
//!
//! Every account has a rhythm of its own: the instants `phase + n * interval` of the boot clock, where the
//! phase is a fixed hash of its name. So a fleet is spread evenly, and a restart keeps the rhythm. The first
//! poll comes at once; a missed turn is dropped, never made up; an account has one turn out at a time.
//!
//! The driver asks two questions: [`Schedule::take_due`] and [`Schedule::next_wakeup`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::account::AccountId;
use crate::clock::BootTime;
use crate::failure::{ErrorReason, Failure};

mod cause;
mod early;
mod patience;

pub use cause::Cause;
pub use early::NotNow;
pub use patience::{LOCKOUT_GUARD, REFUSALS_BEFORE_GUARD, Streak};

/// First polls of a fleet are spread over this span per account …
const SPREAD_PER_ACCOUNT: Duration = Duration::from_millis(10);
/// … but over no more than this …
const MOST_SPREAD: Duration = Duration::from_secs(1);
/// … unless there are more than so many …
const MANY: u32 = 10_000;
/// … whose first polls take longer than that anyway, and would all come late: of those beyond, over so much more each.
const SPREAD_PER_MORE: Duration = Duration::from_micros(200);

/// Places in a rhythm lie so far apart: the turns of a large fleet, and the answers to them, come by the handful, since to
/// wake up for each costs about as much as its poll.
const TOGETHER: Duration = Duration::from_millis(4);

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
    /// Refused credentials in a row, by provider: its accounts share them, and it counts their tries together.
    refused: BTreeMap<Arc<str>, u32>,
    next_serial: u64,
}

#[derive(Debug)]
struct Entry {
    plan: Plan,
    state: State,
    /// Why its next turn does not come sooner.
    cause: Cause,
    streak: Streak,
    /// When its last turn was taken.
    begun: Option<BootTime>,
    /// Until when nobody may ask for an early turn, and why.
    left_alone: Option<(BootTime, Cause)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting(BootTime),
    Out { serial: u64 },
}

/// What an account waits for, if its turn is not out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When its next turn comes.
    pub due: BootTime,
    /// Why not sooner.
    pub cause: Cause,
    /// What led there.
    pub streak: Streak,
}

impl Entry {
    const fn new(plan: Plan, state: State) -> Self {
        let streak = Streak { failures_in_a_row: 0, refusals_in_a_row: 0 };
        Self { plan, state, cause: Cause::Interval, streak, begun: None, left_alone: None }
    }
}

impl Schedule {
    /// Makes the schedule be about exactly these accounts. An account whose plan is the same is not disturbed; one
    /// with another interval keeps its place if that comes sooner, or if it is being patient with a failure.
    pub fn replace(&mut self, plans: &BTreeMap<AccountId, Plan>, now: BootTime) {
        let gone: Vec<_> = self.entries.keys().filter(|id| !plans.contains_key(*id)).cloned().collect();
        for id in gone {
            self.remove(&id);
        }
        for (id, plan) in plans {
            self.set(id, *plan, plans.len(), now);
        }
    }

    /// Takes no more memory for its accounts than they need: after [`set`](Self::set) of very many of them, in order.
    pub fn pack(&mut self) {
        self.entries = std::mem::take(&mut self.entries).into_iter().collect();
    }

    /// Makes the schedule be about one account less.
    pub fn remove(&mut self, id: &AccountId) {
        if let Some(entry) = self.entries.remove(id) {
            match entry.state {
                State::Waiting(due) => drop(self.waiting.remove(&(due, id.clone()))),
                State::Out { serial } => drop(self.leaving.insert(id.clone(), serial)),
            }
        }
    }

    /// Makes the schedule be about this account, one of so many `accounts`, as [`replace`](Self::replace) does.
    pub fn set(&mut self, id: &AccountId, plan: Plan, accounts: usize, now: BootTime) {
        let Some(entry) = self.entries.get_mut(id) else {
            let spread = spread(accounts);
            let state = match self.leaving.remove(id) {
                Some(serial) => State::Out { serial },
                None => State::Waiting(now + phase(id, spread)),
            };
            self.insert(id.clone(), Entry::new(plan, state));
            return;
        };
        if entry.plan == plan {
            return;
        }
        entry.plan = plan;
        if let State::Waiting(due) = entry.state
            && entry.streak.is_over()
        {
            let due = due.min(next_in_rhythm(id, plan.interval, now));
            self.wait_until(id, due, Cause::Interval);
        }
    }

    /// Lets an account that has had no turn yet go on from where it was before a restart, or before it left for a
    /// while. If it `was_refused`, that counts for its provider as well.
    pub fn resume(&mut self, id: &AccountId, streak: Streak, was_refused: bool) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.streak = streak;
        if was_refused {
            let refused = self.refused.entry(id.provider.clone()).or_default();
            *refused = refused.saturating_add(streak.refusals_in_a_row);
        }
    }

    /// Lets an account wait until `due` that is due sooner.
    pub fn postpone(&mut self, id: &AccountId, due: BootTime) {
        if let Some(Entry { state: State::Waiting(first), streak, .. }) = self.entries.get(id)
            && *first < due
        {
            self.wait_until(id, due, streak.cause());
        }
    }

    /// Lets a waiting account have its next turn at once, its failures forgotten: it asks something new.
    pub fn expedite(&mut self, id: &AccountId, now: BootTime) {
        self.refused.remove(&id.provider);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.streak = Streak::default();
            entry.left_alone = None;
            if let State::Waiting(_) = entry.state {
                self.wait_until(id, now, Cause::Interval);
            }
        }
    }

    /// The same for an account only if it is failing: what it failed for may be over.
    pub fn retry(&mut self, id: &AccountId, now: BootTime) {
        if self.entries.get(id).is_some_and(|entry| !entry.streak.is_over()) {
            self.expedite(id, now);
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
            entry.begun = Some(now);
        }
        Some(Turn { id, due, serial })
    }

    /// When a turn is due next, if nothing else happens.
    pub fn next_wakeup(&self) -> Option<BootTime> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// When this account is due; `None` while its turn is out, or if there is no such account.
    pub fn due(&self, id: &AccountId) -> Option<BootTime> {
        self.wait(id).map(|wait| wait.due)
    }

    /// What this account waits for; `None` while its turn is out, or if there is no such account.
    pub fn wait(&self, id: &AccountId) -> Option<Wait> {
        let Entry { state, cause, streak, .. } = self.entries.get(id)?;
        match state {
            State::Waiting(due) => Some(Wait { due: *due, cause: *cause, streak: *streak }),
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
        let regular = next_in_rhythm(&turn.id, entry.plan.interval, now);
        let (due, cause) = match outcome {
            Ok(()) => {
                entry.streak = Streak::default();
                entry.left_alone = None;
                self.refused.remove(&turn.id.provider);
                (regular, Cause::Interval)
            }
            Err(failure) => {
                let refused = self.refused.entry(turn.id.provider.clone()).or_default();
                *refused = refused.saturating_add(u32::from(failure.reason == ErrorReason::Auth));
                entry.streak.add(failure.reason);
                entry.leave_alone(failure, *refused, now);
                entry.streak.due(failure, *refused, entry.plan, regular, now, jitter)
            }
        };
        self.wait_until(&turn.id, due, cause);
        Some(due)
    }

    /// Takes a turn back that was not used: the account is due at once, if it is still there.
    pub fn returned(&mut self, turn: Turn, now: BootTime) {
        if self.leaving.get(&turn.id) == Some(&turn.serial) {
            self.leaving.remove(&turn.id);
        } else if let Some(entry) = self.entries.get(&turn.id) {
            let cause = entry.cause;
            self.wait_until(&turn.id, now, cause);
        }
    }

    fn insert(&mut self, id: AccountId, entry: Entry) {
        if let State::Waiting(due) = entry.state {
            self.waiting.insert((due, id.clone()));
        }
        self.entries.insert(id, entry);
    }

    fn wait_until(&mut self, id: &AccountId, due: BootTime, cause: Cause) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.cause = cause;
            if let State::Waiting(before) = entry.state {
                self.waiting.remove(&(before, id.clone()));
            }
            entry.state = State::Waiting(due);
            self.waiting.insert((due, id.clone()));
        }
    }
}

/// Over how long the first polls of so many accounts are spread.
fn spread(accounts: usize) -> Duration {
    let accounts = u32::try_from(accounts).unwrap_or(u32::MAX);
    let more = SPREAD_PER_MORE.saturating_mul(accounts.saturating_sub(MANY));
    SPREAD_PER_ACCOUNT.saturating_mul(accounts).min(MOST_SPREAD) + more
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
    let nanos = nanos - nanos % TOGETHER.as_nanos();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const PLAN: Plan = Plan { interval: Duration::from_secs(60), stale_after: Duration::from_secs(300) };

    pub(super) fn id(account: &str) -> AccountId {
        AccountId { provider: "p".into(), account: account.into() }
    }

    pub(super) fn at(millis: u64) -> BootTime {
        BootTime::from_boot(Duration::from_millis(millis))
    }

    pub(super) fn plans(accounts: &[&str], plan: Plan) -> BTreeMap<AccountId, Plan> {
        accounts.iter().map(|account| (id(account), plan)).collect()
    }

    /// One account that had its first turn at 1,000 s.
    pub(super) fn one() -> (Schedule, Turn) {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(&["a"], PLAN), at(1_000_000));
        let turn = schedule.take_due(at(1_000_020)).unwrap();
        (schedule, turn)
    }

    #[test]
    fn a_turn_that_was_not_used_comes_again_at_once() {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(&["a", "b"], PLAN), at(0));
        let turns = [schedule.take_due(at(1_000)).unwrap(), schedule.take_due(at(1_000)).unwrap()];
        let [first, second] = turns;
        let (returned, left) = (first.id.clone(), second.id.clone());
        schedule.returned(first, at(1_500));
        assert_eq!(schedule.due(&returned), Some(at(1_500)));
        schedule.replace(&BTreeMap::from([(returned.clone(), PLAN)]), at(1_500));
        schedule.returned(second, at(1_500));
        assert_eq!(schedule.due(&left), None, "it has left");
        assert_eq!(schedule.take_due(at(1_500)).map(|turn| turn.id), Some(returned));
        assert!(schedule.take_due(at(9_000)).is_none());
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
        let places = |span| names.iter().map(move |name| phase(&id(name), span).as_nanos() % TOGETHER.as_nanos());
        assert!(places(Duration::from_secs(60)).chain(places(Duration::from_millis(1_001))).all(|apart| apart == 0));
        let first: Vec<_> = names.iter().map(|name| phase(&id(name), MOST_SPREAD)).collect();
        assert!(first.iter().all(|offset| *offset < MOST_SPREAD));
    }

    #[test]
    fn first_polls_come_soon_but_those_of_very_many_not_all_at_once() {
        for (accounts, millis) in
            [(1, 10), (12, 120), (200, 1_000), (10_000, 1_000), (15_000, 2_000), (100_000, 19_000)]
        {
            assert_eq!(spread(accounts), Duration::from_millis(millis), "{accounts}");
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
    fn what_was_refused_before_a_restart_counts_after_it() {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(&["a", "b", "c"], PLAN), at(1_000_000));
        let streak = |n| Streak { failures_in_a_row: n, refusals_in_a_row: n };
        let wait = |schedule: &Schedule, account| schedule.wait(&id(account)).unwrap();
        for (account, refusals, cause) in [("a", 2, Cause::Backoff), ("b", 3, Cause::Refused)] {
            schedule.resume(&id(account), streak(refusals), account == "a");
            schedule.postpone(&id(account), at(1_100_000));
            let expected = Wait { due: at(1_100_000), cause, streak: streak(refusals) };
            assert_eq!(wait(&schedule, account), expected);
            schedule.postpone(&id(account), at(1_050_000));
            assert_eq!(wait(&schedule, account), expected, "nobody is brought forward");
        }
        // the third refusal of the credentials is the third, whoever heard it and when
        let turn = schedule.take_due(at(1_010_000)).unwrap();
        assert_eq!(turn.id, id("c"));
        schedule.finished(turn, Err(&Failure::new(ErrorReason::Auth, "x")), at(1_010_000), 0.5);
        assert_eq!(wait(&schedule, "c").cause, Cause::Refused);
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
}
