//! Why nothing is asked right now, and until when: derived at every look.

use jiff::Timestamp;

use super::{AccountStatus, ProviderStatus};
use crate::clock::Now;
use crate::schedule::Cause;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it is.
    pub cause: Cause,
    /// Before this nothing is asked. If it is the limit, others may be first, and it may take longer.
    pub until: Timestamp,
}

/// How far the account's current poll is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// There is none: its next turn is to come.
    #[default]
    Resting,
    /// It is due, and waits for the provider's limit or pause.
    Queued,
    /// It is on its way.
    Asking,
}

impl ProviderStatus {
    /// Why nothing may be sent to the provider at `now`; `None` if something may.
    pub fn waiting(&self, now: &Now) -> Option<Waiting> {
        let limiter = self.limiter();
        let (pause, full) = (limiter.paused_until(now.boot), limiter.full_until(now.boot));
        let (cause, until) = match (pause, full) {
            (Some(pause), full) if full.is_none_or(|full| full <= pause) => (Cause::Throttled, pause),
            (_, Some(full)) => (Cause::Limit, full),
            (_, None) => return None,
        };
        Some(Waiting { cause, until: now.wall_at(until) })
    }
}

impl AccountStatus {
    /// Why nothing is asked of the account, of all causes the one that lasts the longest; `None` while a request is on
    /// its way. `provider` is what its provider waits for.
    pub fn waiting(&self, provider: Option<Waiting>) -> Option<Waiting> {
        let own = self.next_poll.map(|until| Waiting { cause: self.cause, until });
        match self.progress {
            Progress::Asking => None,
            Progress::Queued => provider,
            Progress::Resting => own.into_iter().chain(provider).max_by_key(|waiting| waiting.until),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::clock::BootTime;
    use crate::exposition::sample;
    use crate::rate_limit::{Quota, RateLimiter, Window};

    fn now() -> Now {
        Now { boot: BootTime::from_boot(Duration::from_secs(1_000)), wall: Timestamp::from_second(5_000).unwrap() }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A provider that takes one request in ten seconds.
    fn provider() -> ProviderStatus {
        let quota = Quota { windows: vec![Window { requests: 1, per: Duration::from_secs(10) }] };
        ProviderStatus::new("p".into(), Arc::new(Mutex::new(RateLimiter::new(quota))))
    }

    #[test]
    fn a_provider_waits_for_its_limit_or_for_the_pause_that_was_asked_for() {
        let (now, provider) = (now(), provider());
        assert_eq!(provider.waiting(&now), None);
        let ticket = {
            let mut limiter = provider.limiter.lock().unwrap();
            let ticket = limiter.join();
            limiter.admit(&ticket, now.boot);
            ticket
        };
        let limit = Waiting { cause: Cause::Limit, until: second(5_000) + Duration::from_millis(10_010) };
        assert_eq!(provider.waiting(&now), Some(limit), "at least as long as if it came back now");
        provider.limiter.lock().unwrap().finished(ticket, now.boot);
        assert_eq!(provider.waiting(&now), Some(limit));
        let pause = |seconds| provider.limiter.lock().unwrap().pause(now.boot + Duration::from_secs(seconds));
        pause(5);
        assert_eq!(provider.waiting(&now), Some(limit), "the longer of the two");
        pause(60);
        assert_eq!(provider.waiting(&now), Some(Waiting { cause: Cause::Throttled, until: second(5_060) }));
    }

    #[test]
    fn an_account_waits_for_what_lasts_longest() {
        let mut status = AccountStatus::new(sample::config("p", "a"));
        let of = |cause, at| Some(Waiting { cause, until: second(at) });
        assert_eq!(status.waiting(None), None, "nobody knows yet");
        status.next_poll = Some(second(5_030));
        status.cause = Cause::Backoff;
        for (progress, provider, expected) in [
            (Progress::Resting, None, of(Cause::Backoff, 5_030)),
            (Progress::Resting, of(Cause::Limit, 5_010), of(Cause::Backoff, 5_030)),
            (Progress::Resting, of(Cause::Throttled, 5_060), of(Cause::Throttled, 5_060)),
            (Progress::Queued, of(Cause::Limit, 5_010), of(Cause::Limit, 5_010)),
            (Progress::Queued, None, None),
            (Progress::Asking, of(Cause::Limit, 5_010), None),
        ] {
            status.progress = progress;
            assert_eq!(status.waiting(provider), expected, "{progress:?} {provider:?}");
        }
    }
}
