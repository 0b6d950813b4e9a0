//! A promise to a provider, and the gatekeeper that keeps it.
//!
//! The promise is about what *arrives*: in any window of length W at most N requests. A request arrives
//! somewhere between its start and its completion, so a slot is free again W after the *completion* of the
//! request that used it; counting from the start would let network jitter break the promise, and a token
//! bucket lets up to 2N-1 requests into one window. Slots are handed out first come, first served.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::BootTime;

mod history;

pub use history::{History, LINGERS};

/// Completions are remembered for at least this long, so that a longer window that comes by a reload knows what
/// was sent before it. A window beyond it, when it is new, starts with this much history.
const LEAST_REMEMBERED: Duration = Duration::from_secs(60 * 60 + 4);

/// At most `requests` in any span of length `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many may arrive.
    pub requests: u32,
    /// In which time.
    pub per: Duration,
}

impl Window {
    /// How many requests fall into it if one is made in each of these intervals.
    pub fn requests_at(&self, intervals: impl IntoIterator<Item = Duration>) -> f64 {
        intervals.into_iter().map(|interval| self.per.as_secs_f64() / interval.as_secs_f64()).sum()
    }

    /// How long a completed request counts: a thousandth more than the window, since the provider's second
    /// may be longer than ours.
    fn counted_for(&self) -> Duration {
        self.per + self.per / 1000
    }
}

/// All windows hold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At least one.
    pub windows: Vec<Window>,
}

impl Quota {
    /// How long a completed request counts in any of the windows.
    pub fn counted_for(&self) -> Duration {
        self.windows.iter().map(Window::counted_for).max().unwrap_or_default()
    }
}

/// A place in the queue for one request. Whoever holds it must hand it back: [`RateLimiter::finished`] after the
/// request, [`RateLimiter::leave`] without one.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// By which it is known in the queue.
    pub const fn number(&self) -> u64 {
        self.0
    }
}

/// What the limiter says to the one who waits with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send now.
    Go,
    /// Ask again at this time; before it nobody may go.
    At(BootTime),
    /// Ask again when a request has finished or another ticket has left; time alone changes nothing.
    Behind,
}

/// The slots of one provider.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    quota: Quota,
    /// Completion times, oldest first, of requests that count in some window.
    completed: VecDeque<BootTime>,
    /// Those that counted before, for a longer window to come: how many by when, later rather than earlier.
    past: VecDeque<(BootTime, u32)>,
    in_flight: u32,
    queue: VecDeque<u64>,
    next_ticket: u64,
    /// Kept when it is over, until the first request after it has ended as well.
    paused_until: Option<BootTime>,
    /// The request that goes first after a pause, while it is in flight.
    scout: Option<u64>,
}

