//! What is known of every account and provider right now. The poller writes it, the web side reads it.
//!
//! A view is taken in one step, and an account's figures in it all come from one reply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::clock::Now;
use crate::config::AccountConfig;
use crate::failure::{ErrorReason, Failure};
use crate::providers::Postmark;
use crate::rate_limit::RateLimiter;
use crate::schedule::{Cause, Streak};

mod flow;
mod jump;
mod memory;
mod past;
mod snapshot;
mod waiting;

pub use flow::Flow;
pub use memory::{Memory, Since};
pub use past::{Past, Poll};
pub use snapshot::Snapshot;
pub use waiting::{Progress, Waiting};

/// Everything known of one account.
#[derive(Clone, Debug)]
pub struct AccountStatus {
    /// As configured.
    pub config: Arc<AccountConfig>,
    /// The last good reading, of whatever age: [`fresh`](Self::fresh) says whether it may be shown.
    pub snapshot: Option<Arc<Snapshot>>,
    /// A good reading that differs too much from the last one to be shown before another confirms it.
    pub held: Option<Arc<Snapshot>>,
    /// How often a good reading was held.
    pub readings_held: u64,
    /// The provider's own name for the account, once it was read.
    pub identity: Option<Arc<str>>,
    /// What told the last good reply from others, if the provider offers that.
    pub postmark: Option<Arc<Postmark>>,
    /// How often a good reply told that it had come before.
    pub repeated_replies: u64,
    /// When the last poll ended.
    pub last_poll: Option<Timestamp>,
    /// When the request began that brought the last good reading.
    pub last_success: Option<Timestamp>,
    /// Whether the last poll was good.
    pub poll_success: bool,
    /// The last failure and when it happened, kept for people after polls are good again.
    pub last_failure: Option<Box<(Timestamp, Failure)>>,
    /// When the account will be polled next.
    pub next_poll: Option<Timestamp>,
    /// Why not sooner.
    pub cause: Cause,
    /// The failures since the last good poll.
    pub streak: Streak,
    /// How far the current poll is.
    pub progress: Progress,
    /// Polls that ended.
    pub polls: u64,
    /// By reason; most accounts have failed for none.
    failures: BTreeMap<ErrorReason, u64>,
    /// Per wallet and currency, from the first reading on.
    pub flows: Box<[Flow]>,
    /// Its last polls. A restart forgets them.
    pub past: Past,
}

impl AccountStatus {
    fn new(config: Arc<AccountConfig>) -> Self {
        Self {
            config,
            snapshot: None,
            held: None,
            readings_held: 0,
            identity: None,
            postmark: None,
            repeated_replies: 0,
            last_poll: None,
            last_success: None,
            poll_success: false,
            last_failure: None,
            next_poll: None,
            cause: Cause::Interval,
            streak: Streak::default(),
            progress: Progress::Resting,
            polls: 0,
            failures: BTreeMap::new(),
            flows: Box::default(),
            past: Past::default(),
        }
    }

    /// How often polls failed for this reason.
    pub fn failures(&self, reason: ErrorReason) -> u64 {
        self.failures.get(&reason).copied().unwrap_or_default()
    }

