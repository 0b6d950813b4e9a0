//! The sandbox's own endpoint: what it knows, and what it shall do next. For tests and for people.

use std::fmt::Display;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json as value};
use std::collections::BTreeMap;

use super::Api;
use super::account::{Account, Figures};
use super::call::{Call, json};
use super::fault::Fault;
use super::world::{LOGIN, World};
use crate::money::Amount;

/// Where it lives.
pub(super) const ROOT: &str = "/-/sandbox";

/// What a PUT to an account may say. `null` lets a balance drift again, or clears the fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    available: Order,
    #[serde(default)]
    balances: BTreeMap<String, Option<String>>,
    #[serde(default)]
    fault: Order,
}

/// What to do with one thing.
#[derive(Default)]
enum Order {
    /// The key is not there.
    #[default]
    Leave,
    /// `null`.
    Clear,
    /// A text.
    Set(String),
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Live {
    live: bool,
}

/// Anything below [`ROOT`].
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Response<Bytes> {
    let path = call.parts.uri.path().strip_prefix(ROOT).unwrap_or_default();
    let parts: Vec<_> = path.split('/').collect();
    match (&call.parts.method, &parts[..]) {
        (&Method::GET, [""]) => shown(&state(world, call)),
        (&Method::GET, ["", "arrivals"]) => shown(&arrivals(world)),
        (&Method::GET, ["", "faults"]) => {
            shown(&Api::ALL.iter().map(|api| (api.name().to_owned(), value!(Fault::names(*api)))).collect())
        }
        (&Method::PUT, ["", "live"]) => match call.json::<Live>() {
            Some(Live { live }) => {
                world.timeline.set_live(live, call.now.boot);
                done()
            }
            None => refused("the body is not {\"live\": true} or {\"live\": false}"),
        },
        (&Method::POST, ["", "tokens", "expire"]) => {
            world.tokens.expire(call.now.boot);
            done()
        }
        (&Method::PUT, ["", "accounts", provider, account]) => match (Api::find(provider), call.json::<Change>()) {
            (None, _) => refused("no such provider"),
            (_, None) => refused("the body has other keys than available, balances and fault, or other types"),
            (Some(api), Some(change)) => match apply(world, api, account, change) {
                Ok(()) => done(),
                Err(why) => refused(why),
            },
        },
        _ => json(StatusCode::NOT_FOUND, r#"{"error":"no such control; GET /-/sandbox shows the state"}"#),
    }
}

fn apply(world: &mut World, api: Api, name: &str, change: Change) -> Result<(), &'static str> {
    let index = world.accounts.iter().position(|account| account.api() == api && account.name == name);
    if index.is_none() && !(api == Api::Dialog && name == LOGIN) {
        return Err("the provider has no such account");
    }
    // changed is a copy, so that an order that is refused in part is refused as a whole
    let mut account = index.and_then(|index| world.accounts.get(index)).cloned();
    let first = account.as_ref().and_then(|account| account.pots.first()).map(|pot| pot.wallet.to_owned());
    let mut balances: Vec<_> = change.balances.into_iter().collect();
    match change.available {
        Order::Leave => {}
        Order::Clear => balances.push((first.ok_or("a login has no balance")?, None)),
        Order::Set(text) => balances.push((first.ok_or("a login has no balance")?, Some(text))),
    }
    for (wallet, text) in balances {
        let amount = match text {
            Some(text) => Some(Amount::parse(&text).map_err(|_| "a balance is not a plain decimal number in quotes")?),
            None => None,
        };
        if !account.as_mut().is_some_and(|account| account.set(&wallet, amount)) {
            return Err("no such wallet, or more decimals than the account can have");
        }
    }
    let place = (api, name.to_owned());
    match change.fault {
        Order::Leave => {}
        Order::Clear => drop(world.faults.remove(&place)),
        Order::Set(fault) => {
            let fault = Fault::parse(api, &fault).ok_or("no such fault; see /-/sandbox/faults")?;
            world.faults.insert(place, fault);
        }
    }
    if let Some((kept, account)) = index.and_then(|index| world.accounts.get_mut(index)).zip(account) {
        *kept = account;
    }
    Ok(())
}

fn state(world: &World, call: &Call<'_>) -> Map<String, Value> {
    let providers: Map<_, _> = Api::ALL
        .iter()
        .map(|api| {
            let desk = world.desk(*api);
            let limits: Vec<_> = desk
                .windows()
                .iter()
                .map(|window| value!({"requests": window.requests, "per_seconds": window.per.as_secs()}))
                .collect();
            let about = value!({
                "requests": desk.requests,
                "throttled": desk.throttled,
                "violations": desk.violations,
                "limits": limits,
            });
            (api.name().to_owned(), about)
        })
        .collect();
    let accounts: Vec<_> =
        world.accounts.iter().enumerate().map(|(index, account)| about(world, call, index, account)).collect();
    [
        ("live", value!(world.timeline.is_live())),
        ("strays", value!(world.strays)),
        ("login_fault", value!(world.faults.get(&(Api::Dialog, LOGIN.to_owned())).map(Fault::name))),
        ("providers", Value::Object(providers)),
        ("accounts", Value::Array(accounts)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

fn about(world: &World, call: &Call<'_>, index: usize, account: &Account) -> Value {
    let list = |figures: &[Figures]| figures.iter().map(Figures::json).collect::<Vec<_>>();
    let api = account.api();
    value!({
        "provider": api.name(),
        "account": account.name,
        "balances": list(&world.figures(index, call.now)),
        "last_reported": account.reported.as_deref().map(list),
        "fault": world.faults.get(&(api, account.name.to_owned())).map(Fault::name),
        "requests": account.requests,
    })
}

fn arrivals(world: &World) -> Map<String, Value> {
    let list: Vec<_> = world
        .arrivals
        .iter()
        .map(|arrival| {
            value!({
                "provider": arrival.api.name(),
                "account": arrival.account,
                "endpoint": arrival.endpoint.name(),
                "at_microseconds": u64::try_from(arrival.at.as_micros()).unwrap_or(u64::MAX),
                "outcome": arrival.outcome.text(),
            })
        })
        .collect();
    Map::from_iter([("arrivals".to_owned(), Value::Array(list))])
}

fn shown(state: &Map<String, Value>) -> Response<Bytes> {
    let text = serde_json::to_string_pretty(state).unwrap_or_default();
    json(StatusCode::OK, format!("{text}\n"))
}

fn done() -> Response<Bytes> {
    json(StatusCode::OK, "{}\n")
}

fn refused(why: impl Display) -> Response<Bytes> {
    let body = value!({"error": why.to_string()});
    json(StatusCode::BAD_REQUEST, format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::bridge;
    use crate::sandbox::trial::Trial;

    #[test]
    fn the_state_tells_what_was_last_answered() {
        let mut trial = Trial::new();
        let operations = |trial: &mut Trial| trial.control("GET", "", "")["accounts"][6].clone();
        assert_eq!(operations(&mut trial)["last_reported"], Value::Null);
        trial.control("PUT", "/accounts/bridge/gh-operations", r#"{"available":"1.50"}"#);
        trial.said(bridge::tests::good());
        trial.control("PUT", "/accounts/bridge/gh-operations", r#"{"balances":{"payout":"2","sms":"0.0"}}"#);
        let state = operations(&mut trial);
        assert_eq!((&state["provider"], &state["account"]), (&value!("bridge"), &value!("gh-operations")));
        let payout = |text| value!({"wallet": "payout", "currency": "GHS", "available": text});
        assert_eq!(state["balances"][0], payout("2"));
        assert_eq!(state["balances"][2]["available"], "0.0");
        assert_eq!(state["last_reported"][0], payout("1.50"));
        assert_eq!((&state["fault"], &state["requests"]), (&Value::Null, &value!(1)));
        let arrivals = trial.control("GET", "/arrivals", "");
        let expected = value!({"provider": "bridge", "account": "gh-operations", "endpoint": "balance",
            "at_microseconds": 0, "outcome": "granted"});
        assert_eq!(arrivals["arrivals"], value!([expected]));
    }

    #[test]
    fn balances_drift_stand_still_and_drift_again() {
        let mut trial = Trial::new();
        let payout =
            |trial: &mut Trial| trial.control("GET", "", "")["accounts"][6]["balances"][0]["available"].clone();
        let minute = std::time::Duration::from_secs(60);
        let first = payout(&mut trial);
        trial.pass(minute);
        assert_eq!(payout(&mut trial), first);
        trial.control("PUT", "/live", r#"{"live":true}"#);
        trial.pass(minute);
        assert_ne!(payout(&mut trial), first);
        trial.control("PUT", "/accounts/bridge/gh-operations", r#"{"available":"7"}"#);
        trial.pass(minute);
        assert_eq!(payout(&mut trial), "7");
        trial.control("PUT", "/accounts/bridge/gh-operations", r#"{"available":null}"#);
        assert_ne!(payout(&mut trial), "7");
    }

    #[test]
    fn orders_that_make_no_sense_are_refused_and_change_nothing() {
        let mut trial = Trial::new();
        trial.control("PUT", "/accounts/smilepayz/br-payout", r#"{"fault":"drop"}"#);
        let before = trial.control("GET", "", "");
        for (method, path, body) in [
            ("PUT", "/accounts/bridge/uae-settlement", r#"{"available":"1"}"#),
            ("PUT", "/accounts/stripe/gh-operations", r#"{"available":"1"}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"available":1}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"available":"1,5"}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"balances":{"main":"1"}}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"fault":"no-such"}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"balance":"1"}"#),
            ("PUT", "/accounts/smilepayz/br-payout", r#"{"available":"1.234"}"#),
            ("PUT", "/accounts/dialog/token", r#"{"available":"1"}"#),
            ("PUT", "/accounts/dialog/token", r#"{"fault":"hang","available":"1"}"#),
            ("PUT", "/accounts/dialog/token", r#"{"fault":"hang","balances":{"main":"1"}}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"fault":"hang","available":"1,5"}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"fault":"hang","balances":{"main":"1"}}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"fault":"no-such","available":"1"}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"balances":{"collection":"1","payout":"1,5"}}"#),
            ("PUT", "/accounts/bridge/gh-operations", r#"{"balances":{"collection":"1"},"available":"1,5"}"#),
            ("PUT", "/accounts/smilepayz/br-payout", r#"{"fault":null,"available":"1.234"}"#),
            ("PUT", "/live", r#"{"live":"no"}"#),
            ("DELETE", "", ""),
            ("GET", "/nothing", ""),
        ] {
            let answer = trial.control(method, path, body);
            assert!(answer["error"].is_string(), "{method} {path} {body}: {answer}");
        }
        assert_eq!(trial.control("GET", "", ""), before);
    }

    #[test]
    fn the_login_can_be_at_fault_too() {
        let mut trial = Trial::new();
        trial.control("PUT", "/accounts/dialog/token", r#"{"fault":"redirect"}"#);
        assert_eq!(trial.control("GET", "", "")["login_fault"], "redirect");
        trial.control("PUT", "/accounts/dialog/token", r#"{"fault":null}"#);
        assert_eq!(trial.control("GET", "", "")["login_fault"], Value::Null);
    }
}
