//! An account of the sandbox: how requests name it, what is in it, and what is said of it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Api;
use super::drift::{Drift, seed_of};
use crate::money::Amount;

/// One account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: &'static str,
    pub(super) listing: Listing,
    /// Its pots of money; the one that is spent from first.
    pub(super) pots: Vec<Pot>,
    pub(super) watch: Watch,
    /// What it last answered.
    pub(super) reported: Option<Vec<Figures>>,
    /// How many requests about it were granted.
    pub(super) requests: u64,
}

/// How the provider keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listing {
    /// By the path segment that names the subscriber.
    Dialog { segment: &'static str, encrypted: bool, tariff: Tariff },
    /// By its currency: a partner has one account in each.
    PayBy,
    /// By the number of the service.
    Bridge { service_id: u64 },
    /// By the account number.
    Smilepayz { account_no: &'static str, shape: Shape, scale: Scale },
}

/// How a subscriber pays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tariff {
    /// Beforehand: the credit limit that is told equals the balance.
    Prepaid,
    /// Afterwards, up to a limit.
    Postpaid { limit: &'static str },
}

/// How a Smilepayz region writes `accountInfos`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Object,
    Array,
}

/// The unit in which a Smilepayz region writes amounts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    Major,
    /// Integers, this many decimal places down.
    Minor(u8),
}

/// How the matching configuration polls and warns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) interval: Duration,
    pub(super) warning: u64,
    pub(super) critical: u64,
    pub(super) team: &'static str,
}

/// One pot of money.
#[derive(Clone, Debug)]
pub(super) struct Pot {
    pub(super) wallet: &'static str,
    pub(super) currency: &'static str,
    pub(super) decimals: u8,
    pub(super) drift: Drift,
    /// Part of the total that cannot be spent, in minor units.
    pub(super) held: u64,
    /// A balance set by hand, which stays.
    pub(super) set: Option<Amount>,
}

/// What a provider says of one pot, in major units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) wallet: &'static str,
    pub(super) currency: &'static str,
    pub(super) amount: Option<Amount>,
    pub(super) available: Option<Amount>,
    pub(super) frozen: Option<Amount>,
    pub(super) credit_limit: Option<Amount>,
}

impl Account {
    /// Whose account it is.
    pub(super) const fn api(&self) -> Api {
        match self.listing {
            Listing::Dialog { .. } => Api::Dialog,
            Listing::PayBy => Api::PayBy,
            Listing::Bridge { .. } => Api::Bridge,
            Listing::Smilepayz { .. } => Api::Smilepayz,
        }
    }

    /// What the provider says of it after `elapsed`.
    pub(super) fn figures(&self, seed: u64, elapsed: Duration) -> Vec<Figures> {
        self.pots
            .iter()
            .map(|pot| {
                let spendable = pot.spendable(seed_of(seed, self.name, pot.wallet), elapsed);
                let none = Figures { amount: None, available: None, frozen: None, credit_limit: None, ..pot.figures() };
                match self.listing {
                    Listing::Dialog { tariff: Tariff::Prepaid, .. } => Figures {
                        amount: Some(spendable),
                        available: Some(spendable),
                        credit_limit: Some(spendable),
                        ..none
                    },
                    Listing::Dialog { tariff: Tariff::Postpaid { limit }, .. } => {
                        Figures { amount: Some(spendable), credit_limit: Amount::parse(limit).ok(), ..none }
                    }
                    Listing::PayBy | Listing::Bridge { .. } => Figures { available: Some(spendable), ..none },
                    Listing::Smilepayz { .. } => {
                        let held = minor(pot.held, pot.decimals);
                        let total = spendable.checked_add(held).unwrap_or(spendable);
                        Figures { amount: Some(total), available: Some(spendable), frozen: Some(held), ..none }
                    }
                }
            })
            .collect()
    }

    /// Sets what can be spent from a pot, for good; `None` lets it drift again. Whether there is such a pot,
    /// and whether the provider can write the amount.
    pub(super) fn set(&mut self, wallet: &str, amount: Option<Amount>) -> bool {
        let writable = match self.listing {
            Listing::Smilepayz { scale, .. } => amount.is_none_or(|amount| scale.write(amount).is_some()),
            Listing::Dialog { .. } | Listing::PayBy | Listing::Bridge { .. } => true,
        };
        let pot = self.pots.iter_mut().find(|pot| pot.wallet == wallet);
        let Some(pot) = pot.filter(|_| writable) else { return false };
        pot.set = amount;
        true
    }
}

impl Pot {
    fn spendable(&self, seed: u64, elapsed: Duration) -> Amount {
        self.set.unwrap_or_else(|| minor(self.drift.units(seed, elapsed), self.decimals))
    }

    const fn figures(&self) -> Figures {
        Figures {
            wallet: self.wallet,
            currency: self.currency,
            amount: None,
            available: None,
            frozen: None,
            credit_limit: None,
        }
    }
}

impl Figures {
    /// With exact texts; what is not said is left out.
    pub(super) fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("wallet".to_owned(), json!(self.wallet));
        object.insert("currency".to_owned(), json!(self.currency));
        for (name, figure) in [
            ("amount", self.amount),
            ("available", self.available),
            ("frozen", self.frozen),
            ("credit_limit", self.credit_limit),
        ] {
            if let Some(figure) = figure {
                object.insert(name.to_owned(), json!(figure.to_string()));
            }
        }
        Value::Object(object)
    }
}

impl Scale {
    /// How the provider writes an amount; `None` if it has more decimals than fit.
    pub(super) fn write(self, amount: Amount) -> Option<String> {
        let text = amount.to_string();
        let Self::Minor(places) = self else { return Some(text) };
        let (sign, magnitude) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
        let (integer, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let places = usize::from(places);
        if fraction.len() > places {
            return None;
        }
        let digits = format!("{integer}{fraction:0<places$}");
        let digits = digits.trim_start_matches('0');
        Some(if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") })
    }

    /// The configured divisor that undoes it.
    pub(super) fn divisor(self) -> u64 {
        match self {
            Self::Major => 1,
            Self::Minor(places) => 10_u64.saturating_pow(u32::from(places)),
        }
    }
}

fn minor(units: u64, decimals: u8) -> Amount {
    Amount::parse(&units.to_string()).unwrap_or(Amount::ZERO).shifted(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_are_written_exactly_or_not_at_all() {
        for (text, written) in [
            ("2500.00", Some("250000")),
            ("2500", Some("250000")),
            ("0.05", Some("5")),
            ("0.5", Some("50")),
            ("0", Some("0")),
            ("-1.20", Some("-120")),
            ("1.234", None),
        ] {
            let amount = Amount::parse(text).unwrap();
            assert_eq!(Scale::Minor(2).write(amount).as_deref(), written, "{text}");
            assert_eq!(Scale::Major.write(amount).as_deref(), Some(text));
        }
        assert_eq!((Scale::Minor(2).divisor(), Scale::Major.divisor()), (100, 1));
    }
}
