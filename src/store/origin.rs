//! When and on which boot something was written: without that its times mean nothing.

use serde::{Deserialize, Serialize};

use crate::clock::Now;

/// The clocks at the time of writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Which boot of which machine.
    boot: String,
    /// Milliseconds since it.
    pub(super) boot_ms: u64,
    /// Milliseconds since 1970, by the wall clock.
    pub(super) wall_ms: i64,
}

impl Origin {
    pub(super) fn new(boot: &str, now: &Now) -> Self {
        Self {
            boot: boot.to_owned(),
            boot_ms: u64::try_from(now.boot.since_boot().as_millis()).unwrap_or(u64::MAX),
            wall_ms: now.wall.as_millisecond(),
        }
    }

    /// True if it was written since this machine booted: then times since boot are the same clock's.
    pub(super) fn is_of(&self, boot: &str) -> bool {
        // a machine that does not say which boot this is may have booted since
        !boot.is_empty() && self.boot == boot
    }
}
