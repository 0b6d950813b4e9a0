//! A turn that somebody asks for before its time.

use std::time::Duration;

use super::patience::{LOCKOUT_GUARD, REFUSALS_BEFORE_GUARD};
use super::{Cause, Entry, Schedule, State};
use crate::account::AccountId;
use crate::clock::BootTime;
use crate::failure::{ErrorReason, Failure};

/// From the beginning of one poll to the next that somebody asks for.
const COOLDOWN: Duration = Duration::from_secs(30);

/// Why an account has no turn before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// There is no such account.
    Unknown,
    /// Its turn is out already.
    UnderWay,
    /// It has had one just now.
    HadOne {
        /// When it can have the next.
        until: BootTime,
    },
    /// The provider asked for a pause, or may be about to lock us out.
    LeftAlone {
        /// Which of the two.
        cause: Cause,
        /// When it is over.
        until: BootTime,
    },
    /// Nobody is polled any longer.
    Stopping,
}

impl Schedule {
    /// Lets a waiting account have its turn at once. It stays as patient as its failures made it: a lock-out and a
    /// pause that the provider asked for are never cut short.
    pub fn advance(&mut self, id: &AccountId, now: BootTime) -> Result<(), NotNow> {
        let Some(entry) = self.entries.get(id) else { return Err(NotNow::Unknown) };
        let State::Waiting(due) = entry.state else { return Err(NotNow::UnderWay) };
        let refused_of_the_provider = self.refused.get(&id.provider).copied().unwrap_or_default();
        let left_alone = match entry.left_alone {
            Some(known) => Some(known),
            // by others with the same credentials, or before a restart
            None if refused_of_the_provider >= REFUSALS_BEFORE_GUARD || entry.streak.cause() == Cause::Refused => {
                Some((due, Cause::Refused))
            }
            None => None,
        };
        if let Some((until, cause)) = left_alone.filter(|(until, _)| *until > now) {
            return Err(NotNow::LeftAlone { cause, until });
        }
        if let Some(until) = entry.begun.map(|begun| begun + COOLDOWN).filter(|until| *until > now) {
            return Err(NotNow::HadOne { until });
        }
        self.wait_until(id, due.min(now), Cause::Interval);
        Ok(())
    }
}

impl Entry {
    /// What nobody may cut short after `failure`, the last one. `of_the_provider` is how often in a row the provider
    /// has refused credentials.
    pub(super) fn leave_alone(&mut self, failure: &Failure, of_the_provider: u32, now: BootTime) {
        let refused = self.streak.cause() == Cause::Refused
            || (failure.reason == ErrorReason::Auth && of_the_provider >= REFUSALS_BEFORE_GUARD);
        let guard = refused.then(|| (now + LOCKOUT_GUARD, Cause::Refused));
        let asked = failure.retry_after.map(|asked| (now + asked, Cause::Throttled));
        self.left_alone = guard.into_iter().chain(asked).max_by_key(|(until, _)| *until);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::super::tests::{PLAN, at, id, plans};
    use super::*;

    fn fail(reason: ErrorReason) -> Failure {
        Failure::new(reason, "x")
    }

    /// Accounts that are polled seldom, all of them read at 1,000 s.
    fn schedule(accounts: &[&str]) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.replace(&plans(accounts, Plan { interval: Duration::from_secs(864_000), ..PLAN }), at(1_000_000));
        while let Some(turn) = schedule.take_due(at(1_003_000)) {
            schedule.finished(turn, Ok(()), at(1_003_000), 0.5);
        }
        schedule
    }

    /// Lets the account have a turn that ends so.
    fn poll(schedule: &mut Schedule, account: &str, outcome: Result<(), &Failure>, millis: u64) {
        schedule.expire_cooldown(&id(account));
        schedule.advance(&id(account), at(millis)).unwrap();
        let turn = schedule.take_due(at(millis)).unwrap();
        assert_eq!(turn.id, id(account));
        schedule.finished(turn, outcome, at(millis), 0.5);
    }

