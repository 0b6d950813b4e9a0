//! The contract of a provider, and the registry of all that exist.
//!
//! A provider is a pure function from the replies so far to the next step. It holds no state, reads
//! no clock and opens no socket: equal arguments give an equal step. One signed request, a login and a
//! read, or several pages all have this shape, and a folder of recorded exchanges is the whole test.
//!
//! To add one: write `providers/<name>.rs` with an [`Adapter`], add one line to [`ALL`], and record
//! exchanges in `providers/<name>/<case>/` (the format is told in [`recorded`]). Configuration keys,
//! JSON Schema, documentation, the sandbox's faults and the golden tests follow from these.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use include_dir::{Dir, include_dir};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use url::Url;

use crate::account::Wallet;
use crate::document::{Node, Problem};
use crate::failure::Failure;
use crate::money::Currency;
use crate::route::Route;
use crate::secret::{Secret, Secrets, Source};

mod account_infos;
mod bridge;
mod dialog;
#[cfg(test)]
mod example;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_case;
mod msisdn;
mod oauth;
mod payby;
mod reading;
pub mod recorded;
mod rsa_key;
mod signature;
mod smilepayz;
mod token;
mod wire;
mod wso2;

pub use reading::{Postmark, Reading};
pub use signature::described;
pub(crate) use wire::reply_date;

/// Every API that an account can be polled through. One line each.
pub static ALL: &[&dyn Api] = &[
    &Registered::<dialog::Dialog>::NEW,
    &Registered::<payby::PayBy>::NEW,
    &Registered::<bridge::Bridge>::NEW,
    &Registered::<smilepayz::Smilepayz>::NEW,
];

/// The API with the name that `api:` gives.
pub fn find(name: &str) -> Option<&'static dyn Api> {
    ALL.iter().copied().find(|api| api.facts().name == name)
}

/// All recorded exchanges, by API and case, as built into the binary.
pub(crate) static RECORDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/providers");

/// What is known of an API before any account is configured.
#[derive(Debug)]
pub struct Facts {
    /// The value of `api:` and of the label `api`.
    pub name: &'static str,
    /// The provider's name for people.
    pub title: &'static str,
    /// The vendor's page of this call.
    pub documentation: &'static str,
    /// How requests are authenticated, for the table of providers.
    pub authentication: &'static str,
    /// Base URL of the production host.
    pub production: &'static str,
    /// Base URL of the public sandbox host, if there is one.
    pub sandbox: Option<&'static str>,
    /// Requests per window that are never exceeded unless `rate_limit` says otherwise.
    pub rate_limit: &'static [(u32, Duration)],
    /// Where that limit comes from: the vendor's page, or our own care.
    pub rate_limit_source: &'static str,
    /// The wallets an account can have, for the table of providers.
    pub wallets: &'static [&'static str],
}

/// Which of the provider's worlds an account lives in: the label `environment`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Real money.
    #[default]
    Production,
    /// The provider's own test system.
    Sandbox,
}

impl Environment {
    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}

/// Where a provider entry sends its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The host of `environment`, or `base_url`. Paths are appended to it.
    pub base_url: Url,
    /// As configured.
    pub environment: Environment,
}

/// Everything a step may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The time of day at which the request will leave.
    pub at: Timestamp,
    /// The session, for a provider that logs in. It is there whenever the connection has a [`Login`].
    pub session: Option<&'a Session>,
    /// The identity that earlier readings of this account carried, if any.
    pub pinned: Option<&'a str>,
    /// What told the reply of the last good poll of this account from others, if the provider offers that.
    pub previous: Option<&'a Postmark>,
    /// The replies so far, in order, each complete.
    pub replies: &'a [Response<Bytes>],
}

/// What an account's poll does next.
#[derive(Debug)]
pub enum Step {
    /// Send this and come back with the reply.
    Send(Request<Bytes>),
    /// The reading, every gate passed.
    Done(Reading),
    /// The provider says that the session is over. The caller obtains another, once per kind, and starts
    /// again without replies; if it may not, the poll fails with `failure`.
    SessionOver {
        /// How to obtain another.
        renewal: Renewal,
        /// What the poll's outcome is if that does not help.
        failure: Failure,
    },
}