    /// The last good reading, if it is young enough to be vouched for at `now`.
    pub fn fresh(&self, now: &Now) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref().filter(|snapshot| snapshot.age(now) <= self.config.stale_after)
    }

    /// True once a poll has ended, well or badly.
    pub const fn attempted(&self) -> bool {
        self.last_poll.is_some()
    }

    /// The same account with the counters that another look at it had.
    fn counting_as(&self, other: &Self) -> Self {
        Self {
            polls: other.polls,
            failures: other.failures.clone(),
            readings_held: other.readings_held,
            repeated_replies: other.repeated_replies,
            flows: other.flows.clone(),
            ..self.clone()
        }
    }

    /// Takes a good reading in, unless it must wait: it is far from the last one, and no held one agrees with it.
    fn take(&mut self, snapshot: Arc<Snapshot>) -> Filing {
        let reading = snapshot.reading();
        if let Some(postmark) = reading.postmark() {
            if self.postmark.as_deref() == Some(postmark) {
                self.repeated_replies += 1;
            }
            self.postmark = Some(Arc::new(postmark.clone()));
        }
        if let (Some(last), Some(factor)) = (&self.snapshot, self.config.hold_jump_over)
            && jump::is_jump(last.reading(), reading, factor)
            && self.held.as_ref().is_none_or(|held| jump::is_jump(held.reading(), reading, factor))
        {
            self.readings_held += 1;
            self.held = Some(snapshot);
            return Filing::Held;
        }
        for balance in reading.balances() {
            flow::count(&mut self.flows, balance);
        }
        if let Some(identity) = reading.identity() {
            self.identity = Some(identity.into());
        }
        self.held = None;
        self.last_success = Some(snapshot.taken().wall);
        self.snapshot = Some(snapshot);
        Filing::Filed
    }

    /// Adds the poll that has just been filed to the past. What is held must not even be drawn.
    fn remember(&mut self, filing: Filing, now: Now) {
        let poll = Poll { ended: u32::try_from(now.wall.as_second()).unwrap_or_default(), good: self.poll_success };
        let filed = self.snapshot.as_ref().filter(|_| self.poll_success && filing == Filing::Filed);
        let balances = filed.map(|snapshot| snapshot.reading().balances());
        self.past.add(poll, self.config.wallets.len(), balances);
    }
}

/// What became of an outcome that was to be filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// It stands on the board.
    Filed,
    /// It is a good reading that waits for another one to confirm it. What stood there before still does, and ages.
    Held,
    /// The account has gone, or asks something else by now.
    Dropped,
}

/// Everything known of one provider entry.
#[derive(Clone, Debug)]
pub struct ProviderStatus {
    /// The label `provider`.
    pub name: Arc<str>,
    /// Its slots; looked at briefly, never across a wait.
    pub limiter: Arc<Mutex<RateLimiter>>,
    /// What was counted.
    pub counts: Counts,
    /// Provider's clock minus ours, in whole seconds as the header `Date` has it, at the last reply.
    pub clock_skew_seconds: Option<i64>,
    /// When the current session ends, for a provider that logs in.
    pub session_expiry: Option<Timestamp>,
}

/// One look at everything.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In the order of their names.
    pub providers: Vec<Arc<ProviderStatus>>,
    /// In the order of provider and account name.
    pub accounts: Vec<Arc<AccountStatus>>,
    /// Whether the page and the JSON beside it keep amounts to themselves.
    pub hides_amounts: bool,
    /// Whether failures are told for every reason there is, and not only for those that polls failed for.
    pub tells_every_reason: bool,
    /// Which state of the accounts this is.
    pub revision: u64,
}

/// The board.
#[derive(Debug, Default)]
pub struct Board(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    latest: Statuses,
    /// Grows with every change of what is shown of accounts.
    revision: u64,
    epoch: u64,
    /// What has left, or has not come since the start: its past does not end with its entry.
    absent_accounts: BTreeMap<AccountId, Arc<AccountStatus>>,
    absent_providers: BTreeMap<Arc<str>, Counts>,
    /// What will be remembered after a crash, if there is a state. A counter that a restart sets back looks like a
    /// great leap, and so none is shown before it is kept.
    kept: Option<Statuses>,
    hides_amounts: bool,
    omits_reasons: bool,
}

#[derive(Debug, Default)]
struct Statuses {
    providers: BTreeMap<Arc<str>, Arc<ProviderStatus>>,
    accounts: BTreeMap<AccountId, Arc<AccountStatus>>,
}

/// The counters of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests sent, logins and retries included.
    pub requests: u64,
    /// Requests that had to wait for a slot.
    pub deferred: u64,
    /// Replies by which the provider asked us to slow down.
    pub throttled: u64,
}

