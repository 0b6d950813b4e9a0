//! The configuration: as written (`raw`) on one side, checked on the other; only the checked travels.
//!
//! [`Config::parse`] is pure, a text in and a value or every problem out. [`load()`] stands at the edge: it
//! reads the file and the secrets and connects. What is wrong is told by file, line, column and path,
//! and never by showing a value, since any value may be a secret in the wrong place.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::account::{AccountId, Wallet};
use crate::document::{Node, Problem, Problems, Size};
use crate::money::{Amount, Currency};
use crate::providers::{Api, Connection, Environment, Settings, Site};
use crate::rate_limit::Quota;
use crate::secret::{Secrets, Source};
use way::Way;

mod check;
mod explanation;
mod in_force;
mod load;
mod number;
mod pace;
mod quota;
mod raw;
mod schema;
mod secret_reader;
mod site;
mod span;
mod way;

pub use explanation::{Origin, Setting, explain};
pub use in_force::{Change, InForce};
pub use load::{Loaded, Refused, Reloaded, load, load_text, parse_file, reload, reload_text, text_of};
pub use schema::schema;
pub use secret_reader::{SecretReader, Stamp};

/// Everything that is polled, checked as a whole.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// The name that the files of the state begin with, as written; `None` to keep it in memory.
    pub state: Option<PathBuf>,
    /// Whether the page and the JSON beside it keep amounts to themselves.
    pub hide_amounts: bool,
    /// Whether each account has a series of failures for every reason there is.
    pub every_reason: bool,
    /// In the order of the file.
    pub providers: Vec<Arc<ProviderConfig>>,
}

impl Config {
    /// Reads a configuration, strictly: itself, or everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        Self::parse_after(text, &[])
    }

    /// The same, with the provider entries that were in force `before`: those that have not changed are taken over as
    /// they are.
    pub fn parse_after(text: &str, before: &[Arc<ProviderConfig>]) -> Result<Self, Problems> {
        match check::check_by_entry(text, before) {
            Some(config) => Ok(config),
            None => Self::parse_whole(text),
        }
    }

    fn parse_whole(text: &str) -> Result<Self, Problems> {
        let (root, mut problems) = Node::parse(text).map_err(|problem| vec![problem])?;
        match check::check(root) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
        Err(problems.into())
    }
}

/// One set of credentials at one host, with the limit that its accounts share.
pub struct ProviderConfig {
    /// The label `provider`; unique.
    pub name: Arc<str>,
    /// Which adapter.
    pub api: &'static dyn Api,
    /// Where requests go.
    pub site: Site,
    /// What the provider allows.
    pub quota: Quota,
    /// The API's own part, without secrets.
    pub settings: Box<dyn Settings>,
    /// In the order of the file.
    pub accounts: Vec<Arc<AccountConfig>>,
    /// The keys that `settings` was read from: they decide whether two entries are the same.
    own: Arc<Node>,
    /// How one gets there.
    way: Way,
    /// What it was read from, if that was its own piece of the text.
    written: Option<Written>,
}

/// A piece of the text, in short.
#[derive(Clone, Copy)]
struct Written {
    /// Of the piece, and of all else that decides what it means.
    digest: [u8; 32],
    size: Size,
}

/// One account: what is asked, how often, and from which level people want to hear.
#[derive(Debug, PartialEq)]
pub struct AccountConfig {
    /// The labels `provider` and `account`.
    pub id: AccountId,
    /// The label `api`.
    pub api: &'static str,
    /// The label `environment`.
    pub environment: Environment,
    /// From one poll to the next.
    pub interval: Duration,
    /// Within which a poll must end.
    pub timeout: Duration,
    /// The age at which a reading is withdrawn; at least `interval + timeout`.
    pub stale_after: Duration,
    /// How many times more or less what can be spent may be from one reading to the next; a reading beyond that is
    /// held until another confirms it.
    pub hold_jump_over: Option<Amount>,
    /// Every wallet that a reading has; plain thresholds are about the first.
    pub wallets: Vec<(Wallet, Currency)>,
    /// The levels at which people want to hear, by wallet and severity.
    pub thresholds: Vec<Threshold>,
    /// More labels on every series of the account, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Whose number it is.
    pub asks: Asks,
}

