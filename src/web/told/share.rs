//! How far a balance is from its thresholds, in parts of a thousand: what a bar shows, and what is sorted by.

use crate::account::{Balance, Wallet};
use crate::board::AccountStatus;
use crate::clock::Now;
use crate::config::{AccountConfig, Severity};
use crate::money::{Amount, Currency};

/// The levels of one wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Levels {
    pub(in crate::web) warning: Option<Amount>,
    pub(in crate::web) critical: Option<Amount>,
}

impl Levels {
    /// Those that are configured for the wallet of this balance.
    pub(in crate::web) fn of(config: &AccountConfig, balance: &Balance) -> Self {
        Self::of_wallet(config, balance.wallet, &balance.currency)
    }

    /// Those that are configured for a wallet.
    pub(in crate::web) fn of_wallet(config: &AccountConfig, wallet: Wallet, currency: &Currency) -> Self {
        let of_this = config.thresholds.iter().filter(|t| t.wallet == wallet && t.currency == *currency);
        let level = |severity| of_this.clone().find(|t| t.severity == severity).map(|t| t.amount);
        Self { warning: level(Severity::Warning), critical: level(Severity::Critical) }
    }

    /// The worst level that `spendable` is below.
    pub(in crate::web) fn below(&self, spendable: Amount) -> Option<Severity> {
        if self.critical.is_some_and(|level| spendable < level) {
            Some(Severity::Critical)
        } else if self.warning.is_some_and(|level| spendable < level) {
            Some(Severity::Warning)
        } else {
            None
        }
    }

    /// The highest, if there is one that is not zero or less.
    fn highest(&self) -> Option<Amount> {
        self.warning.max(self.critical).filter(|level| *level > Amount::ZERO)
    }

    /// The lengths that a bar needs, in thousandths of it; none without levels. A bar ends at twice the highest level,
    /// so that what is enough fills at least half of it.
    pub(in crate::web) fn bar(&self, spendable: Amount) -> Option<Bar> {
        let highest = self.highest()?;
        let length = |amount: Amount| (thousandths(amount, highest) / 2).clamp(0, 1_000);
        Some(Bar { filled: length(spendable), warning: self.warning.map(length), critical: self.critical.map(length) })
    }
}

/// A bar, in thousandths of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct Bar {
    pub(in crate::web) filled: i64,
    pub(in crate::web) warning: Option<i64>,
    pub(in crate::web) critical: Option<i64>,
}

/// How many thousandths of `whole` a part is.
fn thousandths(part: Amount, whole: Amount) -> i64 {
    let (part, whole) = (i128::from(part.hundredths()), i128::from(whole.hundredths()).max(1));
    let parts = part * 1_000 / whole;
    i64::try_from(parts).unwrap_or(if parts < 0 { i64::MIN } else { i64::MAX })
}

/// What the account that is nearest to a threshold sorts first by; none if it has none or is not known.
pub(in crate::web) fn nearest(status: &AccountStatus, now: &Now) -> Option<i64> {
    let balances = status.fresh(now)?.reading().balances();
    let share =
        |balance: &Balance| Some(thousandths(balance.spendable()?, Levels::of(&status.config, balance).highest()?));
    balances.iter().filter_map(share).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::sample::amount;

    #[test]
    fn a_bar_ends_at_twice_the_highest_level() {
        let levels = |warning: Option<&str>, critical: Option<&str>| Levels {
            warning: warning.map(amount),
            critical: critical.map(amount),
        };
        let bar = |filled, warning, critical| Some(Bar { filled, warning, critical });
        for (warning, critical, spendable, expected) in [
            (None, None, "5", None),
            (Some("0"), None, "5", None),
            (Some("100"), Some("50"), "0", bar(0, Some(500), Some(250))),
            (Some("100"), Some("50"), "-7", bar(0, Some(500), Some(250))),
            (Some("100"), Some("50"), "100", bar(500, Some(500), Some(250))),
            (Some("100"), Some("50"), "1000000", bar(1_000, Some(500), Some(250))),
            (None, Some("0.50"), "0.25", bar(250, None, Some(500))),
            (Some("999999999999999"), None, "999999999999999.99999999", bar(500, Some(500), None)),
            (Some("0.00000001"), None, "999999999999999", bar(1_000, Some(0), None)),
        ] {
            assert_eq!(
                levels(warning, critical).bar(amount(spendable)),
                expected,
                "{warning:?} {critical:?} {spendable}"
            );
        }
    }

    #[test]
    fn the_worst_level_counts() {
        let levels = Levels { warning: Some(amount("100")), critical: Some(amount("0.50")) };
        for (spendable, below) in [
            ("100", None),
            ("99.99999999", Some(Severity::Warning)),
            ("0.50", Some(Severity::Warning)),
            ("0.49999999", Some(Severity::Critical)),
            ("-1", Some(Severity::Critical)),
        ] {
            assert_eq!(levels.below(amount(spendable)), below, "{spendable}");
        }
    }
}
