//! A reading with its age: the one thing that can be filed as a good outcome.

use crate::clock::Now;
use crate::config::AccountConfig;
use crate::failure::{ErrorReason, Failure};
use crate::providers::Reading;

/// A reading of an account, and the moment its first request began, from which its age counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    reading: Reading,
    taken: Now,
}

impl Snapshot {
    /// A reading of the wallets that the account announced, no more and no fewer: thresholds and alerts are about
    /// those.
    pub fn of(config: &AccountConfig, reading: Reading, taken: Now) -> Result<Self, Failure> {
        let read = reading.balances().iter().map(|balance| (balance.wallet, &balance.currency));
        if read.eq(config.wallets.iter().map(|(wallet, currency)| (*wallet, currency))) {
            return Ok(Self { reading, taken });
        }
        Err(Failure::new(ErrorReason::Internal, "the adapter read other wallets than it announced; this is a bug"))
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