/// A level of what can be spent in a wallet.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Of which pot of money.
    pub wallet: Wallet,
    /// Of the amount.
    pub currency: Currency,
    /// How bad it is to be below.
    pub severity: Severity,
    /// In major units.
    pub amount: Amount,
}

/// How bad it is to be below a threshold: the label `severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Someone should top up.
    Warning,
    /// Payments are about to fail.
    Critical,
}

impl Severity {
    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What decides whose number it is: if two are equal, a reading of one is a reading of the other.
///
/// It is a digest, since a fleet has many of them and they are compared at each poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks([u8; 32]);

impl ProviderConfig {
    /// True if the other entry speaks to the same host with the same credentials: a session of one is a session of
    /// the other.
    pub fn same_connection(&self, other: &Self) -> bool {
        self.api.facts().name == other.api.facts().name && self.site == other.site && self.own == other.own
    }

    /// True if the other entry's requests take the same way: proxy, authorities and the like.
    pub fn same_way(&self, other: &Self) -> bool {
        self.way == other.way
    }

    /// The secrets that [`connect`](Self::connect) reads, each with the key its source is written under.
    pub fn secrets(&self) -> Vec<(&'static str, &Source)> {
        self.settings.secrets().into_iter().chain(self.way.secrets()).collect()
    }

    /// What [`same_connection`](Self::same_connection) compares, in short: for a state that outlives the process.
    pub fn fingerprint(&self) -> String {
        let Site { base_url, environment } = &self.site;
        let parts = [self.api.facts().name, base_url.as_str(), environment.as_str(), &self.own.canonical()];
        hex(digest(&parts))
    }

    /// Reads the secrets and takes them in: ready to be polled. Problems are seen from the entry.
    pub fn connect(&self, reader: &SecretReader) -> Result<Connection, Vec<Problem>> {
        self.connect_with(&self.unlock(reader)?)
    }

    /// Reads the secrets.
    fn unlock(&self, reader: &SecretReader) -> Result<Secrets, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut read = Vec::new();
        for (key, source) in self.secrets() {
            match reader.read(source) {
                Ok(secret) => read.push((key, secret)),
                Err(why) => problems.push(Problem::at(key, why)),
            }
        }
        if problems.is_empty() { Ok(read.into_iter().collect()) } else { Err(problems) }
    }

    fn connect_with(&self, secrets: &Secrets) -> Result<Connection, Vec<Problem>> {
        let connected = self
            .settings
            .connect(secrets)
            .and_then(|connection| Ok(Connection { route: self.way.route(secrets)?, ..connection }));
        connected.map_err(|problem| vec![problem])
    }

    /// Shares the accounts that are as in another entry with that.
    fn share(&mut self, before: &Self) {
        let known: HashMap<_, _> = before.accounts.iter().map(|account| (&account.id, account)).collect();
        for account in &mut self.accounts {
            if let Some(known) = known.get(&account.id).filter(|known| **known == account) {
                *account = Arc::clone(known);
            }
        }
    }
}

/// What the accounts of an entry ask in common.
struct Asking(Sha256);

impl Asking {
    /// `provider` are the own keys of the entry, in their canonical form.
    fn of(api: &str, site: &Site, provider: &str) -> Self {
        let Site { base_url, environment } = site;
        Self(digested(&[api, base_url.as_str(), environment.as_str(), provider]))
    }

    /// What an account of it asks that has these keys of its own.
    fn of_account(&self, account: &str) -> Asks {
        Asks(add(self.0.clone(), account).finalize().into())
    }
}

impl Asks {
    /// The same for every two that are equal.
    pub fn fingerprint(&self) -> String {
        hex(self.0)
    }
}

fn digest(parts: &[&str]) -> [u8; 32] {
    digested(parts).finalize().into()
}

fn digested(parts: &[&str]) -> Sha256 {
    parts.iter().fold(Sha256::new(), |digest, part| add(digest, part))
}

fn add(digest: Sha256, part: &str) -> Sha256 {
    digest.chain_update(part.len().to_be_bytes()).chain_update(part)
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

impl PartialEq for ProviderConfig {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.same_connection(other)
            && self.quota == other.quota
            && self.way == other.way
            && self.accounts == other.accounts
    }
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("api", &self.api)
            .field("accounts", &self.accounts.len())
            .finish_non_exhaustive()
    }
}
