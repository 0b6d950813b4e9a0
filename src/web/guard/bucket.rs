//! How many requests are answered in which time: a bucket that fills by one each interval.

use std::time::Duration;

use crate::clock::BootTime;

/// The settings of a bucket, and the time by which it will be full again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) interval: Duration,
    pub(super) burst: u32,
    full_at: BootTime,
}

impl Bucket {
    /// A full one.
    pub(super) const fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: BootTime::from_boot(Duration::ZERO) }
    }

    /// Takes one out, if there is one.
    pub(super) fn take(&mut self, now: BootTime) -> bool {
        let room = self.interval.saturating_mul(self.burst);
        let full_at = self.full_at.max(now) + self.interval;
        let fits = full_at.since(now) <= room;
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_at_once_and_one_each_interval() {
        let at = |ms| BootTime::from_boot(Duration::from_millis(ms));
        let mut bucket = Bucket::new(Duration::from_millis(100), 2);
        for (ms, expected) in [
            (1_000, true),
            (1_000, true),
            (1_000, false),
            (1_099, false),
            (1_100, true),
            (1_100, false),
            (9_000, true),
            (9_000, true),
            (9_000, false),
        ] {
            assert_eq!(bucket.take(at(ms)), expected, "{ms}");
        }
    }
}
