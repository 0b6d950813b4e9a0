//! A reading with its age: the one thing that can be filed as a good outcome.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{BootTime, Now};
use crate::config::AccountConfig;
use crate::failure::{ErrorReason, Failure};
use crate::providers::Reading;

/// A reading of an account, and the moment its first request began, from which its age counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    reading: Reading,
    taken: Now,
    /// How old it was when the machine booted, if it is from before that.
    age_at_boot: Duration,
}

impl Snapshot {
    /// A reading of the wallets that the account announced, no more and no fewer: thresholds and alerts are about
    /// those.
    pub fn of(config: &AccountConfig, reading: Reading, taken: Now) -> Result<Self, Failure> {
        let read = reading.balances().iter().map(|balance| (balance.wallet, &balance.currency));
        if read.eq(config.wallets.iter().map(|(wallet, currency)| (*wallet, currency))) {
            return Ok(Self { reading, taken, age_at_boot: Duration::ZERO });
        }
        Err(Failure::new(ErrorReason::Internal, "the adapter read other wallets than it announced; this is a bug"))
    }

    /// The same from before the machine booted, when it was this old already.
    pub(super) fn aged(self, age_at_boot: Duration) -> Self {
        Self { age_at_boot, ..self }
    }

    /// How old it was when the machine booted; zero if it was taken since.
    pub(super) const fn age_at_boot(&self) -> Duration {
        self.age_at_boot
    }

    /// How old it is. What it was at the boot cannot be undone by setting the wall clock back.
    pub fn age(&self, now: &Now) -> Duration {
        let before = if self.age_at_boot.is_zero() { Duration::ZERO } else { self.age_at_boot + now.boot.since_boot() };
        now.age_of(&self.taken).max(before)
    }

    /// The last instants, one on each clock, at which its age is not above `limit`: it is above it once either clock has
    /// gone on. `None` if it always is. This is [`age`](Self::age) from the other side.
    pub fn vouched_until(&self, limit: Duration) -> Option<(BootTime, Timestamp)> {
        let mut boot = self.taken.boot + limit;
        if !self.age_at_boot.is_zero() {
            boot = boot.min(BootTime::from_boot(limit.checked_sub(self.age_at_boot)?));
        }
        Some((boot, self.taken.wall.checked_add(limit).unwrap_or(Timestamp::MAX)))
    }

    /// What was read.
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// When the poll began.
    pub const fn taken(&self) -> &Now {
        &self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Balance, Wallet};
    use crate::exposition::sample;
    use crate::money::{Amount, Currency};

    #[test]
    fn only_what_was_announced_is_a_snapshot() {
        let config = sample::config("p", "a");
        let balance = |wallet, currency| Balance {
            available: Some(Amount::ZERO),
            ..Balance::empty(wallet, Currency::parse(currency).unwrap())
        };
        let sms = Wallet::new("sms");
        for (balances, sound) in [
            (vec![balance(Wallet::MAIN, "AED")], true),
            (vec![balance(Wallet::MAIN, "USD")], false),
            (vec![balance(sms, "AED")], false),
            (vec![balance(Wallet::MAIN, "AED"), balance(sms, "AED")], false),
        ] {
            let snapshot = Snapshot::of(&config, Reading::pretended(balances, Vec::new()), sample::at(0));
            assert_eq!(snapshot.map_err(|failure| failure.reason).err(), (!sound).then_some(ErrorReason::Internal));
        }
    }
}
