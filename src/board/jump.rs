//! Whether a reading is so far from another that a second one must confirm it.

use crate::account::Balance;
use crate::money::Amount;
use crate::providers::Reading;

/// True if what can be spent in a wallet is more than `factor` times what it was, or less than that part of it. From
/// or to zero, and from one side of it to the other, is further than any factor.
pub(super) fn is_jump(before: &Reading, after: &Reading, factor: Amount) -> bool {
    after.balances().iter().any(|balance| {
        let same = |other: &&Balance| other.wallet == balance.wallet && other.currency == balance.currency;
        let earlier = before.balances().iter().find(same).and_then(Balance::spendable);
        earlier.zip(balance.spendable()).is_some_and(|(earlier, later)| is_beyond(earlier, later, factor))
    })
}

fn is_beyond(one: Amount, other: Amount, factor: Amount) -> bool {
    if one == other {
        return false;
    }
    if one.is_negative() != other.is_negative() {
        return true;
    }
    let (small, large) = if one.magnitude() < other.magnitude() { (one, other) } else { (other, one) };
    // what is too large to multiply is no reason to believe it
    small.magnitude().checked_mul(factor).is_none_or(|most| large.magnitude() > most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_up_or_down_is_the_most_that_is_believed_at_once() {
        let amount = |text| Amount::parse(text).unwrap();
        for (one, other, factor, beyond) in [
            ("100", "100", "10", false),
            ("100", "1000", "10", false),
            ("100", "1000.00000001", "10", true),
            ("100", "10", "10", false),
            ("100", "9.99999999", "10", true),
            ("100", "150", "1.5", false),
            ("100", "150.01", "1.5", true),
            ("100", "66.67", "1.5", false),
            ("100", "66.66", "1.5", true),
            ("-100", "-1000", "10", false),
            ("-100", "-1001", "10", true),
            ("-100", "-9", "10", true),
            ("0", "0.00", "10", false),
            ("0", "0.01", "1000000", true),
            ("-5", "5", "1000000", true),
            ("-5", "0", "1000000", true),
            ("999999999999999.99999999", "1000", "1000000", true),
        ] {
            assert_eq!(is_beyond(amount(one), amount(other), amount(factor)), beyond, "{one} {other} {factor}");
            assert_eq!(is_beyond(amount(other), amount(one), amount(factor)), beyond, "{other} {one} {factor}");
        }
    }
}
