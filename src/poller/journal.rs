//! What the log says of polls: one line for each change of an account's state, and not one per poll.

use crate::board::{AccountStatus, Filing, Snapshot};
use crate::config::AccountConfig;
use crate::failure::Failure;

/// One line when a reading is held, and one when another is shown again; not one per poll.
pub(super) fn log_held(config: &AccountConfig, before: Option<&AccountStatus>, filing: Filing, read: bool) {
    let id = &config.id;
    let was_held = before.is_some_and(|status| status.held.is_some());
    match filing {
        Filing::Held if !was_held => tracing::warn!(
            provider = %id.provider,
            account = %id.account,
            "{id} has changed by more than `hold_jump_over`: the reading is held until the next one confirms it"
        ),
        Filing::Filed if was_held && read => tracing::info!(
            provider = %id.provider,
            account = %id.account,
            "{id} is shown again: a reading agrees with the one that was held, or with the one before it"
        ),
        Filing::Held | Filing::Filed | Filing::Dropped => {}
    }
}

/// One line when an account begins or ceases to fail, or fails for another reason; not one per poll.
pub(super) fn log_change(config: &AccountConfig, before: Option<&AccountStatus>, outcome: &Result<Snapshot, Failure>) {
    let id = &config.id;
    let failing = before.filter(|status| status.attempted() && !status.poll_success);
    let failed_with = failing.and_then(|status| status.last_failure.as_ref()).map(|(_, failure)| failure.reason);
    match outcome {
        Ok(_) if failed_with.is_some() => {
            tracing::info!(provider = %id.provider, account = %id.account, "{id} is polled well again");
        }
        Ok(_) if before.is_none_or(|status| !status.attempted()) => {
            tracing::info!(provider = %id.provider, account = %id.account, "{id} was read for the first time");
        }
        Err(failure) if failed_with != Some(failure.reason) => tracing::warn!(
            provider = %id.provider,
            account = %id.account,
            reason = failure.reason.as_str(),
            "{id} cannot be read: {}; {}",
            failure.detail,
            failure.reason.remedy()
        ),
        Ok(_) | Err(_) => {}
    }
}
