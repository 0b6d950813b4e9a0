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

/// What was known of an account before a poll was filed, as far as it decides what is told. It is not the account itself:
/// what somebody holds, the board has to copy before it changes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// How its last poll ended, if there was one. The reason of one from before a restart need not be known.
    last: Option<Result<(), Option<ErrorReason>>>,
    is_held: bool,
    /// Its reading has become too old since the last poll.
    has_just_gone: bool,
}

impl Before {
    pub(super) fn of(status: &AccountStatus, now: &Now) -> Self {
        let reason = || status.last_failure.as_deref().map(|(_, failure)| failure.reason);
        let last = if status.poll_success { Ok(()) } else { Err(reason()) };
        Self {
            last: status.attempted().then_some(last),
            is_held: status.held.is_some(),
            has_just_gone: has_just_gone(status, now),
        }
    }
}

impl Journal {
    /// A poll has ended after `took`, and its outcome was filed. `before` is what was known before.
    pub(super) fn note(
        &mut self,
        id: &AccountId,
        before: Before,
        outcome: &Result<Snapshot, Failure>,
        filing: Filing,
        took: Duration,
    ) {
        let how = outcome.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "good");
        tracing::debug!(provider = %id.provider, account = %id.account, "{id} was polled in {took:.1?}: {how}");
        match outcome {
            Ok(_) => self.note_good(id, before, filing),
            Err(failure) => self.note_failure(id, before, failure),
        }
    }

    /// Forgets an account that has gone.
    pub(super) fn forget(&mut self, id: &AccountId) {
        self.told.remove(id);
    }

    fn note_good(&mut self, id: &AccountId, before: Before, filing: Filing) {
        let AccountId { provider, account } = id;
        let told = self.told.remove(id).is_some();
        if told || matches!(before.last, Some(Err(_))) {
            tracing::info!(%provider, %account, "{id} is polled well again");
        } else if before.last.is_none() {
            tracing::info!(%provider, %account, "{id} was read for the first time");
        }
        match filing {
            Filing::Held if !before.is_held => tracing::warn!(
                %provider,
                %account,
                "{id} has changed by more than `hold_jump_over`: the reading is held until the next one confirms it"
            ),
            Filing::Filed if before.is_held => tracing::info!(
                %provider,
                %account,
                "{id} is shown again: a reading agrees with the one that was held, or with the one before it"
            ),
            Filing::Held | Filing::Filed | Filing::Dropped => {}
        }
    }

    fn note_failure(&mut self, id: &AccountId, before: Before, failure: &Failure) {
        let AccountId { provider, account } = id;
        // after a restart the last reason is known from before it
        let told = self
            .told
            .entry(id.clone())
            .or_insert_with(|| before.last.and_then(Result::err).flatten().into_iter().collect());
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
        if before.has_just_gone {
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
