//! What can be said of an account in a word, and what each word means.

use schemars::JsonSchema;
use serde::Serialize;

use super::share::Levels;
use crate::board::{AccountStatus, Progress};
use crate::clock::Now;
use crate::config::Severity;
use crate::schedule::Cause;

/// A state of an account. It can be in several: fresh and low, or stale and backing off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::web) enum State {
    /// Below a critical level.
    Critical,
    /// The reading was withdrawn.
    Stale,
    /// Polled, and never read.
    NeverRead,
    /// Left alone after refusals.
    Refused,
    /// The provider asked to slow down.
    Throttled,
    /// Failing, and asked again later each time.
    BackingOff,
    /// Below a warning level.
    Low,
    /// A reading waits for another to confirm it.
    Held,
    /// Waits for a free place in the limit.
    Queued,
    /// Being asked.
    Polling,
    /// Not polled since the start.
    NotPolled,
    /// The reading is young enough.
    Fresh,
}

impl State {
    /// All of them, the most urgent first.
    pub(in crate::web) const ALL: [Self; 12] = [
        Self::Critical,
        Self::Stale,
        Self::NeverRead,
        Self::Refused,
        Self::Throttled,
        Self::BackingOff,
        Self::Low,
        Self::Held,
        Self::Queued,
        Self::Polling,
        Self::NotPolled,
        Self::Fresh,
    ];

    /// As it stands in an address and in JSON.
    pub(in crate::web) const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Stale => "stale",
            Self::NeverRead => "never_read",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::BackingOff => "backing_off",
            Self::Low => "low",
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Polling => "polling",
            Self::NotPolled => "not_polled",
            Self::Fresh => "fresh",
        }
    }

    /// For people.
    pub(in crate::web) const fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Stale => "stale",
            Self::NeverRead => "never read",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::BackingOff => "backing off",
            Self::Low => "low",
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Polling => "being polled",
            Self::NotPolled => "not polled yet",
            Self::Fresh => "fresh",
        }
    }

    /// What it means, and what happens next.
    pub(in crate::web) const fn meaning(self) -> &'static str {
        match self {
            Self::Critical => "What can be spent in a wallet is below its critical level: payments are about to fail.",
            Self::Stale => {
                "The last reading is older than stale_after allows. Its amounts are withdrawn, since nobody can vouch \
                 for them: unknown, not zero."
            }
            Self::NeverRead => "It was polled, but no poll has brought a balance yet.",
            Self::Refused => {
                "The provider refused the credentials or the request several times. It is left alone until the time \
                 shown, since more tries could lock the credentials. Mend what the last failure says."
            }
            Self::Throttled => {
                "The provider asked to slow down. Nothing at all is sent to it until the time shown; there is nothing \
                 to do but wait."
            }
            Self::BackingOff => {
                "The last poll failed. It is tried again by itself: soon at first, then less and less often. The last \
                 reading stays until it is stale."
            }
            Self::Low => "What can be spent in a wallet is below its warning level: top it up.",
            Self::Held => {
                "The last reading is so far from the one before that it is shown only when the next one confirms it \
                 (hold_jump_over)."
            }
            Self::Queued => "Its request waits for a free place in the provider's limit.",
            Self::Polling => "It is being asked right now.",
            Self::NotPolled => "The exporter has just started, or the account is new: its first poll has not ended.",
            Self::Fresh => "The reading is young enough to be relied on.",
        }
    }

    /// How bad it is.
    pub(in crate::web) const fn tone(self) -> Tone {
        match self {
            Self::Critical => Tone::Bad,
            Self::Stale => Tone::Bad,
            Self::NeverRead => Tone::Bad,
            Self::Refused => Tone::Bad,
            Self::Throttled => Tone::Note,
            Self::BackingOff => Tone::Note,
            Self::Low => Tone::Note,
            Self::Held => Tone::Note,
            Self::Queued => Tone::Plain,
            Self::Polling => Tone::Plain,
            Self::NotPolled => Tone::Plain,
            Self::Fresh => Tone::Good,
        }
    }
}

/// How bad a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Tone {
    Bad,
    Note,
    Plain,
    Good,
}

/// The states of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct States(u16);

impl States {
    /// Those of an account at `now`. `throttled` is whether its provider asked to slow down.
    pub(in crate::web) fn of(status: &AccountStatus, throttled: bool, now: &Now) -> Self {
        let mut found = Self::default();
        match (status.fresh(now), &status.snapshot) {
            (Some(_), _) => found.add(State::Fresh),
            (None, Some(_)) => found.add(State::Stale),
            (None, None) if status.attempted() => found.add(State::NeverRead),
            (None, None) => found.add(State::NotPolled),
        }
        match level(status, now) {
            Some(Severity::Critical) => found.add(State::Critical),
            Some(Severity::Warning) => found.add(State::Low),
            None => {}
        }
        if status.held.is_some() {
            found.add(State::Held);
        }
        match status.progress {
            Progress::Resting => {}
            Progress::Queued => found.add(State::Queued),
            Progress::Asking => found.add(State::Polling),
        }
        if throttled {
            found.add(State::Throttled);
        }
        if status.attempted() && !status.poll_success {
            match status.cause {
                Cause::Refused => found.add(State::Refused),
                Cause::Throttled => found.add(State::Throttled),
                // that it failed is no news then
                Cause::Interval | Cause::Retry | Cause::Backoff | Cause::Limit if throttled => {}
                Cause::Interval | Cause::Retry | Cause::Backoff | Cause::Limit => found.add(State::BackingOff),
            }
        }
        found
    }

    const fn add(&mut self, state: State) {
        self.0 |= 1 << state as u16;
    }

    /// Whether it is in this one.
    pub(in crate::web) const fn has(self, state: State) -> bool {
        self.0 & (1 << state as u16) != 0
    }

    /// The most urgent first.
    pub(in crate::web) fn iter(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| self.has(*state))
    }

    /// Whether somebody should look. Of a provider that asked to slow down there is nothing to do but wait.
    pub(in crate::web) const fn want_attention(self) -> bool {
        let waits = 1 << State::Throttled as u16 | UNREMARKABLE;
        self.0 & !waits != 0
    }

    /// Whether its balance is known and not critical.
    pub(in crate::web) const fn are_well(self) -> bool {
        self.has(State::Fresh) && !self.has(State::Critical)
    }

    /// The smaller, the more urgent: the worst states count first.
    pub(in crate::web) const fn urgency(self) -> u16 {
        // whose turn it is just now must not make accounts change places
        let moving = 1 << State::Queued as u16 | 1 << State::Polling as u16;
        !(self.0 & !moving).reverse_bits()
    }
}

/// What nobody needs to look at.
const UNREMARKABLE: u16 =
    1 << State::Queued as u16 | 1 << State::Polling as u16 | 1 << State::NotPolled as u16 | 1 << State::Fresh as u16;

/// The worst level that the account is below, as far as that is known.
fn level(status: &AccountStatus, now: &Now) -> Option<Severity> {
    let balances = status.fresh(now)?.reading().balances();
    balances.iter().filter_map(|balance| Levels::of(&status.config, balance).below(balance.spendable()?)).max()
}