/// How to replace a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It expired: refresh it if it came with the means, else log in anew.
    Refresh,
    /// It is of no use any more: log in anew.
    LogIn,
}

/// One account at a provider, as a pure function.
///
/// - A reading is returned only if every reply passed every gate of the API, in the order of the design:
///   status, size and content, signature, success code and its companions, identity, currency, required
///   fields, number grammar. The first failing gate gives the one reason.
/// - The account's number, a secret or a URL never stands in a [`Failure`].
pub trait Provider: Send + Sync {
    /// The next step.
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure>;

    /// Texts beside the secrets that no trace or log may show, such as a subscriber's number.
    fn private(&self) -> Vec<&str> {
        Vec::new()
    }

    /// True if a step with a request takes the time of a signature, and not next to none.
    fn signs(&self) -> bool {
        false
    }
}

/// What a login brings. Only the file of sessions has a way to write it:
///
/// ```compile_fail,E0277
/// fn write(session: &balance_exporter::providers::Session) -> serde_json::Result<String> {
///     serde_json::to_string(session)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Goes into the requests.
    pub token: Secret,
    /// Renews the session, if the provider gave one.
    pub refresh: Option<Secret>,
    /// How long the token is good for, counted from the moment it was asked for; bounded by the adapter.
    pub lifetime: Duration,
}

/// Everything a step of a login may depend on.
#[derive(Clone, Copy, Debug)]
pub struct LoginExchange<'a> {
    /// The time of day at which the request will leave.
    pub at: Timestamp,
    /// The session to refresh; `None` to log in anew.
    pub renew: Option<&'a Session>,
    /// The replies so far, in order.
    pub replies: &'a [Response<Bytes>],
}

/// What a login does next.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this and come back with the reply.
    Send(Request<Bytes>),
    /// Logged in.
    Done(Session),
}

/// How a provider's sessions are obtained; shared by all accounts of a connection.
pub trait Login: Send + Sync {
    /// The next step.
    fn step(&self, exchange: &LoginExchange<'_>) -> Result<LoginStep, Failure>;

    /// The token in the configuration, if its use spends it: then nobody can log in anew with it, and what the last
    /// session left is all there is.
    fn begins_with(&self) -> Option<&Secret> {
        None
    }
}

/// A provider entry with its secrets in hand: ready to be polled. It can be neither shown nor written down:
///
/// ```compile_fail,E0277
/// fn show(connection: &balance_exporter::providers::Connection) -> String {
///     format!("{connection}")
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn write(connection: &balance_exporter::providers::Connection) -> serde_json::Result<String> {
///     serde_json::to_string(connection)
/// }
/// ```
#[derive(Clone)]
pub struct Connection {
    /// How to log in, if the provider wants that.
    pub login: Option<Arc<dyn Login>>,
    /// The accounts, in the order of the configuration.
    pub accounts: Vec<Arc<dyn Provider>>,
    /// The way there; an adapter need not care.
    pub route: Route,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("accounts", &self.accounts.len()).finish_non_exhaustive()
    }
}

/// An API as its file writes it. Problems name the key they are about, relative to the provider entry or
/// the account entry.
pub trait Adapter: Sized + Send + Sync + 'static {
    /// What is known beforehand.
    const FACTS: Facts;
    /// The keys of a provider entry beside those that all APIs share.
    type Settings: DeserializeOwned + JsonSchema + fmt::Debug + Send + Sync + 'static;
    /// The keys of an account entry beside those that all APIs share.
    type Account: DeserializeOwned + JsonSchema + fmt::Debug + Send + Sync + 'static;

    /// The secrets that [`connect`](Self::connect) needs, each with the key its source is written under.
    fn secrets(settings: &Self::Settings) -> Vec<(&'static str, &Source)>;

    /// What the types cannot say of a provider entry.
    fn check(_settings: &Self::Settings, _site: &Site) -> Result<(), Problem> {
        Ok(())
    }

    /// What the types cannot say of an account entry.
    fn check_account(_settings: &Self::Settings, _account: &Self::Account) -> Result<(), Problem> {
        Ok(())
    }

    /// Every wallet that a reading of this account will have, and its currency; the one whose exhaustion
    /// stops the business first, since plain `thresholds` are about that one.
    fn wallets(settings: &Self::Settings, account: &Self::Account) -> Vec<(Wallet, Currency)>;

    /// Takes the secrets in: parses keys, builds headers.
    fn connect(settings: &Self::Settings, site: &Site, secrets: &Secrets) -> Result<Self, Problem>;

    /// How to log in, if that is needed.
    fn login(&self) -> Option<Arc<dyn Login>> {
        None
    }

    /// One account of this connection.
    fn account(&self, account: &Self::Account) -> Arc<dyn Provider>;
}

/// An API as the registry holds it.
pub trait Api: Sync {
    /// What is known beforehand.
    fn facts(&self) -> &'static Facts;

