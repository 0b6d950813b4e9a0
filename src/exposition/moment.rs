//! The moment of a scrape, and until when what was written then would be written again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::board::{AccountStatus, ProviderStatus, Snapshot, View, Waiting};
use crate::clock::{BootTime, Now};

/// An account as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// What does not depend on the clock.
    pub(super) status: &'a AccountStatus,
    /// The last good reading, if it is young enough to be vouched for.
    pub(super) fresh: Option<&'a Arc<Snapshot>>,
    /// What its provider waits for, if it does.
    pub(super) provider_waiting: Option<Waiting>,
    /// Whether its failures are told for every reason there is.
    pub(super) every_reason: bool,
}

/// When a scrape is. All that samples of accounts see of it is what it shows: so it knows how long that
/// stays the same, by either clock, and what was rendered may be shown again until then.
#[derive(Clone, Debug)]
pub struct Moment {
    now: Now,
    /// Of the providers that wait for something.
    waits: Waits,
    /// What is fresh now is so as long as neither clock is beyond these.
    fresh_until: Cell<(BootTime, Timestamp)>,
    /// What is stale by the wall clock alone is so as long as that clock is not set back to this.
    stale_after: Cell<Option<Timestamp>>,
}

type Waits = BTreeMap<Arc<str>, Waiting>;

fn waits(providers: &[Arc<ProviderStatus>], now: &Now) -> Waits {
    providers.iter().filter_map(|status| Some((status.name.clone(), status.waiting(now)?))).collect()
}

impl Moment {
    pub(super) fn new(now: Now, providers: &[Arc<ProviderStatus>]) -> Self {
        let ever = (BootTime::from_boot(std::time::Duration::MAX), Timestamp::MAX);
        Self { now, waits: waits(providers, &now), fresh_until: Cell::new(ever), stale_after: Cell::new(None) }
    }

    /// With all the answers about what is fresh in this view.
    pub fn of(view: &View, now: Now) -> Self {
        let moment = Self::new(now, &view.providers);
        for status in &view.accounts {
            moment.fresh(status);
        }
        moment
    }

    pub(super) fn shown<'a>(&self, status: &'a AccountStatus, view: &View) -> Shown<'a> {
        let provider_waiting = self.provider_waiting(&status.config.id.provider);
        Shown { status, fresh: self.fresh(status), provider_waiting, every_reason: view.tells_every_reason }
    }

    /// What the provider waits for, if it does.
    fn provider_waiting(&self, provider: &str) -> Option<Waiting> {
        if self.waits.is_empty() { None } else { self.waits.get(provider).copied() }
    }

    fn fresh<'a>(&self, status: &'a AccountStatus) -> Option<&'a Arc<Snapshot>> {
        let snapshot = status.snapshot.as_ref()?;
        let (boot, wall) = snapshot.vouched_until(status.config.stale_after)?;
        if self.now.boot > boot {
            // the boot clock never goes back
            return None;
        }
        if self.now.wall > wall {
            self.stale_after.set(self.stale_after.get().max(Some(wall)));
            return None;
        }
        let (first_boot, first_wall) = self.fresh_until.get();
        self.fresh_until.set((first_boot.min(boot), first_wall.min(wall)));
        Some(snapshot)
    }

    /// True if every answer given would be given at `now`, too.
    pub(super) fn lasts_until(&self, now: &Now, providers: &[Arc<ProviderStatus>]) -> bool {
        self.waits == waits(providers, now) && self.is_as_fresh(now)
    }

    /// True if at `now` the same readings are fresh, among those that were asked for.
    pub fn is_as_fresh(&self, now: &Now) -> bool {
        let (boot, wall) = self.fresh_until.get();
        now.boot >= self.now.boot
            && now.boot <= boot
            && now.wall <= wall
            && self.stale_after.get().is_none_or(|stale_after| now.wall > stale_after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::board::Board;
    use crate::exposition::sample::{self, at};

    /// `seconds` by the boot clock, and as many more by the wall clock.
    fn torn(seconds: u64, wall_ahead: i64) -> Now {
        let Now { boot, wall } = at(seconds);
        Now { boot, wall: wall + jiff::SignedDuration::from_secs(wall_ahead) }
    }

    proptest! {
        /// The board itself is asked as the judge, whose rule is written in another way.
        #[test]
        fn what_lasts_is_what_would_be_answered_again(
            taken in proptest::collection::vec((0_u64..1_000, -500_i64..500), 1..6),
            first in (1_000_u64..2_000, -700_i64..700),
            later in (0_u64..700, -700_i64..700),
        ) {
            let board = Board::default();
            let configs: Vec<_> = (0..taken.len()).map(|n| sample::config("p", &format!("a{n}"))).collect();
            board.configure(vec![sample::provider("p")], &configs);
            for (config, (seconds, ahead)) in configs.iter().zip(&taken) {
                let now = torn(*seconds, *ahead);
                board.file(config, Ok(sample::snapshot("1", now)), now);
            }
            let now = torn(first.0, first.1);
            let moment = Moment::new(now, &[]);
            let accounts = board.view().accounts;
            let shown: Vec<_> = accounts.iter().map(|status| moment.fresh(status).is_some()).collect();
            let judged = |now: &Now| accounts.iter().map(|status| status.fresh(now).is_some()).collect::<Vec<_>>();
            prop_assert_eq!(&shown, &judged(&now));
            prop_assert!(moment.lasts_until(&now, &[]));
            let then = torn(first.0 + later.0, later.1);
            if moment.lasts_until(&then, &[]) {
                prop_assert_eq!(&shown, &judged(&then));
            }
        }
    }

    #[test]
    fn a_provider_that_waits_is_told_of_until_it_does_no_more() {
        let providers = sample::board().view().providers;
        let moment = Moment::new(at(100), &providers);
        assert_eq!(moment.provider_waiting("bridge"), None);
        assert!(moment.provider_waiting("payby-uae").is_some(), "it asked for a pause until 160");
        assert!(moment.lasts_until(&at(159), &providers));
        assert!(!moment.lasts_until(&at(160), &providers));
    }

    #[test]
    fn a_board_without_readings_lasts() {
        let moment = Moment::new(at(0), &[]);
        assert!(moment.lasts_until(&at(0), &[]) && moment.lasts_until(&at(u64::from(u32::MAX)), &[]));
        assert!(!Moment::new(at(1), &[]).lasts_until(&at(0), &[]), "the boot clock does not go back");
    }
}
