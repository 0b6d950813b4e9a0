//! The configuration as written: the keys that all APIs share. What an API adds is in its adapter.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::number::{Factor, Number};
use super::span::Span;
use super::way::Tls;
use crate::providers::Environment;

/// The configuration of balance-exporter.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What holds for every account that does not say otherwise.
    #[serde(default)]
    pub(super) defaults: Pace,
    /// What must survive a restart: limits, readings and tokens. Without it, only memory keeps them.
    #[serde(default)]
    pub(super) state: Option<State>,
    /// The page for people and the JSON beside it.
    #[serde(default)]
    pub(super) web: Web,
    /// What `/metrics` tells.
    #[serde(default)]
    pub(super) metrics: Metrics,
    /// The providers, each with its credentials, its limit and its accounts.
    #[schemars(with = "Vec<serde_json::Value>")]
    #[serde(rename = "providers")]
    _providers: Vec<IgnoredAny>, // the entries are read one by one
}

/// Where the state is.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The name that its files begin with, in a directory that the exporter may write to, such as
    /// `/var/lib/balance-exporter/state`. A relative path starts at the configuration file.
    #[schemars(with = "String")]
    pub(super) file: PathBuf,
}

/// What the page and the JSON beside it tell.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Web {
    /// Keeps amounts, thresholds and whatever would betray them off the page and out of `/api/v1`. `/metrics` tells
    /// them all the same.
    #[serde(default)]
    pub(super) hide_amounts: bool,
}

/// What `/metrics` tells.
#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    /// Gives each account a series of `balance_poll_failures_total` for every reason from the start, so that each rises
    /// from 0. If `false`, there is one once a poll has failed for that reason: for large fleets, where these are nearly
    /// half of all series.
    pub(super) every_reason: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { every_reason: true }
    }
}

/// How often, how long, and how far at once.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    /// From one poll to the next: 5s to 24h; 1m if not given.
    #[serde(default)]
    pub(super) interval: Option<Span>,
    /// Within which a poll must end: 1s to 60s; 10s if not given.
    #[serde(default)]
    pub(super) timeout: Option<Span>,
    /// The age at which a balance is withdrawn: at least interval + timeout, at most 7d; 5m if not given.
    #[serde(default)]
    pub(super) stale_after: Option<Span>,
    /// How many times more or less what can be spent may be from one reading to the next; a reading beyond that is
    /// shown only when the next one confirms it. Nothing is held if not given.
    #[serde(default)]
    pub(super) hold_jump_over: Option<Factor>,
}

/// One set of credentials at one host, and the accounts that share its limit.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    /// The label `provider`; unique.
    pub(super) name: Name,
    /// Which API the provider speaks.
    #[serde(rename = "api")]
    _api: String, // read first, since it decides what else may stand here
    /// Which of the provider's worlds: it decides the host, unless `base_url` does.
    #[serde(default)]
    pub(super) environment: Environment,
    /// Another host or path than the documented one: https, or http to this machine.
    #[serde(default)]
    pub(super) base_url: Option<String>,
    /// How many requests the provider allows, over all its accounts; the API's own limit if not given.
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimit>,
    /// Certificates beside those that the system knows.
    #[serde(default)]
    pub(super) tls: Option<Tls>,
    /// The HTTP proxy that is asked to connect us, such as `http://proxy.example:3128`; none if not given, whatever
    /// the environment says. If it refuses, there is no other way.
    #[serde(default)]
    pub(super) proxy: Option<String>,
    /// Uses a connection for one request after another, if the next one comes within 4s. It is meant for large fleets:
    /// each answer takes at least 100ms more, in which nothing may come behind it.
    #[serde(default)]
    pub(super) keep_alive: bool,
    /// The accounts. Their names are unique in the whole file.
    #[schemars(with = "Vec<serde_json::Value>")]
    #[serde(rename = "accounts")]
    _accounts: Vec<IgnoredAny>, // the entries are read one by one
}

/// The keys of [`Provider`].
pub(super) const PROVIDER_KEYS: &[&str] =
    &["name", "api", "environment", "base_url", "rate_limit", "tls", "proxy", "keep_alive", "accounts"];

/// One account.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The label `account`; unique in the whole file.
    pub(super) name: Name,
    /// From one poll to the next: 5s to 24h.
    #[serde(default)]
    pub(super) interval: Option<Span>,
    /// Within which a poll must end: 1s to 60s.
    #[serde(default)]
    pub(super) timeout: Option<Span>,
    /// The age at which the balance is withdrawn: at least interval + timeout, at most 7d.
    #[serde(default)]
    pub(super) stale_after: Option<Span>,
    /// How many times more or less what can be spent may be from one reading to the next; a reading beyond that is
    /// shown only when the next one confirms it.
    #[serde(default)]
    pub(super) hold_jump_over: Option<Factor>,
    /// The levels of what can be spent at which people want to hear, in major units.
    #[serde(default)]
    pub(super) thresholds: Option<Thresholds>,
    /// More labels on every series of the account.
    #[serde(default)]
    pub(super) labels: BTreeMap<LabelName, LabelValue>,
}

