//! What was sent to each provider, on disk before it is sent.
//!
//! A write for each request would cost a fast provider a sync for each. So a write brings a lease: a few requests
//! that the file says may have been sent. After a crash the whole lease counts as sent. It is so small a share of
//! the limit that losing it now and then does not matter, and the file never says less than what was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::clock::{BootTime, Now};
use crate::rate_limit::{History, LINGERS, Quota, RateLimiter};

/// Losing what fills so short a window costs no more than this, and so its whole content is leased at once.
const SHORT: Duration = Duration::from_secs(10);
/// Of a longer window this share is leased.
const SHARE: u32 = 32;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) origin: Origin,
    providers: BTreeMap<String, Saved>,
    /// Nothing is known of what was sent until so many milliseconds after the boot.
    unknown_until: Option<u64>,
}

/// What was sent to one provider. Times are milliseconds since the boot that `origin` names.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    completed: Vec<(u64, u32)>,
    /// In flight, or leased.
    unsettled: u32,
    paused_until: Option<u64>,
    /// How long a completion counts.
    counted_for_ms: u64,
}

impl Written {
    /// Before the first request ever.
    pub(super) fn nothing(boot: &str, now: &Now) -> Self {
        Self { origin: Origin::new(boot, now), providers: BTreeMap::new(), unknown_until: None }
    }
}

/// The limiters in use, and what is known of those that are not.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Of providers that this configuration does not have, or not yet: their past does not end with their entry.
    absent: BTreeMap<Arc<str>, (History, Duration)>,
    /// Nothing is known of what was sent until then.
    unknown_until: Option<BootTime>,
}

#[derive(Debug)]
struct Entry {
    limiter: Weak<Mutex<RateLimiter>>,
    /// Requests that may be sent before the file must be written again.
    left: u32,
    /// Requests that wait for that.
    waiting: u32,
}

impl Ledger {
    /// A ledger that goes on where the last one ended; `None` if nothing can be known of it.
    pub(super) fn open(written: Option<Written>, boot: &str, now: &Now) -> Self {
        let Some(written) = written else {
            return Self { unknown_until: Some(now.boot), ..Self::default() };
        };
        let unknown_until = written.unknown_until.map(|ms| written.origin.time(ms, boot, now).min(now.boot));
        let absent = written.providers.into_iter().map(|(name, saved)| {
            let history = saved.history(&written.origin, boot, now);
            (name.into(), (history, Duration::from_millis(saved.counted_for_ms)))
        });
        Self { absent: absent.collect(), unknown_until, ..Self::default() }
    }

    /// Keeps the book of this provider from now on. Its limiter learns what was sent before.
    pub(super) fn know(&mut self, name: &Arc<str>, shared: &Arc<Mutex<RateLimiter>>, now: BootTime) {
        let mut limiter = lock(shared);
        if let Some((history, _)) = self.absent.remove(name) {
            limiter.recall(&history, now);
        } else if let Some(until) = self.unknown_until {
            limiter.assume_spent(until, now);
        }
        let entry = Entry { limiter: Arc::downgrade(shared), left: 0, waiting: 0 };
        self.entries.insert(name.clone(), entry);
    }

    /// Takes one request of the provider's lease, if there is one left. A provider that is not in the book needs none.
    pub(super) fn take(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return true };
        let taken = entry.left.checked_sub(1);
        entry.left = taken.unwrap_or_default();
        taken.is_some()
    }

    /// One more request waits for a lease, or one less.
    pub(super) fn wait(&mut self, name: &str, begins: bool) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.waiting = if begins { entry.waiting + 1 } else { entry.waiting.saturating_sub(1) };
        }
    }

    /// What the file is to say, and the leases that it then gives to the providers that wait for one.
    pub(super) fn proposal(&mut self, boot: &str, now: &Now) -> (Written, Vec<(Arc<str>, u32)>) {
        let mut leases = Vec::new();
        let mut providers = BTreeMap::new();
        self.entries.retain(|name, entry| {
            let Some(shared) = entry.limiter.upgrade() else { return false };
            let limiter = lock(&shared);
            let mut history = limiter.history(now.boot);
            let counted_for = limiter.quota().counted_for();
            history.unsettled += entry.left;
            if entry.waiting > 0 {
                let lease = lease(limiter.quota()).max(entry.waiting);
                history.unsettled += lease;
                leases.push((name.clone(), lease));
            }
            providers.insert(name.to_string(), Saved::of(&history, counted_for));
            true
        });
        self.absent.retain(|_, (history, counted_for)| {
            let counts = history.completed.last().is_some_and(|(last, _)| now.boot.since(*last) < *counted_for);
            counts || history.paused_until.is_some_and(|until| now.boot < until)
        });
        for (name, (history, counted_for)) in &self.absent {
            providers.insert(name.to_string(), Saved::of(history, *counted_for));
        }
        let unknown_until = self.unknown_until.map(later);
        (Written { origin: Origin::new(boot, now), providers, unknown_until }, leases)
    }

    /// Nothing is sent any more: what was leased and not used was not sent.
    pub(super) fn settle(&mut self) {
        for entry in self.entries.values_mut() {
            entry.left = 0;
        }
    }

    /// The file says so now: the leases are there.
    pub(super) fn grant(&mut self, leases: Vec<(Arc<str>, u32)>) {
        for (name, lease) in leases {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.left += lease;
            }
        }
    }
}

