//! A reading: what an adapter makes of replies that passed every gate of its API, and nobody else can make.

use jiff::Timestamp;

use crate::account::Balance;
use crate::failure::{ErrorReason, Failure};
use crate::money::Amount;

/// Everything that one poll learnt about an account, all from replies that passed every gate.
///
/// Only adapters can build one, so that whoever holds one need not ask where its numbers come from:
///
/// ```compile_fail,E0451
/// use balance_exporter::providers::Reading;
/// let made_up = Reading { balances: Box::default(), info: Box::default(), identity: None, postmark: None };
/// ```
///
/// ```compile_fail,E0624
/// use balance_exporter::providers::Reading;
/// let made_up = Reading::of(Vec::new());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    balances: Box<[Balance]>,
    info: Box<[(&'static str, String)]>,
    identity: Option<Box<str>>,
    postmark: Option<Postmark>,
}

/// What a provider puts on each of its replies, by which one that is served again is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Postmark {
    /// When the reply was made. It is never earlier than that of the reply before.
    Time(Timestamp),
    /// A number or a word that no other reply has.
    Word(String),
}

impl Reading {
    /// The last gate, which is the same for all APIs: there is something to know of each wallet, each is there once,
    /// and no figure is one that cannot be.
    pub(super) fn of(balances: Vec<Balance>) -> Result<Self, Failure> {
        let schema = |what| Err(Failure::new(ErrorReason::Schema, what));
        if balances.is_empty() {
            return schema("the reply has no balance");
        }
        for (position, balance) in balances.iter().enumerate() {
            if balances[..position].iter().any(|before| before.wallet == balance.wallet) {
                return Err(Failure::new(ErrorReason::Mismatch, "the reply has a wallet more than once"));
            }
            if balance.spendable().is_none() {
                return schema("the reply does not say what can be spent");
            }
            if balance.frozen.is_some_and(Amount::is_negative) {
                return schema("the reply holds back less than nothing");
            }
            let figures = [balance.amount, balance.available, balance.frozen, balance.credit_limit];
            if figures.into_iter().flatten().any(|figure| !figure.is_resolved()) {
                return schema("a figure of the reply has more digits than can be shown");
            }
        }
        Ok(Self { balances: balances.into(), info: Box::default(), identity: None, postmark: None })
    }

    /// With what else the provider says of the account, as label name and value: its type, its status.
    pub(super) fn with_info(self, info: Vec<(&'static str, String)>) -> Self {
        Self { info: info.into(), ..self }
    }

    /// With the provider's own name for the account, which must not change.
    pub(super) fn with_identity(self, identity: String) -> Self {
        Self { identity: Some(identity.into()), ..self }
    }

    /// With what tells its reply from others.
    pub(super) fn with_postmark(self, postmark: Option<Postmark>) -> Self {
        Self { postmark, ..self }
    }

    /// What an earlier run of the exporter read and wrote down, checked once more. What else the provider said comes
    /// back with the next reply.
    pub(crate) fn recalled(balances: Vec<Balance>) -> Option<Self> {
        Self::of(balances).ok()
    }

    /// One entry per wallet.
    pub fn balances(&self) -> &[Balance] {
        &self.balances
    }

    /// What else the provider says of the account, as label name and value.
    pub fn info(&self) -> &[(&'static str, String)] {
        &self.info
    }

    /// The provider's own name for the account, if it echoes one that must not change.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// What tells its reply from others, if the provider offers that.
    pub const fn postmark(&self) -> Option<&Postmark> {
        self.postmark.as_ref()
    }
}

/// For tests that are about something else than adapters.
#[cfg(test)]
impl Reading {
    pub(crate) fn postmarked(self, word: &str) -> Self {
        self.with_postmark(Some(Postmark::Word(word.to_owned())))
    }

    pub(crate) fn pretended(balances: Vec<Balance>, info: Vec<(&'static str, String)>) -> Self {
        Self::of(balances).unwrap().with_info(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Wallet;
    use crate::money::Currency;

    fn balance(wallet: &'static str, change: impl FnOnce(&mut Balance)) -> Balance {
        let mut balance = Balance::empty(Wallet::new(wallet), Currency::parse("AED").unwrap());
        balance.available = Some(Amount::ZERO);
        change(&mut balance);
        balance
    }

    #[test]
    fn what_cannot_be_is_no_reading() {
        let amount = |text| Some(Amount::parse(text).unwrap());
        let most = "999999999999999";
        let beyond = amount(most).unwrap().checked_add(amount("1").unwrap());
        for (case, balances, expected) in [
            ("two wallets", vec![balance("a", |_| {}), balance("b", |_| {})], None),
            ("below zero", vec![balance("a", |b| b.available = amount("-5"))], None),
            ("fifteen digits", vec![balance("a", |b| b.amount = amount(most))], None),
            ("nothing", vec![], Some("schema")),
            (
                "a wallet twice",
                vec![balance("a", |_| {}), balance("b", |_| {}), balance("a", |_| {})],
                Some("mismatch"),
            ),
            ("no figure", vec![balance("a", |_| {}), balance("b", |b| b.available = None)], Some("schema")),
            (
                "only a frozen figure",
                vec![balance("a", |b| (b.available, b.frozen) = (None, amount("1")))],
                Some("schema"),
            ),
            ("less than nothing held back", vec![balance("a", |b| b.frozen = amount("-0.01"))], Some("schema")),
            ("nothing held back", vec![balance("a", |b| b.frozen = amount("-0"))], None),
            ("sixteen digits", vec![balance("a", |b| b.frozen = beyond)], Some("schema")),
        ] {
            assert_eq!(Reading::of(balances).err().map(|failure| failure.reason.as_str()), expected, "{case}");
        }
    }
}
