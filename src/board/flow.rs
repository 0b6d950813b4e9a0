//! What goes out of a wallet and comes in, as far as readings tell.

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
pub(super) fn count(flows: &mut Vec<Flow>, balance: &Balance) {
    let Some(spendable) = balance.spendable() else { return };
    let known = flows.iter_mut().find(|f| f.wallet == balance.wallet && f.currency == balance.currency);
    let Some(flow) = known else {
        // most accounts have one, and a vector that grows by itself has room for four
        flows.reserve_exact(1);
        flows.push(Flow {
            wallet: balance.wallet,
            currency: balance.currency.clone(),
            outflow: Amount::ZERO,
            inflow: Amount::ZERO,
            last: spendable,
        });
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
