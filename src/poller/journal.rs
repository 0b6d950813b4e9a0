//! What the log says of polls: one line for each change of an account's state, and not one per poll.

use std::collections::HashMap;
use std::time::Duration;

use crate::account::AccountId;
use crate::board::{AccountStatus, Filing, Snapshot};
use crate::clock::Now;
use crate::failure::{ErrorReason, Failure};

/// What has been told, so that nothing is told again and again: an account that fails now for this reason and now for
/// that one has each of them told once, until it is well.
#[derive(Debug, Default)]
pub(super) struct Journal {
    told: HashMap<AccountId, Vec<ErrorReason>>,
}

impl Journal {
    /// A poll has ended after `took`, and its outcome was filed. `before` is what was known before.
    pub(super) fn note(
        &mut self,
        id: &AccountId,
        before: Option<&AccountStatus>,
        outcome: &Result<Snapshot, Failure>,
        filing: Filing,
        (now, took): (Now, Duration),
    ) {
        let how = outcome.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "good");
        tracing::debug!(provider = %id.provider, account = %id.account, "{id} was polled in {took:.1?}: {how}");
        match outcome {
            Ok(_) => self.note_good(id, before, filing),
            Err(failure) => self.note_failure(id, before, failure, &now),
        }
    }

    /// Forgets an account that has gone.
    pub(super) fn forget(&mut self, id: &AccountId) {
        self.told.remove(id);
    }

    fn note_good(&mut self, id: &AccountId, before: Option<&AccountStatus>, filing: Filing) {
        let AccountId { provider, account } = id;
        let told = self.told.remove(id).is_some();
        let failed = before.is_some_and(|status| status.attempted() && !status.poll_success);
        if told || failed {
            tracing::info!(%provider, %account, "{id} is polled well again");
        } else if before.is_none_or(|status| !status.attempted()) {
            tracing::info!(%provider, %account, "{id} was read for the first time");
        }
        let was_held = before.is_some_and(|status| status.held.is_some());
        match filing {
            Filing::Held if !was_held => tracing::warn!(
                %provider,
                %account,
                "{id} has changed by more than `hold_jump_over`: the reading is held until the next one confirms it"
            ),
            Filing::Filed if was_held => tracing::info!(
                %provider,
                %account,
                "{id} is shown again: a reading agrees with the one that was held, or with the one before it"
            ),
            Filing::Held | Filing::Filed | Filing::Dropped => {}
        }
    }

    fn note_failure(&mut self, id: &AccountId, before: Option<&AccountStatus>, failure: &Failure, now: &Now) {
        let AccountId { provider, account } = id;
        // after a restart the last reason is known from before it
        let told = self.told.entry(id.clone()).or_insert_with(|| {
            let failing = before.filter(|status| status.attempted() && !status.poll_success);
            failing.and_then(|status| status.last_failure.as_ref()).map(|(_, last)| last.reason).into_iter().collect()
        });
        if !told.contains(&failure.reason) {
            told.push(failure.reason);
            tracing::warn!(
                %provider,
                %account,
                reason = failure.reason.as_str(),
                "{id} cannot be read: {}; {}",
                failure.detail,
                failure.reason.remedy()
            );
        }
        if before.is_some_and(|status| has_just_gone(status, now)) {
            tracing::warn!(
                %provider,
                %account,
                "{id} has no good reading for longer than `stale_after`: its balances are withdrawn"
            );
        }
    }
}

/// True if the last reading has become too old since the last poll.
fn has_just_gone(status: &AccountStatus, now: &Now) -> bool {
    let (Some(snapshot), Some(last_poll)) = (&status.snapshot, status.last_poll) else { return false };
    let since = Duration::try_from(now.wall.duration_since(last_poll)).unwrap_or_default();
    let (age, limit) = (snapshot.age(now), status.config.stale_after);
    age > limit && age.saturating_sub(since) <= limit
}
