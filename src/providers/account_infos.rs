//! The `accountInfos` of a Smilepayz reply, in every shape that the vendor's pages show: one block or a list of them,
//! figures with a currency each or as bare texts.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{self, Object};
use crate::account::{Balance, Wallet};
use crate::failure::{ErrorReason, Failure};
use crate::money::{Amount, Currency};

/// What is said of one balance of the account.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block {
    /// Whose it says it is, if it does.
    pub(super) account_no: Option<String>,
    balance_type: Option<String>,
    currency: Option<String>,
    amount: Option<Box<RawValue>>,
    available_balance: Option<Box<RawValue>>,
}

impl Block {
    /// The block of the balance that was asked for; some regions send one, others a list.
    pub(super) fn asked_for(asked: &str, infos: &RawValue) -> Result<Self, Failure> {
        let blocks = if infos.get().starts_with('[') {
            wire::part::<Vec<Object<Self>>>("accountInfos", infos)?
        } else {
            vec![wire::part("accountInfos", infos)?]
        };
        let alone = blocks.len() == 1;
        let mut fitting = blocks.into_iter().map(|Object(block)| block).filter(|block| match &block.balance_type {
            Some(balance_type) => balance_type == asked,
            None => alone,
        });
        match (fitting.next(), fitting.next()) {
            (Some(block), None) => Ok(block),
            (None, _) => Err(mismatch("the reply does not have the balance that was asked for")),
            (Some(_), Some(_)) => Err(mismatch("the reply has the balance that was asked for more than once")),
        }
    }

    /// The balance that it tells of a wallet in `currency`, whose figures are `places` decimal places down.
    pub(super) fn balance(&self, wallet: Wallet, currency: &Currency, places: u8) -> Result<Balance, Failure> {
        let available = self.available_balance.as_deref().map(|raw| Figure::read("availableBalance", raw));
        let available =
            available.unwrap_or_else(|| Err(schema("the reply has no availableBalance, which is documented")))?;
        let amount = self.amount.as_deref().map(|raw| Figure::read("amount", raw));
        let amount = amount.unwrap_or_else(|| Err(schema("the reply has no amount, which is documented")))?;

        let currencies = [self.currency.as_deref(), available.currency.as_deref(), amount.currency.as_deref()];
        for said in currencies.into_iter().flatten() {
            wire::same_currency(currency, said)?;
        }
        if currencies.iter().all(Option::is_none) {
            return Err(schema("the reply does not say which currency its figures are in"));
        }

        let available = available.scaled("availableBalance", places)?;
        let amount = amount.scaled("amount", places)?;
        let held = amount.checked_sub(available).filter(|held| !held.is_negative());
        let held = held.ok_or_else(|| schema("the field availableBalance is more than the field amount"))?;
        Ok(Balance {
            amount: Some(amount),
            available: Some(available),
            frozen: Some(held),
            ..Balance::empty(wallet, currency.clone())
        })
    }
}

/// A figure, either with its currency or as a bare text.
struct Figure {
    currency: Option<String>,
    value: String,
}

impl Figure {
    fn read(field: &str, raw: &RawValue) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Money {
            currency: String,
            value: String,
        }
        if raw.get().starts_with('{') {
            let Object(Money { currency, value }) = wire::part(field, raw)?;
            return Ok(Self { currency: Some(currency), value });
        }
        Ok(Self { currency: None, value: wire::part(field, raw)? })
    }

    fn scaled(&self, field: &str, places: u8) -> Result<Amount, Failure> {
        wire::amount(field, &self.value).map(|amount| amount.shifted(places))
    }
}

fn schema(detail: &str) -> Failure {
    Failure::new(ErrorReason::Schema, detail)
}

fn mismatch(detail: &str) -> Failure {
    Failure::new(ErrorReason::Mismatch, detail)
}
