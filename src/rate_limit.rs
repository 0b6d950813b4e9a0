//! Promises to providers about what arrives there.

use std::time::Duration;

/// One window of a quota: at most `requests` in any span of length `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub requests: u32,
    /// In any span of this length.
    pub per: Duration,
}

/// A promise to a provider: every window holds at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// All of them.
    pub windows: Vec<Window>,
}