    impl Schedule {
        fn expire_cooldown(&mut self, id: &AccountId) {
            self.entries.get_mut(id).unwrap().begun = None;
        }
    }

    #[test]
    fn one_turn_at_once_and_the_next_after_a_while() {
        let mut schedule = schedule(&["a"]);
        assert_eq!(schedule.advance(&id("b"), at(2_000_000)), Err(NotNow::Unknown));
        assert_eq!(schedule.advance(&id("a"), at(1_032_999)), Err(NotNow::HadOne { until: at(1_033_000) }));
        assert_eq!(schedule.advance(&id("a"), at(1_033_000)), Ok(()));
        assert_eq!(schedule.advance(&id("a"), at(1_033_000)), Ok(()), "it is due, and once is enough");
        let turn = schedule.take_due(at(1_033_000)).unwrap();
        assert_eq!(schedule.take_due(at(1_033_000)), None, "never a second turn");
        assert_eq!(schedule.advance(&id("a"), at(1_034_000)), Err(NotNow::UnderWay));
        schedule.finished(turn, Ok(()), at(1_060_000), 0.5);
        assert_eq!(schedule.advance(&id("a"), at(1_062_000)), Err(NotNow::HadOne { until: at(1_063_000) }));
        assert_eq!(schedule.advance(&id("a"), at(1_063_000)), Ok(()), "it counts from the beginning");
    }

    #[test]
    fn backing_off_can_be_cut_short() {
        let mut schedule = schedule(&["a"]);
        for nth in 1..10 {
            poll(&mut schedule, "a", Err(&fail(ErrorReason::Unavailable)), 2_000_000 + nth * 1_000);
        }
        let streak = schedule.wait(&id("a")).unwrap().streak;
        assert_eq!(streak.failures_in_a_row, 9, "its failures are not forgotten");
    }

    #[test]
    fn a_lock_out_is_never_risked() {
        for reason in [ErrorReason::Auth, ErrorReason::Rejected, ErrorReason::Redirect] {
            let mut schedule = schedule(&["a"]);
            for nth in 1..=3 {
                poll(&mut schedule, "a", Err(&fail(reason)), 2_000_000 + nth);
            }
            schedule.expire_cooldown(&id("a"));
            let until = at(2_300_003);
            let left_alone = Err(NotNow::LeftAlone { cause: Cause::Refused, until });
            assert_eq!(schedule.advance(&id("a"), at(2_300_002)), left_alone, "{reason}");
            assert_eq!(schedule.advance(&id("a"), until), Ok(()), "{reason}");
        }
    }

    #[test]
    fn refused_credentials_count_for_all_who_share_them() {
        let mut schedule = schedule(&["a", "b"]);
        for nth in 1..=3 {
            poll(&mut schedule, "a", Err(&fail(ErrorReason::Auth)), 2_000_000 + nth);
        }
        schedule.expire_cooldown(&id("b"));
        let until = schedule.due(&id("b")).unwrap();
        let left_alone = NotNow::LeftAlone { cause: Cause::Refused, until };
        assert_eq!(schedule.advance(&id("b"), at(2_100_000)), Err(left_alone));
        schedule.expedite(&id("a"), at(2_200_000));
        assert_eq!(schedule.advance(&id("b"), at(2_200_000)), Ok(()), "other credentials are a new beginning");
    }

    #[test]
    fn a_wish_of_the_provider_is_never_cut_short() {
        for reason in [ErrorReason::RateLimited, ErrorReason::Unavailable] {
            let mut schedule = schedule(&["a"]);
            // shorter than the interval, so that it is not what the account waits for
            let failure = fail(reason).retry_after(Some(Duration::from_secs(600)));
            poll(&mut schedule, "a", Err(&failure), 2_000_000);
            schedule.expire_cooldown(&id("a"));
            let left_alone = Err(NotNow::LeftAlone { cause: Cause::Throttled, until: at(2_600_000) });
            assert_eq!(schedule.advance(&id("a"), at(2_599_999)), left_alone, "{reason}");
            assert_eq!(schedule.advance(&id("a"), at(2_600_000)), Ok(()), "{reason}");
        }
    }
}
