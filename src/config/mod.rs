//! Placeholder of the checked configuration, until the real one is merged.

use std::sync::Arc;
use std::time::Duration;

use crate::account::{AccountId, Wallet};
use crate::money::{Amount, Currency};
use crate::providers::{Api, Environment, Settings, Site};
use crate::rate_limit::Quota;

/// Checked.
#[derive(Debug)]
pub struct Config {
    /// In the order of the file.
    pub providers: Vec<ProviderConfig>,
}

/// Checked.
#[derive(Debug)]
pub struct ProviderConfig {
    /// Label.
    pub name: Arc<str>,
    /// API.
    pub api: &'static dyn Api,
    /// Where.
    pub site: Site,
    /// Limit.
    pub quota: Quota,
    /// Own part.
    pub settings: Arc<dyn Settings>,
    /// Accounts.
    pub accounts: Vec<Arc<AccountConfig>>,
}

/// Checked.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountConfig {
    /// Labels.
    pub id: AccountId,
    /// Label `api`.
    pub api: &'static str,
    /// Label.
    pub environment: Environment,
    /// Between polls.
    pub interval: Duration,
    /// Of one poll.
    pub timeout: Duration,
    /// Age limit.
    pub stale_after: Duration,
    /// First is the primary.
    pub wallets: Vec<(Wallet, Currency)>,
    /// Levels.
    pub thresholds: Vec<Threshold>,
    /// Sorted.
    pub labels: Vec<(String, String)>,
    /// Whose number.
    pub asks: Asks,
}

/// Whose number it is.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Asks(pub Arc<Vec<serde_yaml::Value>>);

/// A level.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Of which.
    pub wallet: Wallet,
    /// In which.
    pub currency: Currency,
    /// How bad.
    pub severity: Severity,
    /// From which on.
    pub amount: Amount,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Soon.
    Warning,
    /// Now.
    Critical,
}

impl Severity {
    /// Label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
