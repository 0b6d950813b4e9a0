//! Not written yet.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Adapter, Exchange, Facts, Provider, Site, Step};
use crate::account::Wallet;
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure};
use crate::money::Currency;
use crate::secret::{Secrets, Source};

pub(super) struct PayBy;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    currency: Currency,
}

impl Provider for PayBy {
    fn step(&self, _: &Exchange<'_>) -> Result<Step, Failure> {
        Err(Failure::new(ErrorReason::Internal, "not written yet"))
    }
}

impl Adapter for PayBy {
    const FACTS: Facts = Facts {
        name: "payby",
        title: "PayBy",
        documentation: "",
        authentication: "",
        production: "https://localhost",
        sandbox: None,
        rate_limit: &[(30, Duration::from_secs(60))],
        rate_limit_source: "",
        wallets: &["main"],
    };
    type Settings = Settings;
    type Account = Account;

    fn secrets(_: &Settings) -> Vec<(&'static str, &Source)> {
        Vec::new()
    }

    fn wallets(_: &Settings, account: &Account) -> Vec<(Wallet, Currency)> {
        vec![(Wallet::MAIN, account.currency.clone())]
    }

    fn connect(_: &Settings, _: &Site, _: &Secrets) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn account(&self, _: &Account) -> Arc<dyn Provider> {
        Arc::new(Self)
    }
}