impl Board {
    /// What it shows now.
    pub fn view(&self) -> View {
        let inner = self.lock();
        let (revision, hides_amounts) = (inner.revision, inner.hides_amounts);
        let tells_every_reason = !inner.omits_reasons;
        let Some(kept) = &inner.kept else {
            return View { tells_every_reason, revision, ..inner.latest.view(hides_amounts) };
        };
        let account = |(id, status): (&AccountId, &Arc<AccountStatus>)| match kept.accounts.get(id) {
            Some(known) if !Arc::ptr_eq(known, status) => Arc::new(status.counting_as(known)),
            Some(_) | None => status.clone(),
        };
        let providers = inner.latest.providers.iter().map(|(name, status)| inner.shown_provider(name, status));
        let accounts = inner.latest.accounts.iter().map(account);
        View {
            providers: providers.collect(),
            accounts: accounts.collect(),
            hides_amounts,
            tells_every_reason,
            revision,
        }
    }

    /// What [`view`](Self::view) shows of providers, and which state of the accounts: while that number is the same,
    /// they are.
    pub fn providers(&self) -> (u64, Vec<Arc<ProviderStatus>>) {
        let inner = self.lock();
        let shown = inner.latest.providers.iter().map(|(name, status)| inner.shown_provider(name, status));
        (inner.revision, shown.collect())
    }

    /// Grows when accounts come, go or are configured otherwise, when one has a number again, and when what was rendered
    /// before is [outdated](Self::outdate).
    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// What was rendered before is not to be read any more, though nothing has changed here.
    pub fn outdate(&self) {
        self.lock().epoch += 1;
    }

    /// What stands on it now, with the counters that are not kept yet.
    pub fn latest(&self) -> View {
        let inner = self.lock();
        inner.latest.view(inner.hides_amounts)
    }

    /// Has the page and the JSON beside it keep amounts to themselves from now on, or tell them again.
    pub fn hide_amounts(&self, hide: bool) {
        let inner = &mut *self.lock();
        // what was written before must not be read after
        inner.epoch += u64::from(inner.hides_amounts != hide);
        inner.hides_amounts = hide;
    }

    /// Has failures told from now on for every reason there is, or only for those that polls failed for.
    pub fn tell_every_reason(&self, every: bool) {
        let inner = &mut *self.lock();
        let changes = inner.omits_reasons == every;
        inner.revision += u64::from(changes);
        inner.epoch += u64::from(changes);
        inner.omits_reasons = !every;
    }

    /// What was known before the start. From now on counters are shown once they are [kept](Self::keep).
    pub fn recall(&self, accounts: Vec<AccountStatus>, providers: BTreeMap<Arc<str>, Counts>) {
        let mut inner = self.lock();
        inner.revision += 1;
        inner.epoch += 1;
        inner.absent_accounts =
            accounts.into_iter().map(|status| (status.config.id.clone(), Arc::new(status))).collect();
        inner.absent_providers = providers;
        inner.kept = Some(Statuses::default());
    }

    /// This look is kept, or cannot be: its counters may be shown.
    pub fn keep(&self, look: &View) {
        let inner = &mut *self.lock();
        inner.revision += 1;
        let kept = inner.kept.get_or_insert_default();
        kept.accounts.extend(look.accounts.iter().map(|status| (status.config.id.clone(), status.clone())));
        kept.providers.extend(look.providers.iter().map(|status| (status.name.clone(), status.clone())));
        // what has left is kept no longer, and comes back as it then is
        let (accounts, providers) = (&inner.latest.accounts, &inner.latest.providers);
        kept.accounts.retain(|id, _| accounts.contains_key(id));
        kept.providers.retain(|name, _| providers.contains_key(name));
    }

    /// True if nothing has changed since what is kept.
    pub fn is_kept(&self) -> bool {
        let inner = self.lock();
        let Some(kept) = &inner.kept else { return true };
        let Statuses { providers, accounts } = &inner.latest;
        accounts.iter().all(|(id, status)| kept.accounts.get(id).is_some_and(|known| Arc::ptr_eq(known, status)))
            && providers
                .iter()
                .all(|(name, status)| kept.providers.get(name).is_some_and(|known| known.counts == status.counts))
    }

