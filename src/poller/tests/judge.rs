//! What must be true of a life at every look, and of all lives at the end. The judges know nothing of the code: only
//! what the wire has said and when, what providers saw arrive, and what was shown before.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::machine::{Clocks, Log};
use super::world::PROVIDERS;
use crate::account::{AccountId, Wallet};
use crate::board::{AccountStatus, Board};
use crate::clock::Clock;
use crate::failure::ErrorReason;

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) kills: u64,
    pub(super) power_failures: u64,
    pub(super) stops: u64,
    pub(super) arrivals: u64,
    pub(super) logins: u64,
    pub(super) refreshes: u64,
    /// Refreshes with a token whose successor was lost.
    pub(super) repeated: u64,
    pub(super) logins_refused: u64,
    pub(super) faults: u64,
    pub(super) reloads: u64,
    pub(super) scrapes: u64,
    pub(super) disk_troubles: u64,
    pub(super) vandals: u64,
    pub(super) clock_events: u64,
    pub(super) hours_suspended: u64,
    /// Lives whose first scrape had numbers.
    pub(super) remembered: u64,
    /// Accounts that had to wait for their next poll when a life began.
    pub(super) resumed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.power_failures += other.power_failures;
        self.stops += other.stops;
        self.arrivals += other.arrivals;
        self.logins += other.logins;
        self.refreshes += other.refreshes;
        self.repeated += other.repeated;
        self.logins_refused += other.logins_refused;
        self.faults += other.faults;
        self.reloads += other.reloads;
        self.scrapes += other.scrapes;
        self.disk_troubles += other.disk_troubles;
        self.vandals += other.vandals;
        self.clock_events += other.clock_events;
        self.hours_suspended += other.hours_suspended;
        self.remembered += other.remembered;
        self.resumed += other.resumed;
    }
}

/// An account as it was last seen: how often it was polled, and when it is to be polled next.
#[derive(Clone, Copy, Debug)]
struct Seen {
    polls: u64,
    next_poll: Timestamp,
    interval: Duration,
    last_success: Option<i64>,
    wall: i64,
    boot: Duration,
}

/// What is known from earlier looks.
#[derive(Debug, Default)]
pub(super) struct Judge {
    counted: BTreeMap<(Arc<str>, &'static str), u64>,
    seen: BTreeMap<String, Seen>,
    /// When the wall clock was set back in this boot, and by how much.
    pub(super) set_back: Vec<(Duration, Duration)>,
    /// Power failures, and by how much it was set back before them without a trace: nobody can know of it afterwards.
    pub(super) untold: Vec<(Duration, Duration)>,
}

impl Judge {
    /// What is shown now: numbers that were said, young enough by the real time; counters that are not set back.
    pub(super) fn look(&mut self, board: &Board, clocks: &Clocks, log: &Log) {
        let (now, real) = (clocks.now(), clocks.real());
        let view = board.view();
        for status in &view.accounts {
            let AccountId { provider, account } = &status.config.id;
            self.count(account, "polls", status.polls);
            let failures: u64 = ErrorReason::ALL.into_iter().map(|reason| status.failures(reason)).sum();
            self.count(account, "failures", failures);
            for flow in &status.flows {
                if flow.wallet == Wallet::new("payout") {
                    let inflow = flow.inflow.to_string();
                    self.count(account, "inflow", inflow.split('.').next().unwrap().parse().unwrap());
                }
            }
            if let Some(snapshot) = status.fresh(&now) {
                let shown = snapshot.reading().balances()[0].available.unwrap().to_string();
                let (whose, asked) = &log.said[shown.parse::<usize>().unwrap() - 1];
                assert_eq!(whose, &**account, "a number under another name");
                let age = real.saturating_sub(*asked);
                // times in files are whole milliseconds
                let untold = self.untold.iter().filter(|(at, _)| at >= asked).map(|(_, by)| *by).sum::<Duration>();
                let most = status.config.stale_after + untold + Duration::from_millis(2);
                assert!(age <= most, "{provider} {account}: shown at an age of {age:?}, {most:?} allowed");
            }
        }
        for status in &view.providers {
            self.count(&status.name, "requests", status.counts.requests);
        }
    }

    fn count(&mut self, name: &Arc<str>, what: &'static str, count: u64) {
        let before = self.counted.entry((name.clone(), what)).or_default();
        assert!(count >= *before, "{name} {what}: set back from {before} to {count}");
        *before = count;
    }

    /// Counters may begin anew: of those that this is true of.
    pub(super) fn forget_counters(&mut self, of: impl Fn(&str) -> bool) {
        self.counted.retain(|(name, _), _| !of(name));
    }

    /// When accounts are to be polled next, before it ends.
    pub(super) fn last_look(&mut self, board: &Board, clocks: &Clocks) {
        let shift = *clocks.1.lock().unwrap();
        self.seen.clear();
        for status in board.latest().accounts {
            if let Some(next_poll) = status.next_poll.filter(|_| status.poll_success) {
                let (polls, interval) = (status.polls, status.config.interval);
                let last_success = status.last_success.map(Timestamp::as_millisecond);
                let seen = Seen { polls, next_poll, interval, last_success, wall: shift.wall, boot: shift.booted };
                self.seen.insert(status.config.id.account.to_string(), seen);
            }
        }
    }

    /// Until when it must wait now, by real time, if it is as it was and nothing has befallen the clocks.
    pub(super) fn promised(&self, status: &AccountStatus, clocks: &Clocks) -> Option<Duration> {
        let shift = *clocks.1.lock().unwrap();
        let seen = self.seen.get(&*status.config.id.account)?;
        // what is recalled may be from long before, when the account had been polled as often for another reason
        let same = seen.last_success == status.last_success.map(Timestamp::as_millisecond);
        let same = same && seen.polls == status.polls && seen.interval == status.config.interval;
        let same = same && (seen.wall, seen.boot) == (shift.wall, shift.booted);
        let left = Duration::try_from(seen.next_poll.duration_since(clocks.now().wall)).ok()?;
        // a clock that was set back may have made it look longer than it can be
        (same && !left.is_zero()).then(|| clocks.real() + left.min(seen.interval))
    }
}

/// In no window of any provider more than may arrive. Returns how many arrived in all.
pub(super) fn judge_arrivals(log: &mut Log, rates: &[(u32, u64)]) -> u64 {
    let mut arrived = 0;
    for ((name, _), (requests, per)) in PROVIDERS.iter().zip(rates) {
        let Some(arrivals) = log.arrivals.get_mut(name) else { continue };
        arrivals.sort_unstable();
        arrived += arrivals.len() as u64;
        for window in arrivals.windows(*requests as usize + 1) {
            let span = window[*requests as usize].checked_sub(window[0]).unwrap();
            assert!(
                span >= Duration::from_secs(*per),
                "{name}: {requests} + 1 requests arrived in {span:?} at {:?}",
                window[0]
            );
        }
    }
    arrived
}
