//! From the tree to the checked configuration, with every problem on the way.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::number::Number;
use super::raw::{self, Levels, MOST_LABELS, Pace, Thresholds};
use super::way::Way;
use super::{AccountConfig, Asking, Config, ProviderConfig, Severity, Threshold, Written, pace, quota, site};
use crate::account::{AccountId, Wallet};
use crate::document::{Node, Outline, Path, Problem, choice, nearest};
use crate::money::Currency;
use crate::providers::{self, Api, Environment, Facts, Site};
use crate::secret::Source;

/// Most accounts of a configuration: what the exporter is measured with.
const MOST_ACCOUNTS: usize = 100_000;

/// The whole of it, or everything that is wrong with it.
pub(super) fn check(mut root: Node) -> Result<Config, Vec<Problem>> {
    let entries = root.take_list("providers");
    let mut check = Check::default();
    let head = check.head(&root);
    let providers = entries.into_iter().filter_map(|node| check.provider(node, head.defaults));
    let providers = providers.map(Arc::new).collect();
    check.end(head, providers)
}

/// The same of a text whose entries can be read one by one, and taken from the configuration `before` it where they are
/// the same. `None` if that cannot be, or if anything is wrong: then it has to be read as a whole.
pub(super) fn check_by_entry(text: &str, before: &[Arc<ProviderConfig>]) -> Option<Config> {
    let Outline { rest, entries, mut size } = Outline::of(text, "providers")?;
    let mut check = Check::default();
    let head = check.head(&rest);
    let known: HashMap<_, _> =
        before.iter().filter_map(|entry| Some((entry.written.as_ref()?.digest, entry))).collect();
    let defaults = rest.get("defaults").map(|defaults| defaults.canonical()).unwrap_or_default();
    let mut providers = Vec::with_capacity(entries.len());
    for (place, entry) in entries.into_iter().enumerate() {
        let path = rest.path().key("providers").index(place);
        let digest = super::digest(&[&defaults, entry]);
        let provider = if let Some(known) = known.get(&digest) {
            check.meet(known, &path)?;
            Arc::clone(known)
        } else {
            let (node, size) = Node::entry(entry, path, "accounts")?;
            let written = Some(Written { digest, size });
            Arc::new(ProviderConfig { written, ..check.provider(node, head.defaults)? })
        };
        size = size.and(provider.written.as_ref()?.size);
        if !check.problems.is_empty() || !size.is_bearable() {
            return None;
        }
        providers.push(provider);
    }
    check.end(head, providers).ok()
}

/// What stands outside of the providers.
struct Head {
    defaults: Option<Pace>,
    hide_amounts: bool,
    every_reason: bool,
    state: Option<PathBuf>,
}

#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
    provider_names: HashMap<Arc<str>, Path>,
    account_names: HashMap<Arc<str>, Path>,
    connections: HashMap<(&'static str, Url, Arc<Node>), Path>,
}

/// An account entry: the keys that all APIs share.
struct Entry {
    path: Path,
    name: Option<Arc<str>>,
    common: Option<raw::Account>,
}

