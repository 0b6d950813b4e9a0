//! The same as the page, for programs: JSON with a description, health for pagers, and polls that are asked for.

use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::told::{Account, Listing, Query, States};
use crate::board::View;
use crate::clock::Now;
use crate::schedule::{Cause, NotNow};

mod openapi;
mod site;

pub(super) use openapi::describe;
pub(super) use site::is_from_elsewhere;

/// Which account a path is about. It takes both names to say that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) provider: &'a str,
    pub(super) account: &'a str,
}

impl<'a> Name<'a> {
    /// `PROVIDER/ACCOUNT`.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let (provider, account) = path.split_once('/')?;
        let one = |name: &str| !name.is_empty() && !name.contains('/');
        (one(provider) && one(account)).then_some(Self { provider, account })
    }
}

/// What is said about a request that asks for no data, or for what there is not.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// A sentence for people.
    pub(super) message: String,
    /// Until when it makes no sense to ask again; null if time does not change it.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(super) until: Option<Timestamp>,
}

impl Message {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), until: None }
    }
}

/// `value` as the body of an answer, readable as it is.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}

/// A page of accounts.
pub(super) fn accounts(view: &View, query: &Query, now: &Now) -> String {
    json(&Listing::of(view, query, now))
}

/// One account, if it is configured.
pub(super) fn account(view: &View, name: Name<'_>, now: &Now) -> Option<Account> {
    let place = view.accounts.binary_search_by_key(&(name.provider, name.account), |status| {
        let id = &status.config.id;
        (&*id.provider, &*id.account)
    });
    let status = view.accounts.get(place.ok()?)?;
    let provider = view.providers.iter().find(|provider| *provider.name == *name.provider);
    let throttled = provider.is_some_and(|provider| provider.paused_until(now).is_some());
    let waiting = provider.and_then(|provider| provider.waiting(now));
    let in_states = States::of(status, throttled, now);
    Some(Account::of(status, in_states, waiting, view.hides_amounts, now))
}

/// Whether all is well with an account, in a word and without amounts.
pub(super) fn health(view: &View, name: Name<'_>, now: &Now) -> (StatusCode, String) {
    let Some(account) = account(view, name, now) else { return (StatusCode::NOT_FOUND, unknown(name)) };
    let states: Vec<_> = account.states.iter().map(|state| state.label()).collect();
    let (code, word) =
        if account.healthy { (StatusCode::OK, "healthy") } else { (StatusCode::SERVICE_UNAVAILABLE, "not healthy") };
    (code, format!("{}/{} is {word}: {}", account.provider, account.account, states.join(", ")))
}

/// There is no such account.
pub(super) fn unknown(name: Name<'_>) -> String {
    let Name { provider, account } = name;
    format!("there is no account {}", crate::failure::quoted(&format!("{provider}/{account}")))
}

/// What became of a poll that somebody asked for, and after how many seconds to ask again.
pub(super) fn polled(outcome: Result<(), NotNow>, name: Name<'_>, now: &Now) -> (StatusCode, Message, Option<u64>) {
    let account = name.account;
    let (status, message, until) = match outcome {
        Ok(()) => (StatusCode::ACCEPTED, format!("{account} is polled now"), None),
        Err(NotNow::Unknown) => (StatusCode::NOT_FOUND, unknown(name), None),
        Err(NotNow::UnderWay) => (StatusCode::CONFLICT, format!("{account} is being polled already"), None),
        Err(NotNow::HadOne { until }) => {
            let message = format!("{account} was polled just now; it can be asked again every 30 seconds");
            (StatusCode::TOO_MANY_REQUESTS, message, Some(until))
        }
        Err(NotNow::LeftAlone { cause: Cause::Throttled, until }) => {
            let message = format!("{account} is not polled now: its provider asked for a pause");
            (StatusCode::SERVICE_UNAVAILABLE, message, Some(until))
        }
        Err(NotNow::LeftAlone { until, .. }) => {
            let message = format!(
                "{account} is not polled now: the provider refused several times, and more tries could lock the \
                 credentials"
            );
            (StatusCode::SERVICE_UNAVAILABLE, message, Some(until))
        }
        Err(NotNow::Stopping) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the exporter is stopping and polls nobody".to_owned(), None)
        }
    };
    let left = until.map(|until| until.since(now.boot).as_millis().div_ceil(1_000).max(1));
    let retry_after = left.map(|left| u64::try_from(left).unwrap_or(u64::MAX));
    let message = match retry_after {
        Some(seconds) => format!("{message}; in {seconds} s it can be"),
        None => message,
    };
    (status, Message { message, until: until.map(|until| now.wall_at(until)) }, retry_after)
}
