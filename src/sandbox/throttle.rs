//! How often a provider lets itself be asked: a sliding window over what really arrived.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::BootTime;

/// At most this many requests in any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub requests: u32,
    /// In how long.
    pub per: Duration,
}

impl Window {
    /// At most `requests` in any span of `per`.
    pub const fn new(requests: u32, per: Duration) -> Self {
        Self { requests, per }
    }
}

/// Counts arrivals, refused ones included, and says which are too many.
///
/// There are more than N arrivals in a window exactly if the N-th last one is still inside it, so as many
/// stamps as the largest window allows requests are all that is kept.
#[derive(Debug)]
pub(super) struct Throttle {
    windows: Vec<Window>,
    /// Youngest first.
    stamps: VecDeque<BootTime>,
    kept: usize,
}

impl Throttle {
    /// All of `windows` hold at once; none means no limit.
    pub(super) fn new(windows: Vec<Window>) -> Self {
        let most = windows.iter().map(|window| window.requests).max().unwrap_or(0);
        Self { windows, stamps: VecDeque::new(), kept: usize::try_from(most).unwrap_or(usize::MAX) }
    }

    /// The windows that hold.
    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Counts one arrival. The window it is too many for, if any.
    pub(super) fn arrive(&mut self, now: BootTime) -> Option<Window> {
        let broken = self.windows.iter().copied().find(|window| {
            let Some(nth_last) = (window.requests as usize).checked_sub(1) else { return true };
            self.stamps.get(nth_last).is_some_and(|earlier| now.since(*earlier) < window.per)
        });
        self.stamps.push_front(now);
        self.stamps.truncate(self.kept);
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> BootTime {
        BootTime::from_boot(Duration::from_millis(millis))
    }

    #[test]
    fn the_window_slides() {
        let mut throttle = Throttle::new(vec![Window::new(2, Duration::from_secs(1))]);
        let over: Vec<_> =
            [0, 500, 999, 1_000, 1_500, 1_998, 1_999, 2_998].map(|t| throttle.arrive(at(t)).is_some()).into();
        assert_eq!(over, [false, false, true, true, true, true, true, false]);
    }

    #[test]
    fn every_window_holds() {
        let minute = Window::new(3, Duration::from_secs(60));
        let second = Window::new(1, Duration::from_secs(1));
        let mut throttle = Throttle::new(vec![minute, second]);
        let broken = [0, 900, 2_000, 3_000].map(|t| throttle.arrive(at(t)));
        assert_eq!(broken, [None, Some(second), None, Some(minute)]);
        assert!(Throttle::new(vec![Window::new(0, Duration::from_secs(1))]).arrive(at(0)).is_some());
        assert_eq!(Throttle::new(Vec::new()).arrive(at(0)), None);
    }

    proptest! {
        #[test]
        fn agrees_with_counting_everything(gaps in proptest::collection::vec(0_u64..400, 1..60), n in 1_u32..8) {
            let window = Window::new(n, Duration::from_secs(1));
            let mut throttle = Throttle::new(vec![window]);
            let mut all: Vec<u64> = Vec::new();
            for gap in gaps {
                let now = all.last().copied().unwrap_or(0) + gap;
                all.push(now);
                let counted = all.iter().filter(|then| now - **then < 1_000).count();
                prop_assert_eq!(throttle.arrive(at(now)).is_some(), counted > n as usize);
                prop_assert!(throttle.stamps.len() <= n as usize);
            }
        }
    }
}
