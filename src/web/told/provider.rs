//! A provider entry as it is told to people and their programs: its limit, and how much of it is used.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::board::ProviderStatus;
use crate::clock::Now;

/// What is known of a provider entry.
#[expect(clippy::struct_field_names, reason = "as the label is called")]
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Provider {
    /// The label `provider`.
    pub(in crate::web) provider: String,
    /// The windows of its limit, which all hold at once.
    pub(in crate::web) limit: Vec<Window>,
    /// Until when nothing is sent because the provider asked for that; null if it did not.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(in crate::web) throttled_until: Option<Timestamp>,
    /// Requests sent, logins and retries included.
    pub(in crate::web) requests: u64,
    /// When the current session ends, of a provider that logs in.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(in crate::web) session_expires: Option<Timestamp>,
}

/// At most so many requests in any span of that length.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Window {
    /// How many are allowed.
    pub(in crate::web) requests: u32,
    /// How many count now: sent within the span, or on their way.
    pub(in crate::web) used: u32,
    /// The length of the span.
    pub(in crate::web) seconds: f64,
    #[serde(skip)]
    pub(in crate::web) per: std::time::Duration,
}

impl Window {
    /// How much of it is used, in thousandths.
    pub(in crate::web) fn used_permille(&self) -> u64 {
        u64::from(self.used) * 1_000 / u64::from(self.requests).max(1)
    }
}

impl Provider {
    /// The window that is used the most; of equals the first.
    pub(in crate::web) fn tightest(&self) -> Option<&Window> {
        self.limit.iter().rev().max_by_key(|window| window.used_permille())
    }

    pub(in crate::web) fn of(status: &ProviderStatus, now: &Now) -> Self {
        let window = |(requests, per, left): (u32, std::time::Duration, u32)| Window {
            requests,
            used: requests.saturating_sub(left),
            seconds: per.as_secs_f64(),
            per,
        };
        Self {
            provider: status.name.to_string(),
            limit: status.windows(now).into_iter().map(window).collect(),
            throttled_until: status.paused_until(now),
            requests: status.counts.requests,
            session_expires: status.session_expiry,
        }
    }
}
