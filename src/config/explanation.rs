//! The settings in force, and where each comes from.

use std::fmt;

use humantime::format_duration;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::{ACCOUNT_KEYS, PROVIDER_KEYS};
use super::{AccountConfig, Config, ProviderConfig, Threshold};
use crate::document::{Lines, Node, Path};
use crate::secret::Source;

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How far below the top it stands.
    pub depth: usize,
    /// Its key, or the name of the entry that begins here.
    pub key: String,
    /// Its value, if it may be shown: what only an API reads could be a secret in the wrong place.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is written in this line.
    Line(usize),
    /// It is not written in the entry, but in this line of `defaults`.
    Defaults(usize),
    /// The API brings it.
    Api,
    /// Nothing is written, and this is what holds then.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Defaults(line) => write!(f, "defaults, line {line}"),
            Self::Api => f.write_str("from the API"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// What stands for a value that is not shown.
const WRITTEN: &str = "(as written)";
/// What stands for a source that is not there.
const ABSENT: &str = "from what is not here";

/// Every setting in force of a configuration that is sound, in the order of its text.
/// `is_absent` tells which sources of secrets are not there: what stands for one may be the secret itself.
pub fn explain(config: &Config, text: &str, is_absent: impl Fn(&Source) -> bool) -> Vec<Setting> {
    // a sound text is a document
    let Ok((mut root, _)) = Node::parse(text) else { return Vec::new() };
    let mut explanation = Explanation { lines: Lines::of(text), settings: Vec::new() };
    let state =
        config.state.as_ref().map_or("none: nothing survives a restart".to_owned(), |f| f.display().to_string());
    explanation.add(0, "state.file", state, &root.path().key("state").key("file"), Origin::BuiltIn);
    for (provider, node) in config.providers.iter().zip(root.take_list("providers")) {
        let mut node = node;
        let accounts = node.take_list("accounts");
        explanation.provider(provider, &node, &is_absent);
        for (account, node) in provider.accounts.iter().zip(accounts) {
            explanation.account(account, &node, provider);
        }
    }
    explanation.settings
}

struct Explanation {
    lines: Lines,
    settings: Vec<Setting>,
}

impl Explanation {
    /// `otherwise` is where it comes from if it is not written at `path`.
    fn add(&mut self, depth: usize, key: &str, value: impl Into<String>, path: &Path, otherwise: Origin) {
        let origin = self.lines.line(path).map_or(otherwise, Origin::Line);
        self.settings.push(Setting { depth, key: key.to_owned(), value: value.into(), origin });
    }

    fn provider(&mut self, provider: &ProviderConfig, node: &Node, is_absent: &dyn Fn(&Source) -> bool) {
        let path = node.path();
        self.add(0, &provider.name, "", &path.key("name"), Origin::BuiltIn);
        let facts = provider.api.facts();
        self.add(1, "api", facts.name, &path.key("api"), Origin::BuiltIn);
        self.add(1, "environment", provider.site.environment.as_str(), &path.key("environment"), Origin::BuiltIn);
        self.add(1, "base_url", provider.site.base_url.as_str(), &path.key("base_url"), Origin::Api);
        for window in &provider.quota.windows {
            let limit = format!("{} per {}", window.requests, format_duration(window.per));
            self.add(1, "rate_limit", limit, &path.key("rate_limit"), Origin::Api);
        }
        let proxy = provider.way.proxy().map_or("none", |proxy| proxy.as_str());
        self.add(1, "proxy", proxy, &path.key("proxy"), Origin::BuiltIn);
        self.add(1, "keep_alive", provider.way.keep_alive().to_string(), &path.key("keep_alive"), Origin::BuiltIn);
        for (key, source) in provider.secrets() {
            let path = key.split('.').fold(path.clone(), |path, part| path.key(part));
            let from = if is_absent(source) { ABSENT.to_owned() } else { format!("from {source}") };
            self.add(1, key, from, &path, Origin::BuiltIn);
        }
        let (schema, _) = provider.api.schemas(&mut generator());
        let secrets = provider.secrets();
        let told = |key: &str| PROVIDER_KEYS.contains(&key) || secrets.iter().any(|(secret, _)| *secret == key);
        self.own(1, "", node, schema.as_value(), &told);
    }

    fn account(&mut self, account: &AccountConfig, node: &Node, provider: &ProviderConfig) {
        let path = node.path();
        self.add(1, &account.id.account, "", &path.key("name"), Origin::BuiltIn);
        let hold = account.hold_jump_over.map_or("nothing is held".to_owned(), |factor| factor.to_string());
        for (key, value) in [
            ("interval", format_duration(account.interval).to_string()),
            ("timeout", format_duration(account.timeout).to_string()),
            ("stale_after", format_duration(account.stale_after).to_string()),
            ("hold_jump_over", hold),
        ] {
            let default = self.lines.line(&Path::default().key("defaults").key(key));
            self.add(2, key, value, &path.key(key), default.map_or(Origin::BuiltIn, Origin::Defaults));
        }
        for (wallet, currency) in &account.wallets {
            // it follows from what the API says of all accounts, and from this one's own keys
            self.add(2, "wallet", format!("{wallet} in {currency}"), &path.key("wallet"), Origin::Api);
        }
        for Threshold { wallet, currency, severity, amount } in &account.thresholds {
            let severity = severity.as_str();
            let thresholds = path.key("thresholds");
            let (first, named) = (thresholds.key(severity), thresholds.key(wallet.as_str()).key(severity));
            let path = if self.lines.line(&named).is_some() { named } else { first };
            let value = format!("below {amount} {currency} in {wallet}");
            self.add(2, &format!("thresholds.{severity}"), value, &path, Origin::BuiltIn);
        }
        for (label, value) in &account.labels {
            self.add(2, &format!("labels.{label}"), value, &path.key("labels").key(label), Origin::BuiltIn);
        }
        let (_, schema) = provider.api.schemas(&mut generator());
        self.own(2, "", node, schema.as_value(), &|key| key == "wallet" || ACCOUNT_KEYS.contains(&key));
    }

    /// The API's own keys: what is written, and what the API brings where nothing is.
    fn own(&mut self, depth: usize, above: &str, node: &Node, schema: &Value, told: &dyn Fn(&str) -> bool) {
        for (name, schema) in properties(schema) {
            let key = format!("{above}{name}");
            let value = match (node.get(name), &schema["default"]) {
                _ if told(&key) => continue,
                (Some(below), _) if properties(schema).next().is_some() => {
                    self.own(depth, &format!("{key}."), &below, schema, told);
                    continue;
                }
                (Some(_), _) => WRITTEN.to_owned(),
                (None, Value::Null | Value::Object(_)) => continue,
                (None, Value::String(text)) => text.clone(),
                (None, default) => default.to_string(),
            };
            self.add(depth, &key, value, &node.path().key(name), Origin::Api);
        }
    }
}

/// Schemas without references.
fn generator() -> SchemaGenerator {
    SchemaSettings::default().with(|settings| settings.inline_subschemas = true).into_generator()
}

/// The keys of a mapping, be it one that may be left out.
fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let optional = schema["anyOf"].as_array().into_iter().flatten();
    let here = std::iter::once(schema).chain(optional);
    here.filter_map(|schema| schema["properties"].as_object()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../exporter.yaml");

    fn explained(text: &str) -> Vec<Setting> {
        explain(&Config::parse(text).unwrap(), text, |_| false)
    }

    #[test]
    fn what_stands_for_a_secret_that_is_not_there_is_not_shown() {
        let settings = explain(&Config::parse(TEXT).unwrap(), TEXT, |_| true);
        assert!(settings.iter().any(|setting| setting.value == ABSENT));
        assert!(settings.iter().all(|setting| !setting.value.starts_with("from file")), "{settings:?}");
    }

    #[test]
    fn every_line_holds_the_key_that_is_said_to_be_there() {
        let settings = explained(TEXT);
        assert!(settings.len() > 80);
        for Setting { key, origin, value, .. } in settings {
            let (Origin::Line(line) | Origin::Defaults(line)) = origin else { continue };
            let written = TEXT.lines().nth(line - 1).unwrap();
            let last = key.rsplit('.').next().unwrap();
            assert!(written.contains(last), "{key} {value} is not in line {line}: {written}");
        }
    }

    #[test]
    fn each_setting_comes_from_where_it_is_written() {
        let text = "\
defaults: { timeout: 7s }
providers:
  - name: p
    api: bridge
    username: an-own-value
    password: { file: bridge.password }
    accounts:
      - { name: a, service_id: 4242, currency: GHS, interval: 30s, labels: { team: x } }
";
        let settings = explained(text);
        let of = |key: &str| {
            let setting = settings.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("no {key}"));
            (setting.value.as_str(), setting.origin)
        };
        for (key, value, origin) in [
            ("state.file", "none: nothing survives a restart", Origin::BuiltIn),
            ("api", "bridge", Origin::Line(4)),
            ("environment", "production", Origin::BuiltIn),
            ("base_url", "https://api.bridgeagw.com/", Origin::Api),
            ("proxy", "none", Origin::BuiltIn),
            ("keep_alive", "false", Origin::BuiltIn),
            ("password", "from file bridge.password", Origin::Line(6)),
            ("username", WRITTEN, Origin::Line(5)),
            ("request_time_offset", "+00:00", Origin::Api),
            ("interval", "30s", Origin::Line(8)),
            ("timeout", "7s", Origin::Defaults(1)),
            ("stale_after", "5m", Origin::BuiltIn),
            ("labels.team", "x", Origin::Line(8)),
            ("service_id", WRITTEN, Origin::Line(8)),
        ] {
            assert_eq!(of(key), (value, origin), "{key}");
        }
        let shown: String = settings.iter().map(|setting| setting.value.as_str()).collect();
        assert!(!shown.contains("an-own-value") && !shown.contains("4242"), "{shown}");
    }
}
