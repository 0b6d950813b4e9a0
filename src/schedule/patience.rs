//! How patient each failure makes us: what it makes of an account's next turn.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cause, Plan};
use crate::clock::BootTime;
use crate::failure::{ErrorReason, Failure};

/// An early retry after fleeting trouble comes no sooner than this …
const LEAST_EARLY_RETRY: Duration = Duration::from_secs(1);
/// … and at most this much later.
const EARLY_RETRY_SPREAD: Duration = Duration::from_secs(2);
/// The longest that back-off alone keeps an account waiting.
const MOST_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// So many refusals in a row, and the provider is left alone for a while: it may be about to lock us out.
pub const REFUSALS_BEFORE_GUARD: u32 = 3;
/// How long it is left alone at least.
pub const LOCKOUT_GUARD: Duration = Duration::from_secs(5 * 60);

/// The failures of an account since its last good poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// All of them.
    pub failures_in_a_row: u32,
    /// The last ones by which the provider refused us.
    pub refusals_in_a_row: u32,
}

impl Streak {
    /// True if the last poll was good.
    pub(super) const fn is_over(self) -> bool {
        self.failures_in_a_row == 0
    }

    /// What it makes an account wait for.
    pub(super) const fn cause(self) -> Cause {
        match self {
            Self { failures_in_a_row: 0, .. } => Cause::Interval,
            Self { refusals_in_a_row: REFUSALS_BEFORE_GUARD.., .. } => Cause::Refused,
            Self { .. } => Cause::Backoff,
        }
    }

    /// One more failure.
    pub(super) const fn add(&mut self, reason: ErrorReason) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.refusals_in_a_row = match patience(reason) {
            Patience::Guarded => self.refusals_in_a_row.saturating_add(1),
            Patience::BackOff | Patience::AsAsked => 0,
        };
    }

    /// When the account is due again after `failure`, the last one, and why not sooner. In its rhythm that would be at
    /// `regular`.
    /// `of_the_provider` is how often in a row the provider has refused credentials, over all its accounts.
    ///
    /// `jitter` is a random number in `[0, 1)`.
    pub(super) fn due(
        self,
        failure: &Failure,
        of_the_provider: u32,
        plan: Plan,
        regular: BootTime,
        now: BootTime,
        jitter: f64,
    ) -> (BootTime, Cause) {
        if failure.fleeting && self.failures_in_a_row == 1 && failure.retry_after.is_none() {
            let early = now + LEAST_EARLY_RETRY + EARLY_RETRY_SPREAD.mul_f64(jitter);
            return in_rhythm_or(early < regular, regular, early, Cause::Retry);
        }
        let shared = if failure.reason == ErrorReason::Auth { of_the_provider } else { 0 };
        let refusals = self.refusals_in_a_row.max(shared);
        let (own, cause) = match patience(failure.reason) {
            Patience::BackOff => (self.backoff(plan, jitter), Cause::Backoff),
            Patience::Guarded if refusals >= REFUSALS_BEFORE_GUARD => {
                (LOCKOUT_GUARD.mul_f64(1.0 + jitter / 5.0), Cause::Refused)
            }
            Patience::Guarded => (self.backoff(plan, jitter), Cause::Backoff),
            Patience::AsAsked => (Duration::ZERO, Cause::Throttled),
        };
        let (wait, cause) = match failure.retry_after {
            Some(asked) if asked > own => (asked, Cause::Throttled),
            Some(_) | None => (own, cause),
        };
        in_rhythm_or(now + wait > regular, regular, now + wait, cause)
    }

    /// Capped exponential back-off with full jitter.
    fn backoff(self, plan: Plan, jitter: f64) -> Duration {
        let most = MOST_BACKOFF.min(plan.stale_after / 2);
        let doublings = self.failures_in_a_row.saturating_sub(1).min(16);
        plan.interval.saturating_mul(1 << doublings).min(most).mul_f64(jitter)
    }
}

/// The rhythm's own next instant, unless another one counts for a cause of its own.
const fn in_rhythm_or(other: bool, regular: BootTime, due: BootTime, cause: Cause) -> (BootTime, Cause) {
    if other { (due, cause) } else { (regular, Cause::Interval) }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schedule::tests::{PLAN, at, id, one, plans};
    use crate::schedule::{Schedule, next_in_rhythm};

    fn fail(reason: ErrorReason) -> Failure {
        Failure::new(reason, "x")
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
            schedule.entries.get_mut(&turn.id).unwrap().streak.failures_in_a_row = nth - 1;
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
    fn a_refusal_counts_for_all_accounts_of_the_provider() {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(&["a", "b", "c", "d"], PLAN), at(1_000_000));
        let now = at(1_000_100);
        let refused = fail(ErrorReason::Auth);
        let mut waits = Vec::new();
        while let Some(turn) = schedule.take_due(now) {
            waits.push(schedule.finished(turn, Err(&refused), now, 0.3).unwrap().since(now) >= LOCKOUT_GUARD);
        }
        assert_eq!(waits, [false, false, true, true], "the third refusal is the third, whoever heard it");
        schedule.refused.clear();
        let mut waits = Vec::new();
        let later = now + LOCKOUT_GUARD * 2;
        while let Some(turn) = schedule.take_due(later) {
            let outcome = if waits.len() == 1 { Ok(()) } else { Err(&refused) };
            waits.push(schedule.finished(turn, outcome, later, 0.3).unwrap().since(later) >= LOCKOUT_GUARD);
        }
        assert_eq!(waits, [false; 4], "one good poll shows that the credentials are good");
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
            entry.streak = Streak { failures_in_a_row: failures, refusals_in_a_row: failures };
            let failure = fail(ErrorReason::ALL[reason]).retry_after(hint.map(Duration::from_secs));
            let wait = schedule.finished(turn, Err(&failure), at(1_000), jitter).unwrap().since(at(1_000));
            prop_assert!(wait <= plan.interval.max(Duration::from_secs(3_600)));
            prop_assert!(wait >= Duration::from_secs(hint.unwrap_or(0)));
        }
    }
}
