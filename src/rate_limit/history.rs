//! What a limiter knows of what was sent, for a restart.

use std::time::Duration;

use super::RateLimiter;
use crate::clock::BootTime;

/// What a limiter knows of what was sent: enough to go on with after a restart. Made coarser with age, always to the
/// later side, so that it is short however many requests there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Completions, oldest first: when, and how many at that time or a little before it.
    pub completed: Vec<(BootTime, u32)>,
    /// Requests of which nobody knows how far they got.
    pub unsettled: u32,
    /// Until when nobody may go.
    pub paused_until: Option<BootTime>,
}

/// What a process had on its way when it was killed may arrive so much later: the kernel goes on sending.
pub const LINGERS: Duration = Duration::from_secs(5);
/// Completions that lie closer together than this share of their age are one entry of a history.
const COARSENESS: u32 = 32;
/// Most completions that a history brings back: a longer one is damaged, or of a limit that nobody has.
const MOST_RECALLED: u32 = 1_000_000;

impl RateLimiter {
    /// What is known of what was sent.
    pub fn history(&self, now: BootTime) -> History {
        let mut completed: Vec<(BootTime, u32)> = Vec::new();
        let past = self.past.iter().copied();
        for (done, more) in past.chain(self.completed.iter().map(|done| (*done, 1))).rev() {
            match completed.last_mut() {
                Some((latest, count)) if latest.since(done) <= now.since(*latest) / COARSENESS => *count += more,
                Some(_) | None => completed.push((done, more)),
            }
        }
        completed.reverse();
        History { completed, unsettled: self.in_flight, paused_until: self.paused_until(now) }
    }

    /// Takes in what an earlier limiter knew. What was not settled then counts as completed in a moment: whoever sent it
    /// is gone, and it arrives soon or never.
    pub fn recall(&mut self, history: &History, now: BootTime) {
        let latest = now + LINGERS;
        let settled = history.completed.iter().map(|(done, count)| ((*done).min(latest), *count));
        let mut left = MOST_RECALLED;
        // the newest first, since they count the longest
        for (done, count) in std::iter::once((latest, history.unsettled)).chain(settled.rev()) {
            let count = count.min(left);
            left -= count;
            self.completed.extend(std::iter::repeat_n(done, count as usize));
        }
        self.completed.make_contiguous().sort_unstable();
        self.forget(now);
        if let Some(until) = history.paused_until {
            self.pause(until);
        }
    }

    /// Nothing is known of what was sent before `until`, and so every window may have been full then.
    pub fn assume_spent(&mut self, until: BootTime, now: BootTime) {
        let most = self.quota.windows.iter().map(|window| window.requests).max().unwrap_or_default();
        self.recall(&History { completed: vec![(until + LINGERS, most)], ..History::default() }, now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Admission;
    use super::super::tests::{MINUTE, at, quota, send};
    use super::*;

    #[test]
    fn what_was_sent_is_recalled() {
        let mut limiter = RateLimiter::new(quota(&[(3, MINUTE)]));
        send(&mut limiter, 1_000, 500);
        send(&mut limiter, 30_000, 500);
        let flying = limiter.join();
        assert_eq!(limiter.admit(&flying, at(40_000)), Admission::Go);
        limiter.pause(at(50_000));
        let history = limiter.history(at(41_000));
        assert_eq!(history.completed, [(at(1_500), 1), (at(30_500), 1)]);
        assert_eq!((history.unsettled, history.paused_until), (1, Some(at(50_000))));

        let mut next = RateLimiter::new(quota(&[(3, MINUTE)]));
        next.recall(&history, at(45_000));
        assert_eq!(next.remaining(at(45_000)), [0]);
        assert_eq!(next.paused_until(at(45_000)), Some(at(50_000)));
        let ticket = next.join();
        assert_eq!(next.admit(&ticket, at(50_000)), Admission::At(at(61_560)));
        assert_eq!(
            next.remaining(at(90_560)),
            [2],
            "what was in flight counts from the restart on, and what it takes to arrive"
        );
        assert_eq!(next.remaining(at(110_059)), [2]);
        assert_eq!(next.remaining(at(110_060)), [3]);
    }

    #[test]
    fn an_unknown_past_is_a_full_window() {
        let mut limiter = RateLimiter::new(quota(&[(100, MINUTE), (2, Duration::from_secs(1))]));
        limiter.assume_spent(at(5_000), at(5_000));
        assert_eq!(limiter.remaining(at(70_059)), [0, 2]);
        assert_eq!(limiter.remaining(at(70_060)), [100, 2]);
    }

    proptest! {
        /// However coarse a history is, a limiter that recalls it has never more room than the one that wrote it, and
        /// it is short.
        #[test]
        fn a_history_never_widens_a_window(
            gaps in proptest::collection::vec(0_u64..60_000, 1..400),
            per in 1_000_u64..3_600_000,
            later in 0_u64..3_600_000,
        ) {
            let windows = [(1_000, Duration::from_millis(per)), (900, Duration::from_millis(per / 7 + 1))];
            let mut limiter = RateLimiter::new(quota(&windows));
            let mut clock = 0;
            for gap in gaps {
                clock += gap;
                send(&mut limiter, clock, 0);
            }
            let history = limiter.history(at(clock));
            prop_assert!(history.completed.len() < 700, "{}", history.completed.len());
            let mut next = RateLimiter::new(quota(&windows));
            next.recall(&history, at(clock));
            prop_assert_eq!(next.remaining(at(clock)).len(), 2);
            for moment in [clock, clock + later / 9, clock + later] {
                for (recalled, known) in next.remaining(at(moment)).iter().zip(limiter.remaining(at(moment))) {
                    prop_assert!(*recalled <= known, "{recalled} > {known} at {moment}");
                }
            }
        }
    }
}
