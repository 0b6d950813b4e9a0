//! A made-up API: one wallet per account, asked for with a key in a header. It is the example of `CONTRIBUTING.md`,
//! which the tests compile and replay; no build has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Adapter, Exchange, Facts, Provider, Reading, Site, Step, wire};
use crate::account::{Balance, Wallet};
use crate::document::Problem;
use crate::failure::Failure;
use crate::money::Currency;
use crate::secret::{Secrets, Source};

/// A connection: what all of its accounts share.
pub(super) struct Example {
    endpoint: String,
    api_key: HeaderValue,
}

/// The keys of a provider entry, beside those that all APIs have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The key from the provider's portal.
    api_key: Source,
}

/// The keys of an account entry, beside those that all APIs have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The account's number at the provider.
    number: String,
    /// The currency that it is kept in.
    currency: Currency,
}

impl Adapter for Example {
    const FACTS: Facts = Facts {
        name: "example",
        title: "Example",
        documentation: "https://docs.example.com/balance",
        authentication: "key in a header",
        production: "https://api.example.com",
        sandbox: None,
        rate_limit: &[(30, Duration::from_secs(60))],
        rate_limit_source: "our own care: the vendor publishes no number",
        wallets: &["main"],
    };
    type Settings = Settings;
    type Account = Account;

    fn secrets(settings: &Settings) -> Vec<(&'static str, &Source)> {
        vec![("api_key", &settings.api_key)]
    }

    fn check_account(_: &Settings, account: &Account) -> Result<(), Problem> {
        if account.number.is_empty() || !wire::is_plain(&account.number) {
            return Err(Problem::at("number", "expected letters, digits, `-` and `_`, which go into the path"));
        }
        Ok(())
    }

    fn wallets(_: &Settings, account: &Account) -> Vec<(Wallet, Currency)> {
        vec![(Wallet::MAIN, account.currency.clone())]
    }

    fn connect(_: &Settings, site: &Site, secrets: &Secrets) -> Result<Self, Problem> {
        let api_key = wire::sensitive(wire::secret(secrets, "api_key")?.expose())
            .map_err(|_| Problem::at("api_key", "does not fit into a header"))?;
        Ok(Self { endpoint: wire::endpoint(&site.base_url, "/v1/accounts"), api_key })
    }

    fn account(&self, account: &Account) -> Arc<dyn Provider> {
        Arc::new(Ledger {
            address: format!("{}/{}", self.endpoint, account.number),
            api_key: self.api_key.clone(),
            number: account.number.clone(),
            currency: account.currency.clone(),
        })
    }
}

/// One account.
struct Ledger {
    address: String,
    api_key: HeaderValue,
    number: String,
    currency: Currency,
}

impl Provider for Ledger {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        match exchange.replies.last() {
            None => self.request().map(Step::Send),
            Some(reply) => self.reading(reply, exchange.at).map(Step::Done),
        }
    }

    fn private(&self) -> Vec<&str> {
        vec![&self.number]
    }
}

/// The amount is a text in this API, so that it keeps its digits.
#[derive(Deserialize)]
struct Body {
    number: String,
    currency: String,
    available: String,
}

impl Ledger {
    fn request(&self) -> Result<Request<Bytes>, Failure> {
        let request = Request::get(&self.address).header(header::AUTHORIZATION, self.api_key.clone());
        wire::built(request.body(Bytes::new()))
    }

    /// The gates of a reply: status, shape, identity, currency, number.
    fn reading(&self, reply: &Response<Bytes>, at: Timestamp) -> Result<Reading, Failure> {
        wire::success(reply, at)?;
        let body: Body = wire::object(reply.body())?;
        wire::same_identity("number", Some(&self.number), Some(&body.number))?;
        wire::same_currency(&self.currency, &body.currency)?;
        let available = Some(wire::amount("available", &body.available)?);
        let balance = Balance { available, ..Balance::empty(Wallet::MAIN, self.currency.clone()) };
        Reading::of(vec![balance])
    }
}