impl RateLimiter {
    /// A limiter that has seen no request yet.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            completed: VecDeque::new(),
            past: VecDeque::new(),
            in_flight: 0,
            queue: VecDeque::new(),
            next_ticket: 0,
            paused_until: None,
            scout: None,
        }
    }

    /// The promise that is kept.
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Keeps another promise from now on, for what was sent before as well.
    pub fn set_quota(&mut self, quota: Quota) {
        self.quota = quota;
        // what counts now may have counted no more
        let past = std::mem::take(&mut self.past);
        let past = past.into_iter().flat_map(|(done, count)| std::iter::repeat_n(done, count as usize));
        self.completed = past.chain(self.completed.drain(..)).collect();
    }

    /// Whose turn it is among those who wait: its ticket's number.
    pub fn next_in_line(&self) -> Option<u64> {
        self.queue.front().copied()
    }

    /// Takes a place at the end of the queue.
    pub fn join(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queue.push_back(ticket);
        Ticket(ticket)
    }

    /// Asks whether it is this ticket's turn. After [`Admission::Go`] the request counts as in flight.
    pub fn admit(&mut self, ticket: &Ticket, now: BootTime) -> Admission {
        if self.queue.front() != Some(&ticket.0) {
            return Admission::Behind;
        }
        self.forget(now);
        if let Some(until) = self.paused_until(now) {
            return Admission::At(until);
        }
        // the queue has grown during the pause, and the provider may still be as busy
        if self.scout.is_some() {
            return Admission::Behind;
        }
        let admission = self.room(now);
        if admission == Admission::Go {
            self.queue.pop_front();
            self.in_flight += 1;
            self.scout = self.paused_until.map(|_| ticket.0);
        }
        admission
    }

    /// Whether one more request fits into every window, whoever is to send it.
    fn room(&self, now: BootTime) -> Admission {
        let mut free_at = now;
        for window in &self.quota.windows {
            let counted = self.counted(window, now);
            let most = window.requests as usize;
            let used = self.in_flight as usize + counted;
            if used < most {
                continue;
            }
            // so many of the completed ones must age out before this one fits
            let must_go = used + 1 - most;
            if must_go > counted {
                return Admission::Behind;
            }
            let oldest_counted = self.completed.len() - counted;
            let last_to_go = self.completed[oldest_counted + must_go - 1];
            free_at = free_at.max(last_to_go + window.counted_for());
        }
        if free_at > now { Admission::At(free_at) } else { Admission::Go }
    }

    /// Until when at least nobody may go because a window is full; `None` if there is room now.
    pub fn full_until(&self, now: BootTime) -> Option<BootTime> {
        match self.room(now) {
            Admission::Go => None,
            Admission::At(time) => Some(time),
            // those in flight fill a window alone, and count from their completion on
            Admission::Behind => self.quota.windows.iter().map(Window::counted_for).min().map(|least| now + least),
        }
    }

    /// The admitted request is over: answered, failed or given up at its deadline. If the provider asked for a pause in its
    /// reply, [`pause`](Self::pause) comes before this.
    pub fn finished(&mut self, ticket: Ticket, now: BootTime) {
        debug_assert!(!self.queue.contains(&ticket.0), "only an admitted request can finish");
        self.in_flight -= 1;
        if self.scout.take_if(|scout| *scout == ticket.0).is_some() {
            self.paused_until = self.paused_until(now);
        }
        // what an earlier process had on its way may be counted later than now
        let place = self.completed.partition_point(|done| *done <= now);
        self.completed.insert(place, now);
        self.forget(now);
    }

    /// Gives up a place in the queue.
    pub fn leave(&mut self, ticket: Ticket) {
        self.queue.retain(|waiting| *waiting != ticket.0);
    }

    /// Lets nobody go before `until`, and then one, and the others when its request has ended. A pause is never shortened.
    pub fn pause(&mut self, until: BootTime) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Until when nobody may go, if the provider asked for that.
    pub fn paused_until(&self, now: BootTime) -> Option<BootTime> {
        self.paused_until.filter(|until| now < *until)
    }

    /// How many more requests each window has room for, in the order of the quota.
    pub fn remaining(&self, now: BootTime) -> Vec<u32> {
        let free = |window: &Window| {
            let used = u32::try_from(self.counted(window, now)).unwrap_or(u32::MAX).saturating_add(self.in_flight);
            window.requests.saturating_sub(used)
        };
        self.quota.windows.iter().map(free).collect()
    }

    /// True if nothing is waiting, in flight, counted or paused: forgetting this limiter forgets nothing.
    pub fn is_idle(&self, now: BootTime) -> bool {
        let counted = self.completed.iter().any(|done| now.since(*done) < self.quota.counted_for());
        self.queue.is_empty() && self.in_flight == 0 && !counted && self.paused_until(now).is_none()
    }

    /// Completed requests that count in this window. They stand at the end of the log.
    fn counted(&self, window: &Window, now: BootTime) -> usize {
        let aged_out = self.completed.partition_point(|done| now.since(*done) >= window.counted_for());
        self.completed.len() - aged_out
    }

    fn forget(&mut self, now: BootTime) {
        let counted_for = self.quota.counted_for();
        while self.completed.front().is_some_and(|done| now.since(*done) >= counted_for) {
            let Some(done) = self.completed.pop_front() else { break };
            match self.past.back_mut() {
                Some((last, count)) if second(*last) == second(done) => {
                    (*last, *count) = (done, count.saturating_add(1));
                }
                Some(_) | None => self.past.push_back((done, 1)),
            }
        }
        let remembered = counted_for.max(LEAST_REMEMBERED);
        while self.past.front().is_some_and(|(done, _)| now.since(*done) >= remembered) {
            self.past.pop_front();
        }
    }
}