    /// Reads and checks the API's own part of a provider entry and of its accounts, in this order.
    fn read(&self, site: &Site, provider: &Node, accounts: &[Node]) -> Result<Box<dyn Settings>, Vec<Problem>>;

    /// The schemas of a provider entry's and of an account entry's own keys.
    fn schemas(&self, generator: &mut SchemaGenerator) -> (Schema, Schema);
}

impl fmt::Debug for dyn Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().name)
    }
}

/// The API's own part of a provider entry and its accounts, checked, without secrets.
pub trait Settings: Send + Sync + fmt::Debug {
    /// The secrets that [`connect`](Self::connect) needs.
    fn secrets(&self) -> Vec<(&'static str, &Source)>;

    /// The wallets of each account.
    fn wallets(&self) -> Vec<Vec<(Wallet, Currency)>>;

    /// Ready to be polled.
    fn connect(&self, secrets: &Secrets) -> Result<Connection, Problem>;
}

/// Makes an [`Api`] of an [`Adapter`].
struct Registered<A>(std::marker::PhantomData<fn() -> A>);

impl<A: Adapter> Registered<A> {
    const NEW: Self = Self(std::marker::PhantomData);
    const FACTS: &'static Facts = &A::FACTS;
}

struct Checked<A: Adapter> {
    site: Site,
    provider: A::Settings,
    accounts: Vec<A::Account>,
}

impl<A: Adapter> Api for Registered<A> {
    fn facts(&self) -> &'static Facts {
        Self::FACTS
    }

    fn read(&self, site: &Site, provider: &Node, accounts: &[Node]) -> Result<Box<dyn Settings>, Vec<Problem>> {
        let mut problems = Vec::new();
        let settings = provider.read_all::<A::Settings>().and_then(|settings| {
            A::check(&settings, site).map(|()| settings).map_err(|problem| vec![problem.below(provider.path())])
        });
        let settings = settings.map_err(|more| problems.extend(more)).ok();
        let mut checked = Vec::with_capacity(accounts.len());
        for node in accounts {
            let account = node.read_all::<A::Account>().and_then(|account| match &settings {
                Some(settings) => A::check_account(settings, &account)
                    .map(|()| account)
                    .map_err(|problem| vec![problem.below(node.path())]),
                None => Ok(account),
            });
            match account {
                Ok(account) => checked.push(account),
                Err(more) => problems.extend(more),
            }
        }
        match settings {
            Some(provider) if problems.is_empty() => {
                Ok(Box::new(Checked::<A> { site: site.clone(), provider, accounts: checked }))
            }
            Some(_) | None => Err(problems),
        }
    }

    fn schemas(&self, generator: &mut SchemaGenerator) -> (Schema, Schema) {
        (A::Settings::json_schema(generator), A::Account::json_schema(generator))
    }
}

impl<A: Adapter> fmt::Debug for Checked<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(A::FACTS.name)
            .field("site", &self.site)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> Settings for Checked<A> {
    fn secrets(&self) -> Vec<(&'static str, &Source)> {
        A::secrets(&self.provider)
    }

    fn wallets(&self) -> Vec<Vec<(Wallet, Currency)>> {
        self.accounts.iter().map(|account| A::wallets(&self.provider, account)).collect()
    }

    fn connect(&self, secrets: &Secrets) -> Result<Connection, Problem> {
        let adapter = A::connect(&self.provider, &self.site, secrets)?;
        Ok(Connection {
            login: adapter.login(),
            accounts: self.accounts.iter().map(|account| adapter.account(account)).collect(),
            route: Route::default(),
        })
    }
}
