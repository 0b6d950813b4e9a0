//! What goes out of a wallet and comes in, as far as readings tell.

use std::mem;

use crate::account::{Balance, Wallet};
use crate::money::{Amount, Currency};

/// How much went out of a wallet and came in, summed over the differences of consecutive readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Which pot.
    pub wallet: Wallet,
    /// Of the sums.
    pub currency: Currency,
    /// Sum of the falls.
    pub outflow: Amount,
    /// Sum of the rises.
    pub inflow: Amount,
    /// What could be spent at the last reading.
    pub(super) last: Amount,
}

/// Adds what changed in a wallet since its last reading.
pub(super) fn count(flows: &mut Box<[Flow]>, balance: &Balance) {
    let Some(spendable) = balance.spendable() else { return };
    let known = flows.iter_mut().find(|f| f.wallet == balance.wallet && f.currency == balance.currency);
    let Some(flow) = known else {
        let (wallet, currency) = (balance.wallet, balance.currency.clone());
        let flow = Flow { wallet, currency, outflow: Amount::ZERO, inflow: Amount::ZERO, last: spendable };
        *flows = mem::take(flows).into_iter().chain([flow]).collect();
        return;
    };
    let (fall, rise) = (flow.last.checked_sub(spendable), spendable.checked_sub(flow.last));
    if let Some(sum) = fall.filter(|fall| *fall > Amount::ZERO).and_then(|fall| flow.outflow.checked_add(fall)) {
        flow.outflow = sum;
    }
    if let Some(sum) = rise.filter(|rise| *rise > Amount::ZERO).and_then(|rise| flow.inflow.checked_add(rise)) {
        flow.inflow = sum;
    }
    flow.last = spendable;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wallet_has_a_flow_of_its_own() {
        let balance = |wallet, spendable| Balance {
            available: Amount::parse(spendable).ok(),
            ..Balance::empty(Wallet::new(wallet), Currency::parse("AED").unwrap())
        };
        let mut flows = Box::default();
        for (wallet, spendable) in [("a", "10"), ("b", "5"), ("a", "7"), ("b", "6")] {
            count(&mut flows, &balance(wallet, spendable));
        }
        let amount = |text| Amount::parse(text).unwrap();
        let sums: Vec<_> = flows.iter().map(|flow| (flow.wallet.as_str(), flow.outflow, flow.inflow)).collect();
        assert_eq!(sums, [("a", amount("3"), Amount::ZERO), ("b", Amount::ZERO, amount("1"))]);
    }
}