/// Completions that count no more are remembered by the second.
const fn second(at: BootTime) -> u64 {
    at.since_boot().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) const MINUTE: Duration = Duration::from_secs(60);

    pub(super) fn at(millis: u64) -> BootTime {
        BootTime::from_boot(Duration::from_millis(millis))
    }

    pub(super) fn quota(windows: &[(u32, Duration)]) -> Quota {
        Quota { windows: windows.iter().map(|&(requests, per)| Window { requests, per }).collect() }
    }

    /// One request that starts at `start` and takes `latency`, in milliseconds.
    pub(super) fn send(limiter: &mut RateLimiter, start: u64, latency: u64) {
        let ticket = limiter.join();
        assert_eq!(limiter.admit(&ticket, at(start)), Admission::Go, "at {start} ms");
        limiter.finished(ticket, at(start + latency));
    }

    #[test]
    fn a_longer_window_knows_what_had_been_forgotten_by_the_one_before() {
        let second = Duration::from_secs(1);
        let mut limiter = RateLimiter::new(quota(&[(100, second)]));
        for start in (0..50_000).step_by(100) {
            send(&mut limiter, start, 0);
        }
        assert!(limiter.completed.len() < 20 && limiter.past.len() < 60, "it is kept by the second");
        limiter.set_quota(quota(&[(1_000, Duration::from_secs(30))]));
        let exactly = 1_000 - 300;
        let left = limiter.remaining(at(50_000))[0];
        assert!((exactly - 10..=exactly).contains(&left), "{left}: never more than there is, and hardly less");
    }

    #[test]
    fn a_slot_is_free_a_window_after_its_request_completed() {
        let mut limiter = RateLimiter::new(quota(&[(2, MINUTE)]));
        send(&mut limiter, 0, 500);
        send(&mut limiter, 1_000, 3_000);
        let third = limiter.join();
        assert_eq!(limiter.admit(&third, at(5_000)), Admission::At(at(60_560)));
        assert_eq!(limiter.admit(&third, at(60_559)), Admission::At(at(60_560)));
        assert_eq!(limiter.admit(&third, at(60_560)), Admission::Go);
        assert_eq!(limiter.remaining(at(60_560)), [0]);
    }

    #[test]
    fn a_request_in_flight_blocks_until_it_completes() {
        let mut limiter = RateLimiter::new(quota(&[(1, MINUTE)]));
        let first = limiter.join();
        assert_eq!(limiter.admit(&first, at(0)), Admission::Go);
        let second = limiter.join();
        assert_eq!(limiter.admit(&second, at(600_000)), Admission::Behind);
        limiter.finished(first, at(600_000));
        assert_eq!(limiter.admit(&second, at(600_000)), Admission::At(at(660_060)));
    }

    #[test]
    fn first_come_first_served() {
        let mut limiter = RateLimiter::new(quota(&[(5, MINUTE)]));
        let first = limiter.join();
        let second = limiter.join();
        assert_eq!(limiter.admit(&second, at(0)), Admission::Behind);
        limiter.leave(first);
        assert_eq!(limiter.admit(&second, at(0)), Admission::Go);
    }

    #[test]
    fn a_pause_holds_everyone_and_is_never_shortened() {
        let mut limiter = RateLimiter::new(quota(&[(5, MINUTE)]));
        limiter.pause(at(30_000));
        limiter.pause(at(10_000));
        let ticket = limiter.join();
        assert_eq!(limiter.admit(&ticket, at(0)), Admission::At(at(30_000)));
        assert_eq!(limiter.paused_until(at(29_999)), Some(at(30_000)));
        assert_eq!(limiter.paused_until(at(30_000)), None);
        assert_eq!(limiter.admit(&ticket, at(30_000)), Admission::Go);
    }

    #[test]
    fn after_a_pause_one_goes_first() {
        let mut limiter = RateLimiter::new(quota(&[(9, MINUTE)]));
        let from_before = limiter.join();
        assert_eq!(limiter.admit(&from_before, at(0)), Admission::Go);
        limiter.pause(at(10_000));
        let [first, second, third, fourth] = std::array::from_fn(|_| limiter.join());
        assert_eq!(limiter.admit(&first, at(10_000)), Admission::Go);
        assert_eq!(limiter.admit(&second, at(10_001)), Admission::Behind);
        // that says nothing about now
        limiter.finished(from_before, at(10_002));
        assert_eq!(limiter.admit(&second, at(10_003)), Admission::Behind);
        limiter.pause(at(20_000));
        limiter.finished(first, at(10_004));
        assert_eq!(limiter.admit(&second, at(10_005)), Admission::At(at(20_000)));
        assert_eq!(limiter.admit(&second, at(20_000)), Admission::Go);
        assert_eq!(limiter.admit(&third, at(60_000)), Admission::Behind, "it may take its time");
        limiter.finished(second, at(60_000));
        assert_eq!([&third, &fourth].map(|ticket| limiter.admit(ticket, at(60_000))), [Admission::Go; 2]);
    }

    #[test]
    fn whoever_gives_up_was_not_the_first() {
        let mut limiter = RateLimiter::new(quota(&[(9, MINUTE)]));
        limiter.pause(at(10_000));
        let [first, second, third] = std::array::from_fn(|_| limiter.join());
        limiter.leave(first);
        assert_eq!(limiter.admit(&second, at(10_000)), Admission::Go);
        assert_eq!(limiter.admit(&third, at(10_000)), Admission::Behind);
    }

    #[test]
    fn a_lower_quota_applies_to_what_was_sent_before() {
        let mut limiter = RateLimiter::new(quota(&[(10, MINUTE)]));
        for start in 0..4 {
            send(&mut limiter, start * 1_000, 0);
        }
        limiter.set_quota(quota(&[(2, MINUTE)]));
        assert_eq!(limiter.remaining(at(4_000)), [0]);
        let ticket = limiter.join();
        assert_eq!(limiter.admit(&ticket, at(4_000)), Admission::At(at(62_060)), "three of the four must age out");
    }

    #[test]
    fn the_tightest_window_decides() {
        let mut limiter = RateLimiter::new(quota(&[(100, MINUTE), (2, Duration::from_secs(1))]));
        send(&mut limiter, 0, 0);
        send(&mut limiter, 0, 0);
        let third = limiter.join();
        assert_eq!(limiter.admit(&third, at(1)), Admission::At(at(1_001)));
        assert_eq!(limiter.remaining(at(1)), [98, 0]);
        limiter.leave(third);
        assert!(!limiter.is_idle(at(60_059)));
        assert!(limiter.is_idle(at(60_060)));
    }

    proptest! {
        /// The law itself, as the provider would see it: requests may arrive at any moment between their
        /// start and their completion, and no window ever holds more than the quota.
        #[test]
        fn no_window_ever_holds_more(
            most in 1_u32..6,
            per in 50_u64..5_000,
            tight in 1_u32..4,
            requests in proptest::collection::vec((0_u64..700, 0_u64..3_000, 0_u64..100, any::<bool>()), 1..120),
        ) {
            let windows = [(most, Duration::from_millis(per)), (tight, Duration::from_millis(per / 5 + 1))];
            let mut limiter = RateLimiter::new(quota(&windows));
            let mut clock = 0;
            let mut flying: Vec<(u64, Ticket)> = Vec::new();
            let mut arrivals = Vec::new();
            for (gap, latency, position, gives_up) in requests {
                clock += gap;
                let ticket = limiter.join();
                if gives_up {
                    limiter.leave(ticket);
                    continue;
                }
                loop {
                    // the earliest completion first, as events come
                    flying.sort_by_key(|(done, _)| *done);
                    while flying.first().is_some_and(|(done, _)| *done <= clock) {
                        let (done, ticket) = flying.remove(0);
                        limiter.finished(ticket, at(done));
                    }
                    match limiter.admit(&ticket, at(clock)) {
                        Admission::Go => break,
                        Admission::At(when) => {
                            prop_assert!(when > at(clock));
                            let millis = u64::try_from(when.since_boot().as_nanos().div_ceil(1_000_000)).unwrap();
                            clock = flying.first().map_or(millis, |(done, _)| millis.min(*done));
                        }
                        Admission::Behind => clock = flying[0].0,
                    }
                }
                arrivals.push(clock + latency * position / 100);
                flying.push((clock + latency, ticket));
            }
            arrivals.sort_unstable();
            for (requests, per) in windows {
                let per = u64::try_from(per.as_millis()).unwrap();
                for group in arrivals.windows(requests as usize + 1) {
                    let span = group[group.len() - 1] - group[0];
                    prop_assert!(span >= per, "{} arrivals within {span} ms of {per}", group.len());
                }
            }
        }
    }
}