    /// One account, if it is configured.
    pub fn account(&self, id: &AccountId) -> Option<Arc<AccountStatus>> {
        self.lock().latest.accounts.get(id).cloned()
    }

    /// Makes the board be about exactly these providers and accounts. What is known of those that stay, stays;
    /// but a reading and its flows go when the account asks for something else from now on.
    pub fn configure(&self, providers: Vec<ProviderStatus>, accounts: &[Arc<AccountConfig>]) {
        let stay: BTreeSet<_> = accounts.iter().map(|config| &config.id).collect();
        let gone = self.lock().latest.accounts.keys().filter(|id| !stay.contains(id)).cloned().collect();
        self.change(providers, &gone, accounts);
    }

    /// The same, when these accounts are `gone`, and those came or changed: all others are left as they are.
    pub fn change(&self, providers: Vec<ProviderStatus>, gone: &BTreeSet<AccountId>, changed: &[Arc<AccountConfig>]) {
        let inner = &mut *self.lock();
        inner.revision += 1;
        inner.epoch += 1;
        let mut known = std::mem::take(&mut inner.latest.providers);
        for mut fresh in providers {
            if let Some(before) = known.remove(&fresh.name) {
                fresh = ProviderStatus { limiter: fresh.limiter, ..ProviderStatus::clone(&before) };
            } else if let Some(counts) = inner.absent_providers.remove(&fresh.name) {
                fresh.counts = counts;
            }
            inner.latest.providers.insert(fresh.name.clone(), Arc::new(fresh));
        }
        inner.absent_providers.extend(known.into_iter().map(|(name, status)| (name, status.counts)));
        for id in gone {
            if let Some(status) = inner.latest.accounts.remove(id) {
                inner.absent_accounts.insert(id.clone(), status);
            }
        }
        for config in changed {
            let known = inner.latest.accounts.remove(&config.id);
            let status = match known.or_else(|| inner.absent_accounts.remove(&config.id)) {
                Some(before) if before.config == *config => before,
                Some(before) if before.config.asks == config.asks => {
                    Arc::new(AccountStatus { config: config.clone(), ..AccountStatus::clone(&before) })
                }
                Some(before) => Arc::new(AccountStatus {
                    polls: before.polls,
                    failures: before.failures.clone(),
                    readings_held: before.readings_held,
                    repeated_replies: before.repeated_replies,
                    ..AccountStatus::new(config.clone())
                }),
                None => Arc::new(AccountStatus::new(config.clone())),
            };
            inner.latest.accounts.insert(config.id.clone(), status);
        }
        // the nodes of a tree that is filled in order are half full; a fleet is taken in once, and stays
        if 2 * changed.len() > inner.latest.accounts.len() {
            inner.latest.accounts = std::mem::take(&mut inner.latest.accounts).into_iter().collect();
        }
        if let Some(kept) = &mut inner.kept {
            // what has just come, came with counters that are kept already, or is still kept as it was when it left
            let Statuses { providers, accounts } = &inner.latest;
            for (id, status) in changed.iter().filter_map(|config| accounts.get_key_value(&config.id)) {
                kept.accounts.entry(id.clone()).or_insert_with(|| status.clone());
            }
            for (name, status) in providers {
                kept.providers.entry(name.clone()).or_insert_with(|| status.clone());
            }
        }
    }