impl Check {
    fn keep<T>(&mut self, result: Result<T, Vec<Problem>>) -> Option<T> {
        result.map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn keep_one<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn head(&mut self, root: &Node) -> Head {
        let file = self.keep(root.read_all::<raw::File>());
        let defaults = file.as_ref().map(|file| file.defaults);
        let hide_amounts = file.as_ref().is_some_and(|file| file.web.hide_amounts);
        let every_reason = file.as_ref().is_none_or(|file| file.metrics.every_reason);
        let state = file.and_then(|file| file.state).map(|state| state.file);
        if state.as_ref().is_some_and(|file| file.file_name().is_none()) {
            let message = "expected the name of a file, such as /var/lib/balance-exporter/state";
            self.problems.push(Problem::at("state.file", message));
        }
        if let Some(defaults) = defaults {
            self.problems.extend(pace::problems(defaults, defaults, &root.path().key("defaults")));
        }
        Head { defaults, hide_amounts, every_reason, state }
    }

    fn end(mut self, head: Head, providers: Vec<Arc<ProviderConfig>>) -> Result<Config, Vec<Problem>> {
        if self.account_names.len() > MOST_ACCOUNTS {
            let message = format!("expected at most {MOST_ACCOUNTS} accounts in all");
            self.problems.push(Problem::at("providers", message).with_the_key());
        }
        let Head { hide_amounts, every_reason, state, .. } = head;
        if self.problems.is_empty() {
            Ok(Config { state, hide_amounts, every_reason, providers })
        } else {
            Err(self.problems)
        }
    }

    /// An entry that was checked before, beside the others. `None` if it does not go with them.
    fn meet(&mut self, entry: &ProviderConfig, path: &Path) -> Option<()> {
        let names = entry.accounts.iter().map(|account| &account.id.account);
        let is_free = self.provider_names.insert(entry.name.clone(), path.clone()).is_none()
            && names.clone().all(|name| self.account_names.insert(name.clone(), path.clone()).is_none());
        self.connection(entry.api.facts(), &entry.site, &entry.own, path);
        is_free.then_some(())
    }

    fn provider(&mut self, node: Node, defaults: Option<Pace>) -> Option<ProviderConfig> {
        let path = &node.path().clone();
        let (mut node, own) = self.keep_one(node.split(raw::PROVIDER_KEYS))?;
        let accounts = node.take_list("accounts");
        let common = self.keep(node.read_all::<raw::Provider>());
        let name: Option<Arc<str>> = common.as_ref().map(|common| common.name.0.as_str().into());
        if let Some(name) = &name {
            let taken = unique(&mut self.provider_names, name, path);
            self.problems.extend(taken);
        }
        let (entries, account_keys): (Vec<_>, Vec<_>) =
            accounts.into_iter().filter_map(|account| self.entry(account)).unzip();
        let api = self.api(&node)?;
        let facts = api.facts();
        let site = common.as_ref().map(|c| site::of(facts, c.environment, c.base_url.as_deref(), path));
        let site = site.and_then(|site| self.keep_one(site));
        let way =
            common.as_ref().map(|c| Way::of(c.tls.as_ref(), c.proxy.as_deref(), c.keep_alive, site.as_ref(), path));
        let way = way.and_then(|way| self.keep(way));
        if let Some(way) = &way {
            let unusable = way.secrets().into_iter().filter_map(|(key, source)| unusable(key, source));
            self.problems.extend(unusable.map(|problem| problem.below(path)));
        }
        let limit = common.as_ref().map(|c| quota::of(facts, c.rate_limit.as_ref(), path));
        let limit = limit.and_then(|limit| self.keep(limit));

        // with a wrong host the API's own keys can be read all the same
        let environment = common.as_ref().map_or(Environment::Production, |common| common.environment);
        let elsewhere = || site::of(facts, Environment::Production, None, path).ok();
        let host = site.clone().or_else(|| Some(Site { environment, ..elsewhere()? }))?;
        let settings = self.keep(api.read(&host, &own, &account_keys));
        if let Some(settings) = &settings {
            let unusable = settings.secrets().into_iter().filter_map(|(key, source)| unusable(key, source));
            self.problems.extend(unusable.map(|problem| problem.below(path)));
        }
        let (name, site, quota, way) = (name?, site?, limit?, way?);
        let own = Arc::new(own);
        self.connection(facts, &site, &own, path);

        let mut wallets = settings.iter().flat_map(|settings| settings.wallets());
        let asking = Asking::of(facts.name, &site, &own.canonical());
        let mut accounts = Vec::with_capacity(entries.len());
        for (entry, own) in entries.into_iter().zip(account_keys) {
            let wallets = wallets.next();
            let (Some(account), Some(common), Some(defaults)) = (entry.name, entry.common, defaults) else {
                continue;
            };
            let written = common.pace();
            let pace = written.or(defaults);
            self.problems.extend(pace::problems(written, pace, &entry.path));
            let Some(wallets) = wallets else { continue };
            let thresholds = self.thresholds(common.thresholds.as_ref(), &wallets, &entry.path.key("thresholds"));
            accounts.push(Arc::new(AccountConfig {
                id: AccountId { provider: name.clone(), account },
                api: facts.name,
                environment: site.environment,
                interval: pace.interval(),
                timeout: pace.timeout(),
                stale_after: pace.stale_after(),
                hold_jump_over: pace.hold_jump_over(),
                wallets,
                thresholds,
                labels: common.labels.into_iter().map(|(name, value)| (name.0, value.0)).collect(),
                asks: asking.of_account(&own.canonical()),
            }));
        }
        let intervals: Vec<_> = accounts.iter().map(|account| account.interval).collect();
        self.problems.extend(quota::exceeded(&quota, &intervals, path, node.get("rate_limit").is_some()));
        Some(ProviderConfig { name, api, site, quota, settings: settings?, accounts, own, way, written: None })
    }

    fn entry(&mut self, node: Node) -> Option<(Entry, Node)> {
        let path = node.path().clone();
        let (common, own) = self.keep_one(node.split(raw::ACCOUNT_KEYS))?;
        let common = self.keep(common.read_all::<raw::Account>());
        let name: Option<Arc<str>> = common.as_ref().map(|common| common.name.0.as_str().into());
        if let (Some(common), Some(name)) = (&common, &name) {
            let taken = unique(&mut self.account_names, name, &path);
            self.problems.extend(taken);
            if common.labels.len() > MOST_LABELS {
                let path = path.key("labels");
                self.problems.push(Problem::of(path, format!("expected at most {MOST_LABELS} labels")).with_the_key());
            }
        }
        Some((Entry { path, name, common }, own))
    }

    /// The API. That the key is there is seen where all keys are.
    fn api(&mut self, node: &Node) -> Option<&'static dyn Api> {
        let name = node.get("api")?.read::<String>().ok()?;
        let known = || providers::ALL.iter().map(|api| api.facts().name);
        let api = providers::find(&name).ok_or_else(|| {
            let meant = nearest(&name, known()).map(|meant| format!(": did you mean `{meant}`?"));
            let message = format!("expected {}{}", choice(known()), meant.unwrap_or_default());
            Problem::of(node.path().key("api"), message)
        });
        self.keep_one(api)
    }

