//! The one file that asks the operating system what time it is.
//!
//! Everything else is told: pure code takes [`Now`] as an argument, the loops hold a [`Clock`].

use std::fmt;
use std::ops::Add;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

/// Time since the machine booted, suspended time included (Linux `CLOCK_BOOTTIME`).
///
/// Deadlines and ages are kept in it, because it never jumps and does not stop in suspend as
/// `std::time::Instant` does. Kept by the nanosecond, for 584 years: a fleet has very many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(u64);

impl BootTime {
    /// The instant that lies `since_boot` after boot.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(nanos(since_boot))
    }

    /// How long after boot this is.
    pub const fn since_boot(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

const fn nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    #[expect(clippy::cast_possible_truncation, reason = "it fits, as the comparison says")]
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines and ages.
    pub boot: BootTime,
    /// For signatures and for people. It can be stepped either way at any moment.
    pub wall: Timestamp,
}

impl Now {
    /// How old something is that happened at `then`: the larger of what the two clocks say.
    ///
    /// A suspended machine or a clock set back must not make an old balance look young.
    pub fn age_of(&self, then: &Self) -> Duration {
        let by_wall = Duration::try_from(self.wall.duration_since(then.wall)).unwrap_or_default();
        self.boot.since(then.boot).max(by_wall)
    }

    /// What the boot clock will show when the wall clock shows `at`, if nobody steps that one; now if it has done so.
    pub fn boot_at(&self, at: Timestamp) -> BootTime {
        self.boot + Duration::try_from(at.duration_since(self.wall)).unwrap_or_default()
    }

    /// What the wall clock will show at `at`, if nobody steps it.
    pub fn wall_at(&self, at: BootTime) -> Timestamp {
        let shifted = if at >= self.boot {
            self.wall.checked_add(at.since(self.boot))
        } else {
            self.wall.checked_sub(self.boot.since(at))
        };
        shifted.unwrap_or(self.wall)
    }
}

/// Where the loops get the time from: the system, or the hand of a test.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// A timer of the kernel that goes by this clock, if there is one.
    fn timer(&self) -> Option<OwnedFd> {
        None
    }

    /// For how long a sleep may last before this clock is asked again: the runtime's timers stop while the machine is
    /// suspended, and this clock does not.
    fn longest_nap(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Now {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let boot = Duration::try_from(boot).unwrap_or_default();
        Now { boot: BootTime::from_boot(boot), wall: Timestamp::now() }
    }

    fn timer(&self) -> Option<OwnedFd> {
        timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC).ok()
    }
}

/// Time since boot without suspended time, which is how systemd orders messages. Nothing else is measured by it.
pub fn monotonic() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(boot_secs: u64, wall_secs: i64) -> Now {
        Now {
            boot: BootTime::from_boot(Duration::from_secs(boot_secs)),
            wall: Timestamp::from_second(wall_secs).unwrap(),
        }
    }

    #[test]
    fn age_is_the_largest_of_the_clocks() {
        let then = now(100, 1_000_000);
        for (case, later, age) in [
            ("both agree", now(160, 1_000_060), 60),
            ("wall clock set back", now(160, 900_000), 60),
            ("wall clock set forward", now(160, 1_003_600), 3600),
            ("machine suspended, wall clock right", now(28_900, 1_028_800), 28_800),
            ("rebooted", now(5, 1_000_300), 300),
            ("both back", now(50, 999_000), 0),
        ] {
            assert_eq!(later.age_of(&then).as_secs(), age, "{case}");
        }
    }

    #[test]
    fn what_lies_beyond_all_time_is_its_end() {
        let end = BootTime::from_boot(Duration::MAX);
        assert_eq!(end.since_boot().as_secs() / (365 * 24 * 3600), 584);
        assert_eq!((end + Duration::from_nanos(1), BootTime::default() + Duration::MAX), (end, end));
        assert_eq!(BootTime::default().since(end), Duration::ZERO);
    }

    #[test]
    fn boot_time_moves_forward() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert!(second.boot >= first.boot);
        assert!(first.boot.since_boot() > Duration::ZERO);
    }

    #[test]
    fn wall_at_follows_the_boot_clock() {
        let here = now(100, 1_000);
        assert_eq!(here.wall_at(here.boot + Duration::from_secs(30)).as_second(), 1_030);
        assert_eq!(here.wall_at(BootTime::from_boot(Duration::from_secs(40))).as_second(), 940);
    }
}