    /// Files the outcome of a poll that was made under `config`. It is dropped if the account has gone or is
    /// configured to ask something else by now: the number would stand under a name that it does not belong to.
    pub fn file(&self, config: &AccountConfig, outcome: Result<Snapshot, Failure>, now: Now) -> Filing {
        let filed = self.update(&config.id, |status| {
            if status.config.asks != config.asks {
                return (Filing::Dropped, false);
            }
            let was_fresh = status.fresh(&now).is_some();
            status.polls += 1;
            status.last_poll = Some(now.wall);
            status.poll_success = outcome.is_ok();
            let filing = match outcome {
                Ok(snapshot) => status.take(Arc::new(snapshot)),
                Err(failure) => {
                    *status.failures.entry(failure.reason).or_default() += 1;
                    status.last_failure = Some(Box::new((now.wall, failure)));
                    Filing::Filed
                }
            };
            status.remember(filing, now);
            (filing, !was_fresh && status.fresh(&now).is_some())
        });
        let (filing, is_back) = filed.unwrap_or((Filing::Dropped, false));
        if is_back {
            self.lock().epoch += 1;
        }
        filing
    }

    /// Notes when the account will be polled next, why not sooner, and what led there.
    pub fn set_next_poll(&self, id: &AccountId, at: Timestamp, cause: Cause, streak: Streak) {
        self.update(id, |status| {
            status.progress = Progress::Resting;
            status.next_poll = Some(at);
            status.cause = cause;
            status.streak = streak;
        });
    }

    /// Notes how far the account's current poll is.
    pub fn set_progress(&self, id: &AccountId, progress: Progress) {
        self.update(id, |status| status.progress = progress);
    }

    /// Changes what is known of a provider, if it is configured.
    pub fn update_provider(&self, name: &str, change: impl FnOnce(&mut ProviderStatus)) {
        if let Some(status) = self.lock().latest.providers.get_mut(name) {
            change(Arc::make_mut(status));
        }
    }

    fn update<T>(&self, id: &AccountId, change: impl FnOnce(&mut AccountStatus) -> T) -> Option<T> {
        let inner = &mut *self.lock();
        inner.revision += 1;
        inner.latest.accounts.get_mut(id).map(|status| change(Arc::make_mut(status)))
    }

    /// A panic elsewhere must not blind the scrape.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn shown_provider(&self, name: &Arc<str>, status: &Arc<ProviderStatus>) -> Arc<ProviderStatus> {
        match self.kept.as_ref().and_then(|kept| kept.providers.get(name)) {
            Some(known) if known.counts != status.counts => {
                Arc::new(ProviderStatus { counts: known.counts, ..ProviderStatus::clone(status) })
            }
            Some(_) | None => status.clone(),
        }
    }
}

impl Statuses {
    fn view(&self, hides_amounts: bool) -> View {
        View {
            hides_amounts,
            tells_every_reason: true,
            revision: 0,
            providers: self.providers.values().cloned().collect(),
            accounts: self.accounts.values().cloned().collect(),
        }
    }
}

impl ProviderStatus {
    /// A provider that was never asked.
    pub const fn new(name: Arc<str>, limiter: Arc<Mutex<RateLimiter>>) -> Self {
        Self {
            name,
            limiter,
            counts: Counts { requests: 0, deferred: 0, throttled: 0 },
            clock_skew_seconds: None,
            session_expiry: None,
        }
    }

    /// Until when nothing is sent because the provider asked for that.
    pub fn paused_until(&self, now: &Now) -> Option<Timestamp> {
        self.limiter().paused_until(now.boot).map(|until| now.wall_at(until))
    }

    /// Each window of the limit: its requests, its length, and how many more would fit at `now`.
    pub fn windows(&self, now: &Now) -> Vec<(u32, Duration, u32)> {
        let limiter = self.limiter();
        let remaining = limiter.remaining(now.boot);
        limiter.quota().windows.iter().zip(remaining).map(|(w, left)| (w.requests, w.per, left)).collect()
    }

    fn limiter(&self) -> MutexGuard<'_, RateLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With two counts before them both are a quarter of a kibibyte, and the allocator's next size is 320.
    #[test]
    fn what_a_fleet_has_one_of_for_each_account_stays_small() {
        assert!(size_of::<AccountStatus>() <= 240, "{}", size_of::<AccountStatus>());
        assert!(size_of::<AccountConfig>() <= 240, "{}", size_of::<AccountConfig>());
    }
}
