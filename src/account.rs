//! The nouns that every part shares: which account, which pot of money in it, what is in that.

use std::fmt;
use std::sync::Arc;

use crate::money::{Amount, Currency};

/// A provider's and an account's name as configured: the labels `provider` and `account`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// Name of the provider entry.
    pub provider: Arc<str>,
    /// Name of the account; unique in the whole configuration.
    pub account: Arc<str>,
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.account)
    }
}

/// One pot of money inside an account: the label `wallet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wallet(&'static str);

impl Wallet {
    /// The only pot of an account that has one.
    pub const MAIN: Self = Self("main");

    /// A wallet that an adapter knows by name.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a provider said about one wallet. A figure that it did not send is `None`, never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which pot.
    pub wallet: Wallet,
    /// Of all figures here, which are in its major unit.
    pub currency: Currency,
    /// The total, or ledger, balance.
    pub amount: Option<Amount>,
    /// What can be spent now.
    pub available: Option<Amount>,
    /// What is held back.
    pub frozen: Option<Amount>,
    /// How far below zero the account may go, or what the provider calls its credit limit.
    pub credit_limit: Option<Amount>,
}

impl Balance {
    /// A wallet of which nothing is known yet.
    pub const fn empty(wallet: Wallet, currency: Currency) -> Self {
        Self { wallet, currency, amount: None, available: None, frozen: None, credit_limit: None }
    }

    /// What can be spent, as far as is known: the available figure, else the total.
    pub const fn spendable(&self) -> Option<Amount> {
        match self.available {
            Some(available) => Some(available),
            None => self.amount,
        }
    }
}