impl Account {
    /// How often, how long, and how far at once, as far as the entry says.
    pub(super) const fn pace(&self) -> Pace {
        let Self { interval, timeout, stale_after, hold_jump_over, .. } = *self;
        Pace { interval, timeout, stale_after, hold_jump_over }
    }
}

/// The keys of [`Account`].
pub(super) const ACCOUNT_KEYS: &[&str] =
    &["name", "interval", "timeout", "stale_after", "hold_jump_over", "thresholds", "labels"];

/// A name of a provider or an account. In lower case only: it is a label value, a part of addresses and of
/// file names, and two names that differ in nothing but case would be taken for each other.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends = [text.bytes().next(), text.bytes().last()];
        if ends.iter().all(|end| end.is_some_and(sound))
            && text.len() <= 63
            && text.bytes().all(|b| sound(b) || b"_.-".contains(&b))
        {
            Ok(Self(text))
        } else {
            Err("expected a name of at most 63 characters: a-z and 0-9, inside also `-`, `_` and `.`")
        }
    }
}

impl JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "name",
            "description": "A label value and a part of file names; in lower case only.",
            "type": "string",
            "pattern": "^[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?$",
        })
    }
}

/// Labels that series have already, or that Prometheus gives them.
const TAKEN_LABELS: &[&str] = &[
    "account",
    "api",
    "currency",
    "environment",
    "instance",
    "job",
    "le",
    "provider",
    "quantile",
    "reason",
    "severity",
    "status",
    "type",
    "wallet",
    "window",
];
/// Most labels of one account.
pub(super) const MOST_LABELS: usize = 16;
/// Most characters of a label's value.
const MOST_LABEL_CHARS: usize = 128;

/// The name of a label that the user adds.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LabelName(pub(super) String);

impl TryFrom<String> for LabelName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !first || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Err("expected a label name: letters, digits and `_`, not beginning with a digit")
        } else if text.starts_with("__") {
            Err("label names beginning with `__` belong to Prometheus")
        } else if TAKEN_LABELS.contains(&text.as_str()) {
            Err("this label is on the series already: choose another name")
        } else {
            Ok(Self(text))
        }
    }
}

impl JsonSchema for LabelName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LabelName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$", "not": { "enum": TAKEN_LABELS } })
    }
}

/// The value of a label that the user adds.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LabelValue(pub(super) String);

impl TryFrom<String> for LabelValue {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let length = text.chars().count();
        if (1..=MOST_LABEL_CHARS).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err("expected a text of 1 to 128 characters, none of them a control character")
        }
    }
}

impl JsonSchema for LabelValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LabelValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "label value", "type": "string", "minLength": 1, "maxLength": MOST_LABEL_CHARS })
    }
}

/// At most so many requests in any span of that length.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    /// How many.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) requests: u32,
    /// In any span of this length.
    pub(super) per: Span,
}

/// One window, or a list of windows that all hold at once.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RateLimit {
    One(Window),
    All(Vec<Window>),
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = RateLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ requests: …, per: … }, or a list of such")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateLimit, A::Error> {
                Window::deserialize(MapAccessDeserializer::new(map)).map(RateLimit::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<RateLimit, A::Error> {
                let mut windows = Vec::new();
                while let Some(window) = entries.next_element()? {
                    windows.push(window);
                }
                Ok(RateLimit::All(windows))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

/// The levels of one wallet.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Levels {
    /// Below it, someone should top up.
    #[serde(default)]
    pub(super) warning: Option<Number>,
    /// Below it, payments are about to fail; at most `warning`.
    #[serde(default)]
    pub(super) critical: Option<Number>,
}

/// Levels of the account's first wallet, or of wallets by name.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Thresholds {
    First(Levels),
    ByWallet(BTreeMap<String, Levels>),
}

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstOrNamed;

        impl<'de> Visitor<'de> for FirstOrNamed {
            type Value = Thresholds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ warning: …, critical: … }, or such levels under the name of each wallet")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Thresholds, A::Error> {
                let mut first = Levels::default();
                let mut named = BTreeMap::new();
                let mut plain = false;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "warning" => (first.warning, plain) = (Some(map.next_value()?), true),
                        "critical" => (first.critical, plain) = (Some(map.next_value()?), true),
                        _ => {
                            named.insert(key, map.next_value()?);
                        }
                    }
                }
                match (plain, named.is_empty()) {
                    (true, true) => Ok(Thresholds::First(first)),
                    (false, false) => Ok(Thresholds::ByWallet(named)),
                    (true, false) | (false, true) => Err(A::Error::custom(format_args!("expected {}", Wanted(&self)))),
                }
            }
        }

        deserializer.deserialize_map(FirstOrNamed)
    }
}

/// What a visitor wants, in its own words.
struct Wanted<'a>(&'a dyn serde::de::Expected);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