    /// One connection has one limit: two entries for it would allow twice as much.
    fn connection(&mut self, facts: &'static Facts, site: &Site, own: &Arc<Node>, path: &Path) {
        match self.connections.entry((facts.name, site.base_url.clone(), own.clone())) {
            Slot::Vacant(slot) => {
                slot.insert(path.clone());
            }
            Slot::Occupied(other) => {
                let other = other.get();
                self.problems.push(Problem::of(
                    path.clone(),
                    format!("the same connection as {other}: put all its accounts there, since they share one limit"),
                ));
            }
        }
    }

    fn thresholds(&mut self, written: Option<&Thresholds>, wallets: &Wallets, path: &Path) -> Vec<Threshold> {
        let mut thresholds = Vec::new();
        let mut add = |check: &mut Self, levels: &Levels, (wallet, currency): &(Wallet, Currency), path: &Path| {
            if let (Some(warning), Some(critical)) = (levels.warning, levels.critical)
                && critical.0 > warning.0
            {
                check.problems.push(Problem::of(path.key("critical"), "expected at most what `warning` is"));
            }
            for (severity, amount) in [(Severity::Warning, levels.warning), (Severity::Critical, levels.critical)] {
                let threshold = |amount: Number| Threshold {
                    wallet: *wallet,
                    currency: currency.clone(),
                    severity,
                    amount: amount.0,
                };
                thresholds.extend(amount.map(threshold));
            }
        };
        match written {
            None => {}
            Some(Thresholds::First(levels)) => match wallets.first() {
                Some(first) => add(self, levels, first, path),
                None => self.problems.push(Problem::of(path.clone(), "this account has no wallet")),
            },
            Some(Thresholds::ByWallet(named)) => {
                for (name, levels) in named {
                    let path = path.key(name);
                    match wallets.iter().find(|(wallet, _)| wallet.as_str() == name) {
                        Some(_) if levels.warning.is_none() && levels.critical.is_none() => {
                            self.problems.push(Problem::of(path, "expected `warning`, `critical` or both"));
                        }
                        Some(wallet) => add(self, levels, wallet, &path),
                        None => {
                            let known = choice(wallets.iter().map(|(wallet, _)| wallet.as_str()));
                            let message = format!("expected a wallet of this account: {known}");
                            self.problems.push(Problem::of(path, message).with_the_key());
                        }
                    }
                }
            }
        }
        // it stays for as long as the account, and a vector that grows by itself has room for four
        thresholds.shrink_to_fit();
        thresholds
    }
}

type Wallets = [(Wallet, Currency)];

fn unique(names: &mut HashMap<Arc<str>, Path>, name: &Arc<str>, path: &Path) -> Option<Problem> {
    match names.entry(name.clone()) {
        Slot::Vacant(slot) => {
            slot.insert(path.clone());
            None
        }
        Slot::Occupied(other) => {
            let other = other.get();
            Some(Problem::of(path.key("name"), format!("{other} has this name: names are unique in the whole file")))
        }
    }
}

/// What is wrong with where a secret is said to be. The text is not shown: it might be the secret.
fn unusable(key: &str, source: &Source) -> Option<Problem> {
    let (part, sound, wanted) = match source {
        Source::File(path) => ("file", !path.as_os_str().is_empty(), "expected the path of a file"),
        Source::Env(name) => {
            let mut bytes = name.bytes();
            let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            let sound = first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
            ("env", sound, "expected the name of an environment variable")
        }
        Source::Credential(name) => {
            let sound = !["", ".", ".."].contains(&name.as_str()) && !name.contains('/');
            ("credential", sound, "expected the name of a systemd credential")
        }
    };
    (!sound).then(|| Problem::at(&format!("{key}.{part}"), format!("{wanted}; secrets are never written here")))
}
