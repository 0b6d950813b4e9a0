//! How often and how long: what is left out, what is possible, and what fits together.

use std::time::Duration;

use humantime::format_duration;

use super::number::Factor;
use super::raw::Pace;
use super::span::Span;
use crate::document::{Path, Problem};
use crate::money::Amount;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The interval if none is given.
const INTERVAL: Duration = MINUTE;
/// The timeout if none is given.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The age at which a balance is withdrawn if none is given.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);

/// The shortest interval.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);
/// The longest interval.
pub(super) const LONGEST_INTERVAL: Duration = DAY;

impl Pace {
    /// What is left out, from `defaults`.
    pub(super) fn or(self, defaults: Self) -> Self {
        Self {
            interval: self.interval.or(defaults.interval),
            timeout: self.timeout.or(defaults.timeout),
            stale_after: self.stale_after.or(defaults.stale_after),
            hold_jump_over: self.hold_jump_over.or(defaults.hold_jump_over),
        }
    }

    pub(super) fn interval(self) -> Duration {
        self.interval.map_or(INTERVAL, Span::get)
    }

    pub(super) fn timeout(self) -> Duration {
        self.timeout.map_or(TIMEOUT, Span::get)
    }

    pub(super) fn stale_after(self) -> Duration {
        self.stale_after.map_or(STALE_AFTER, Span::get)
    }

    pub(super) fn hold_jump_over(self) -> Option<Amount> {
        self.hold_jump_over.map(Factor::get)
    }
}

/// What is wrong with what is written at `path`, which with its defaults is `whole`.
pub(super) fn problems(written: Pace, whole: Pace, path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, span, least, most, wanted) in [
        ("interval", written.interval, SHORTEST_INTERVAL, LONGEST_INTERVAL, "expected 5s to 24h"),
        ("timeout", written.timeout, SECOND, MINUTE, "expected 1s to 60s"),
        ("stale_after", written.stale_after, SECOND, 7 * DAY, "expected at most 7d"),
    ] {
        if span.is_some_and(|span| span.get() < least || span.get() > most) {
            problems.push(Problem::of(path.key(key), wanted));
        }
    }
    // a reading that is held must be confirmed before the one that is shown goes
    let polls = if whole.hold_jump_over.is_some() { 2 } else { 1 };
    let fitting = whole.interval().saturating_mul(polls).saturating_add(whole.timeout());
    let blamed = [("stale_after", written.stale_after), ("interval", written.interval), ("timeout", written.timeout)];
    let blamed = blamed.into_iter().find(|(_, span)| span.is_some()).map(|(key, _)| key);
    let blamed = blamed.or(written.hold_jump_over.map(|_| "hold_jump_over"));
    if let (true, Some(key)) = (problems.is_empty() && whole.stale_after() < fitting, blamed) {
        let sum =
            if polls == 1 { "interval + timeout are" } else { "with hold_jump_over 2 × interval + timeout are 2 ×" };
        let message = format!(
            "stale_after is {}, but {sum} {} + {}: stale_after must be at least {}",
            format_duration(whole.stale_after()),
            format_duration(whole.interval()),
            format_duration(whole.timeout()),
            format_duration(fitting),
        );
        problems.push(Problem::of(path.key(key), message));
    }
    problems
}
