//! When and on which boot something was written: without that its times mean nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{BootTime, Now};

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

    /// The clocks as they were; none if no clock can have been so.
    pub(super) fn now(&self) -> Option<Now> {
        let wall = Timestamp::from_millisecond(self.wall_ms).ok()?;
        Some(Now { boot: BootTime::from_boot(Duration::from_millis(self.boot_ms)), wall })
    }

    /// When something happened so many milliseconds after the boot. What happened before this boot happened, for all
    /// we can prove, as it began: the other clock may have been set in between. What another machine did while this one
    /// was up may have happened just now.
    pub(super) fn time(&self, ms: u64, boot: &str, now: &Now) -> BootTime {
        let booted = now.wall_at(BootTime::default());
        if self.is_of(boot) {
            BootTime::from_boot(Duration::from_millis(ms))
        } else if self.wall_ms > booted.as_millisecond() {
            now.boot
        } else {
            BootTime::default()
        }
    }

    /// True if it was written since this machine booted: then times since boot are the same clock's.
    pub(super) fn is_of(&self, boot: &str) -> bool {
        // a machine that does not say which boot this is may have booted since
        !boot.is_empty() && self.boot == boot
    }
}
