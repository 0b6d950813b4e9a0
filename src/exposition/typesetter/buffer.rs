//! Memory that is kept as long as somebody needs it now and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::BootTime;

/// What nobody has needed for so long is given back: somebody looked once …
const KEPT: Duration = Duration::from_secs(10);
/// … unless it is used regularly. Then it is kept for so many times as long as it was not needed last time …
const PER_PAUSE: u32 = 3;
/// … but no longer than this.
const KEPT_AT_MOST: Duration = Duration::from_secs(5 * 60);

/// When something was needed.
#[derive(Debug, Default)]
pub(super) struct Demand {
    last: Option<BootTime>,
    /// From the time before to that.
    pause: Duration,
}

impl Demand {
    /// It is needed.
    pub(super) fn rises(&mut self, now: BootTime) {
        self.pause = self.last.map_or(Duration::ZERO, |last| now.since(last));
        self.last = Some(now);
    }

    /// True if it was needed once, and nobody has needed it for long.
    pub(super) fn is_over(&self, now: BootTime) -> bool {
        let kept = self.pause.saturating_mul(PER_PAUSE).clamp(KEPT, KEPT_AT_MOST);
        self.last.is_some_and(|last| now.since(last) > kept)
    }
}

/// A buffer that is used again: to be given new memory by the system costs more than to fill it.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Arc<Mutex<Home>>);

#[derive(Debug, Default)]
struct Home {
    buffer: Option<Vec<u8>>,
    demand: Demand,
}

/// A buffer that others read, and that comes home when the last of them is done.
struct Lent {
    bytes: Vec<u8>,
    home: Buffer,
}

impl Buffer {
    /// It, if it is at home, or a new one. It is empty.
    pub(super) fn fetch(&self, now: BootTime) -> Vec<u8> {
        let mut home = self.home();
        home.demand.rises(now);
        let mut buffer = home.buffer.take().unwrap_or_default();
        buffer.clear();
        buffer
    }

    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }

    /// Gives its memory back to the system, if nobody has needed it for long.
    pub(super) fn give_back(&self, now: BootTime) {
        let mut home = self.home();
        if home.demand.is_over(now) {
            home.buffer = None;
        }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut home = self.home.home();
        home.buffer.get_or_insert_with(|| std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::sample::at;

    fn now(seconds: u64) -> BootTime {
        at(seconds).boot
    }

    #[test]
    fn a_buffer_comes_home_and_goes_when_nobody_needs_it() {
        let buffer = Buffer::default();
        let mut bytes = buffer.fetch(now(0));
        bytes.reserve(1_000);
        let place = bytes.as_ptr();
        let (lent, copy) = (buffer.lend(bytes), buffer.lend(Vec::new()).clone());
        drop((lent, copy));
        let again = buffer.fetch(now(1));
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        drop(buffer.lend(again));
        buffer.give_back(now(11));
        assert!(buffer.home().buffer.is_some());
        buffer.give_back(now(12));
        assert!(buffer.home().buffer.is_none());
    }

    #[test]
    fn what_is_needed_now_and_then_is_kept_in_between() {
        let mut demand = Demand::default();
        assert!(!demand.is_over(now(5)), "it was never needed, and there is nothing to give back");
        for (first, second, most) in [(1_000, 1_060, 180), (2_000, 3_000, 300), (4_000, 4_000, 10)] {
            demand.rises(now(first));
            demand.rises(now(second));
            assert!(!demand.is_over(now(second + most)) && demand.is_over(now(second + most + 1)), "{second}");
        }
    }
}
