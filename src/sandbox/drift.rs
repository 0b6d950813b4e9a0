//! How balances live: spent bit by bit, refilled at once; a pure function of the seed and the time.

use std::time::Duration;

use fastrand::Rng;

/// A balance that wanders from one level to another in steps of chance, then starts over.
///
/// Downwards it is an account that pays out and is topped up; upwards one that collects and is swept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift {
    /// Where each round starts, in minor units.
    pub(super) from: u64,
    /// Where it is about to end.
    pub(super) to: u64,
    /// How many seconds a round lasts. At most [`LONGEST_ROUND`], since each look replays the round so far.
    pub(super) round: u64,
    /// How many seconds of the first round are already over at the start.
    pub(super) phase: u64,
}

/// What a look at a balance may cost, in steps.
const LONGEST_ROUND: u64 = 3_600;

impl Drift {
    /// The balance in minor units after `elapsed`; it changes once a second.
    pub(super) fn units(&self, seed: u64, elapsed: Duration) -> u64 {
        let round = self.round.clamp(1, LONGEST_ROUND);
        let second = elapsed.as_secs().saturating_add(self.phase);
        let mean = self.from.abs_diff(self.to) / round;
        // spreads neighbouring rounds over the generator's seeds
        let mut rng = Rng::with_seed(seed ^ (second / round).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let moved: u64 = (0..second % round).map(|_| rng.u64(0..=2 * mean)).sum();
        if self.from >= self.to { self.from.saturating_sub(moved) } else { self.from.saturating_add(moved) }
    }
}

/// The seed of one pot of the world with `seed`.
pub(super) fn seed_of(seed: u64, account: &str, wallet: &str) -> u64 {
    // FNV-1a: fixed, unlike the standard library's hashes
    let bytes = account.bytes().chain([0]).chain(wallet.bytes());
    seed ^ bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYOUTS: Drift = Drift { from: 6_000_000, to: 600_000, round: 180, phase: 0 };
    const COLLECTION: Drift = Drift { from: 0, to: 900_000, round: 300, phase: 120 };

    #[test]
    fn payouts_drain_and_a_top_up_refills() {
        for seed in 0..50 {
            let units = |second| PAYOUTS.units(seed, Duration::from_secs(second));
            assert_eq!(units(0), 6_000_000);
            assert!((1..180).all(|second| units(second) <= units(second - 1)));
            assert!(units(179) < 2_500_000, "seed {seed}: {}", units(179));
            assert_eq!(units(180), 6_000_000);
            assert_ne!(units(179), units(359), "rounds differ");
        }
    }

    #[test]
    fn collections_rise_and_are_swept() {
        let units = |second| COLLECTION.units(7, Duration::from_secs(second));
        assert!(units(0) > 0 && units(100) > units(0));
        assert_eq!(units(180), 0);
    }

    #[test]
    fn equal_seeds_make_equal_worlds() {
        let at = |seed, millis| PAYOUTS.units(seed, Duration::from_millis(millis));
        assert_eq!(at(1, 90_000), at(1, 90_999));
        assert_ne!(at(1, 90_000), at(2, 90_000));
        assert_ne!(seed_of(1, "a", "bc"), seed_of(1, "ab", "c"));
        let centuries = Duration::from_secs(u64::MAX);
        assert!(PAYOUTS.units(1, centuries) <= 6_000_000);
    }
}