impl Saved {
    fn of(history: &History, counted_for: Duration) -> Self {
        Self {
            completed: history.completed.iter().map(|(done, count)| (later(*done), *count)).collect(),
            unsettled: history.unsettled,
            paused_until: history.paused_until.map(later),
            counted_for_ms: u64::try_from(counted_for.as_millis()).unwrap_or(u64::MAX).saturating_add(1),
        }
    }

    fn history(&self, origin: &Origin, boot: &str, now: &Now) -> History {
        let here = |ms: u64| origin.time(ms, boot, now).min(now.boot + LINGERS);
        let paused_until = self.paused_until.map(|until| {
            let left = Duration::from_millis(until.saturating_sub(origin.boot_ms));
            if origin.is_of(boot) { BootTime::from_boot(Duration::from_millis(until)) } else { now.boot + left }
        });
        let settled = self.completed.iter().map(|(ms, count)| (here(*ms), *count));
        // whoever sent the rest is gone, and so it arrives soon or never
        let unsettled = (self.unsettled > 0).then_some((now.boot + LINGERS, self.unsettled));
        History { completed: settled.chain(unsettled).collect(), unsettled: 0, paused_until }
    }
}

/// In milliseconds. It may look later than it was, never earlier.
fn later(time: BootTime) -> u64 {
    u64::try_from(time.since_boot().as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// How many requests one write is good for.
fn lease(quota: &Quota) -> u32 {
    let leases = quota.windows.iter().map(|window| match window.per {
        per if per <= SHORT => window.requests,
        _ => window.requests / SHARE,
    });
    leases.min().unwrap_or_default().max(1)
}

/// A panic elsewhere must not stop the book.
fn lock(limiter: &Mutex<RateLimiter>) -> MutexGuard<'_, RateLimiter> {
    limiter.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::rate_limit::{Admission, Window};

    fn now(millis: u64) -> Now {
        let wall = Timestamp::from_second(1_800_000_000).unwrap() + Duration::from_millis(millis);
        Now { boot: BootTime::from_boot(Duration::from_millis(millis)), wall }
    }

    fn limiter(requests: u32, per: u64) -> Arc<Mutex<RateLimiter>> {
        let windows = vec![Window { requests, per: Duration::from_secs(per) }];
        Arc::new(Mutex::new(RateLimiter::new(Quota { windows })))
    }

    fn send(limiter: &Mutex<RateLimiter>, at: u64) {
        let mut limiter = limiter.lock().unwrap();
        let ticket = limiter.join();
        assert_eq!(limiter.admit(&ticket, now(at).boot), Admission::Go);
        limiter.finished(ticket, now(at).boot);
    }

    /// What the next start reads.
    fn reread(written: &Written) -> Written {
        serde_json::from_slice(&serde_json::to_vec(written).unwrap()).unwrap()
    }

    fn remaining(limiter: &Mutex<RateLimiter>, at: u64) -> u32 {
        limiter.lock().unwrap().remaining(now(at).boot)[0]
    }

    #[test]
    fn a_lease_is_a_small_share_of_a_long_window_and_all_of_a_short_one() {
        for (windows, expected) in [
            (&[(30, 60)][..], 1),
            (&[(100, 60), (20, 1)], 3),
            (&[(6_000, 60)], 187),
            (&[(20, 1)], 20),
            (&[(1_000, 86_400), (100, 60)], 3),
            (&[(1, 3_600)], 1),
        ] {
            let windows = windows.iter().map(|(n, per)| Window { requests: *n, per: Duration::from_secs(*per) });
            assert_eq!(lease(&Quota { windows: windows.collect() }), expected);
        }
    }

    #[test]
    fn after_a_crash_the_whole_lease_counts_as_sent() {
        let name: Arc<str> = "p".into();
        let before = limiter(100, 60);
        let mut ledger = Ledger::open(Some(Written::nothing("b1", &now(0))), "b1", &now(0));
        ledger.know(&name, &before, now(0).boot);
        assert_eq!(remaining(&before, 0), 100, "a past that is known to be empty");
        assert!(!ledger.take("p"));
        ledger.wait("p", true);
        let (written, leases) = ledger.proposal("b1", &now(1_000));
        ledger.grant(leases);
        ledger.wait("p", false);
        for _ in 0..2 {
            assert!(ledger.take("p"));
            send(&before, 2_000);
        }
        // killed; it had one more request to send
        let after = limiter(100, 60);
        let mut ledger = Ledger::open(Some(reread(&written)), "b1", &now(5_000));
        ledger.know(&name, &after, now(5_000).boot);
        assert_eq!(remaining(&after, 5_000), 97);
        // what was on its way then may arrive five seconds later
        assert_eq!(remaining(&after, 70_059), 97);
        assert_eq!(remaining(&after, 70_060), 100);
    }

    #[test]
    fn an_unknown_past_fills_the_window() {
        let limiter = limiter(100, 60);
        Ledger::open(None, "b1", &now(0)).know(&"p".into(), &limiter, now(0).boot);
        assert_eq!(remaining(&limiter, 65_059), 0);
        // a start that ends before it sends anything knows no more than it did
        let mut ledger = Ledger::open(None, "b1", &now(0));
        let written = reread(&ledger.proposal("b1", &now(0)).0);
        let after = self::limiter(100, 60);
        Ledger::open(Some(written), "b1", &now(1_000)).know(&"p".into(), &after, now(1_000).boot);
        assert_eq!((remaining(&after, 65_059), remaining(&after, 65_060)), (0, 100));
    }

    #[test]
    fn after_a_reboot_what_was_sent_counts_from_the_boot_on() {
        let mut ledger = Ledger::default();
        let before = limiter(10, 60);
        ledger.know(&"p".into(), &before, now(500_000).boot);
        send(&before, 500_000);
        before.lock().unwrap().pause(now(530_000).boot);
        let written = reread(&ledger.proposal("b1", &now(510_000)).0);
        let after = limiter(10, 60);
        let booted = Now { boot: now(7_000).boot, ..now(530_000) };
        Ledger::open(Some(written), "b2", &booted).know(&"p".into(), &after, now(7_000).boot);
        assert_eq!(remaining(&after, 7_000), 9);
        assert_eq!(remaining(&after, 60_060), 10);
        assert_eq!(after.lock().unwrap().paused_until(now(7_000).boot), Some(now(27_000).boot));
    }

    #[test]
    fn what_another_machine_sent_counts_from_now_on() {
        let mut ledger = Ledger::default();
        let before = limiter(10, 60);
        ledger.know(&"p".into(), &before, now(500_000).boot);
        send(&before, 500_000);
        let written = reread(&ledger.proposal("b1", &now(510_000)).0);
        // up since long before that was written
        let here = Now { boot: BootTime::from_boot(Duration::from_secs(1_000_000)), ..now(520_000) };
        let after = limiter(10, 60);
        Ledger::open(Some(written), "b2", &here).know(&"p".into(), &after, here.boot);
        assert_eq!(after.lock().unwrap().remaining(here.boot + Duration::from_secs(60)), [9]);
        assert_eq!(after.lock().unwrap().remaining(here.boot + Duration::from_secs(61)), [10]);
    }

    #[test]
    fn a_provider_that_is_gone_for_a_while_keeps_its_past() {
        let mut ledger = Ledger::default();
        let before = limiter(10, 60);
        ledger.know(&"p".into(), &before, now(0).boot);
        send(&before, 0);
        let written = reread(&ledger.proposal("b1", &now(1_000)).0);
        // a start without it, and one with it again
        let mut without = Ledger::open(Some(written), "b1", &now(2_000));
        let written = reread(&without.proposal("b1", &now(3_000)).0);
        let after = limiter(10, 60);
        Ledger::open(Some(written), "b1", &now(4_000)).know(&"p".into(), &after, now(4_000).boot);
        assert_eq!(remaining(&after, 4_000), 9);
        assert!(without.proposal("b1", &now(61_000)).0.providers.is_empty(), "it is kept while it counts");
    }
}
