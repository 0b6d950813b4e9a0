//! What a recorded case says: its settings, and how it ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::{Adapter, Api, Connection, Environment, Postmark, Reading, Registered, Site};
use crate::account::{Balance, Wallet};
use crate::document::Node;
use crate::failure::Failure;
use crate::money::{Amount, Currency};
use crate::secret::{Secret, Secrets, Source};

/// Where the recordings are.
pub(super) const PROVIDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/providers");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// What `case.yaml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// One sentence.
    pub(super) about: String,
    /// `Exchange::at` of every step.
    pub(super) at: String,
    /// Which host; production if left out.
    #[serde(default)]
    pub(super) environment: Environment,
    /// Over the API's `settings.yaml`; mappings are merged, anything else replaces.
    #[serde(default)]
    pub(super) settings: Value,
    /// Over the API's `account.yaml`.
    #[serde(default)]
    pub(super) account: Value,
    /// The identity of earlier readings.
    pub(super) pinned: Option<String>,
    /// What told the last good reply from others.
    pub(super) previous: Option<String>,
    /// Start with a session that a reply will declare over, instead of with a login.
    #[serde(default)]
    pub(super) renew: bool,
    /// How it must end.
    pub(super) outcome: Outcome,
}

/// How a case ends: a reading, or a failure with its companions.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    reading: Option<Read>,
    failure: Option<String>,
    #[serde(default, with = "humantime_serde")]
    retry_after: Option<Duration>,
    #[serde(default)]
    fleeting: bool,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    balances: Vec<Row>,
    #[serde(default)]
    info: BTreeMap<String, String>,
    identity: Option<String>,
    postmark: Option<String>,
}

/// A postmark as a case writes it: a time if it can be one.
pub(super) fn postmark(text: &str) -> Postmark {
    text.parse().map_or_else(|_| Postmark::Word(text.to_owned()), Postmark::Time)
}

/// The figures are texts, so that `0.10` and `0.1` differ.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    wallet: String,
    currency: String,
    amount: Option<String>,
    available: Option<String>,
    frozen: Option<String>,
    credit_limit: Option<String>,
}

impl From<&Reading> for Outcome {
    fn from(reading: &Reading) -> Self {
        let read = Read {
            balances: reading.balances().iter().map(Row::from).collect(),
            info: reading.info().iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            identity: reading.identity().map(str::to_owned),
            postmark: reading.postmark().map(|postmark| match postmark {
                Postmark::Time(time) => time.to_string(),
                Postmark::Word(word) => word.clone(),
            }),
        };
        Self { reading: Some(read), ..Self::default() }
    }
}

impl From<&Balance> for Row {
    fn from(balance: &Balance) -> Self {
        let text = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
        Self {
            wallet: balance.wallet.to_string(),
            currency: balance.currency.to_string(),
            amount: text(balance.amount),
            available: text(balance.available),
            frozen: text(balance.frozen),
            credit_limit: text(balance.credit_limit),
        }
    }
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        Self {
            reading: None,
            failure: Some(failure.reason.to_string()),
            retry_after: failure.retry_after,
            fleeting: failure.fleeting,
        }
    }
}

/// Where the problem with these keys is, if there is one.
pub(super) fn problem<A: Adapter>(environment: Environment, provider: &str, account: &str) -> Option<String> {
    let node = |text: &str| Node::new(serde_yaml::from_str(text).unwrap());
    let site = Site { base_url: A::FACTS.production.parse().unwrap(), environment };
    let read = Registered::<A>::NEW.read(&site, &node(provider), &[node(account)]);
    read.err().map(|problems| problems[0].path.to_string())
}

pub(super) type Connected = (Connection, Vec<(Wallet, Currency)>, Secrets);

/// The API with the settings and secrets of a case, the wallets it announces, and those secrets.
pub(super) fn connect(api: &dyn Api, case: &Case) -> Result<Connected, String> {
    let facts = api.facts();
    let base = match case.environment {
        Environment::Production => facts.production,
        Environment::Sandbox => facts.sandbox.ok_or("this API has no sandbox")?,
    };
    let site = Site { base_url: base.parse().map_err(|_| "not a base URL")?, environment: case.environment };
    let node = |file: &str, over: &Value| {
        let text = std::fs::read(Path::new(PROVIDERS).join(facts.name).join(file));
        let mut value = serde_yaml::from_slice(&text.map_err(|_| format!("{file} is missing"))?)
            .map_err(|error| format!("{file}: {error}"))?;
        merge(&mut value, over);
        Ok::<_, String>(Node::new(value))
    };
    let provider = node("settings.yaml", &case.settings)?;
    let settings = api
        .read(&site, &provider, &[node("account.yaml", &case.account)?])
        .map_err(|problems| format!("the settings are refused: {problems:?}"))?;
    let secret = |(key, source): (&'static str, &Source)| match source {
        Source::File(path) => {
            let text = std::fs::read_to_string(Path::new(VECTORS).join(path))
                .map_err(|_| format!("tests/vectors/{} is missing", path.display()))?;
            Ok((key, Secret::new(text.strip_suffix('\n').unwrap_or(&text))))
        }
        Source::Env(_) | Source::Credential(_) => Err(format!("{key}: a case takes secrets from files")),
    };
    let secrets: Secrets = settings.secrets().into_iter().map(secret).collect::<Result<_, String>>()?;
    let connection = settings.connect(&secrets).map_err(|problem| format!("the secrets are refused: {problem:?}"))?;
    let wallets = settings.wallets().remove(0);
    Ok((connection, wallets, secrets))
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Mapping(base), Value::Mapping(over)) => {
            for (key, value) in over {
                merge_key(base, key, value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// A null takes the key away.
fn merge_key(base: &mut Mapping, key: &Value, value: &Value) {
    match base.get_mut(key) {
        _ if value.is_null() => {
            base.shift_remove(key);
        }
        Some(old) if old.is_mapping() && value.is_mapping() => merge(old, value),
        _ => {
            base.insert(key.clone(), value.clone());
        }
    }
}
