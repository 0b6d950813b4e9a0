//! An account as it is told to people and their programs: the page and the JSON are made of this and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::line::{change, heights};
use super::share::{Bar, Levels};
use super::state::{State, States};
use crate::account::Wallet as Pot;
use crate::board::AccountStatus;
use crate::clock::Now;
use crate::config::Severity;
use crate::money::{Amount, Currency};
use crate::providers;

/// What is known of an account.
#[expect(clippy::struct_field_names, reason = "as the labels are called")]
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Account {
    /// The label `provider`.
    pub(in crate::web) provider: String,
    /// The label `account`. With the provider's it says which account is meant.
    pub(in crate::web) account: String,
    /// The label `api`.
    pub(in crate::web) api: String,
    /// What people call the API.
    #[serde(skip)]
    pub(in crate::web) api_title: String,
    /// `production` or `sandbox`.
    pub(in crate::web) environment: String,
    /// The labels of its own, from the configuration.
    pub(in crate::web) labels: BTreeMap<String, String>,
    /// All that hold, the most urgent first.
    pub(in crate::web) states: Vec<State>,
    /// Whether somebody should look.
    pub(in crate::web) needs_attention: bool,
    /// Whether its balance is fresh and above every critical level: what `/health/accounts/…` answers by.
    pub(in crate::web) healthy: bool,
    /// The last good reading.
    pub(in crate::web) reading: Reading,
    /// Each wallet that is read, in the order of the configuration.
    pub(in crate::web) wallets: Vec<Wallet>,
    /// What was and will be asked.
    pub(in crate::web) polling: Polling,
    /// The last failure, whether or not polls are good again.
    pub(in crate::web) last_failure: Option<LastFailure>,
    /// The last polls, oldest first; none from before the start.
    pub(in crate::web) past: Vec<PastPoll>,
}

/// How old what is known is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Reading {
    /// Whether it is young enough to be relied on. If not, no amount is told.
    pub(in crate::web) fresh: bool,
    /// When its first request began; null if there is none.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(in crate::web) taken: Option<Timestamp>,
    /// Seconds since then, by whichever clock says more.
    pub(in crate::web) age_seconds: Option<u64>,
    /// The age at which it is withdrawn.
    pub(in crate::web) stale_after_seconds: u64,
    #[serde(skip)]
    pub(in crate::web) age: Option<Duration>,
}

/// What is known of one wallet. Amounts are decimal numbers in texts, with the digits that the provider sent. A figure
/// that is not known, not fresh or hidden is null.
#[expect(clippy::struct_field_names, reason = "as the label is called")]
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Wallet {
    /// The label `wallet`.
    pub(in crate::web) wallet: String,
    /// The label `currency`.
    pub(in crate::web) currency: String,
    /// What can be spent now: what is available, else the total.
    pub(in crate::web) spendable: Option<String>,
    /// `balance_available_amount`.
    pub(in crate::web) available: Option<String>,
    /// `balance_amount`: the total, or the ledger balance.
    pub(in crate::web) amount: Option<String>,
    /// `balance_frozen_amount`: what the provider holds back.
    pub(in crate::web) frozen: Option<String>,
    /// `balance_credit_limit_amount`.
    pub(in crate::web) credit_limit: Option<String>,
    /// The configured levels; null if hidden.
    pub(in crate::web) thresholds: Option<Thresholds>,
    /// The worst level that it is below; null if none, or if that is not known.
    pub(in crate::web) below: Option<Level>,
    /// The shape of what could be spent in the polls of `past`: 0 at the lowest, 100 at the highest, null where nothing
    /// is known. Null if hidden.
    pub(in crate::web) line: Option<Vec<Option<u8>>>,
    /// From the first to the last of `line`, in thousandths of the first; null if that is not known or hidden.
    pub(in crate::web) change_permille: Option<i64>,
    #[serde(skip)]
    pub(in crate::web) bar: Option<Bar>,
}

/// The levels at which people want to hear, as decimal numbers in texts; null where there is none.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Thresholds {
    /// Below it, someone should top up.
    pub(in crate::web) warning: Option<String>,
    /// Below it, payments are about to fail.
    pub(in crate::web) critical: Option<String>,
}

/// How bad it is to be below a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::web) enum Level {
    /// Someone should top up.
    Warning,
    /// Payments are about to fail.
    Critical,
}

/// What was and will be asked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Polling {
    /// From one poll to the next when all is well.
    pub(in crate::web) interval_seconds: u64,
    /// When its turn comes next; null before its first poll. Its provider may have to be waited for beyond that.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(in crate::web) next: Option<Timestamp>,
    /// Why nothing is asked now, and until when; null while it is being asked.
    pub(in crate::web) waiting: Option<Waiting>,
    /// Failed polls since the last good one.
    pub(in crate::web) failures_in_a_row: u32,
    /// When the last poll ended.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(in crate::web) last: Option<Timestamp>,
    /// Whether it was good.
    pub(in crate::web) last_good: bool,
    /// Polls that have ended.
    pub(in crate::web) count: u64,
}

/// What an account waits for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Waiting {
    /// The label `cause`: interval, retry, backoff, refused, throttled or limit.
    pub(in crate::web) cause: String,
    /// What that means.
    pub(in crate::web) meaning: String,
    /// Before this nothing is asked.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(in crate::web) until: Timestamp,
}

/// Why a poll brought no balance.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct LastFailure {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(in crate::web) at: Timestamp,
    /// Whether the last poll was this one.
    pub(in crate::web) current: bool,
    /// The label `reason`.
    pub(in crate::web) reason: String,
    /// What that means.
    pub(in crate::web) meaning: String,
    /// What happened, in a sentence.
    pub(in crate::web) detail: String,
    /// What to do about it.
    pub(in crate::web) remedy: String,
}

/// A poll that ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct PastPoll {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(in crate::web) ended: Timestamp,
    /// Whether it brought a reading.
    pub(in crate::web) good: bool,
}

impl Account {
    /// What may be told of it at `now`.
    /// `waiting` is what its provider waits for.
    pub(in crate::web) fn of(
        status: &AccountStatus,
        in_states: States,
        waiting: Option<crate::board::Waiting>,
        hides_amounts: bool,
        now: &Now,
    ) -> Self {
        let config = &*status.config;
        let title = providers::find(config.api).map_or(config.api, |api| api.facts().title);
        let age = status.snapshot.as_ref().map(|snapshot| snapshot.age(now));
        Self {
            provider: config.id.provider.to_string(),
            account: config.id.account.to_string(),
            api: config.api.to_owned(),
            api_title: title.to_owned(),
            environment: config.environment.as_str().to_owned(),
            labels: config.labels.iter().cloned().collect(),
            states: in_states.iter().collect(),
            needs_attention: in_states.want_attention(),
            healthy: in_states.are_well(),
            reading: Reading {
                fresh: in_states.has(State::Fresh),
                taken: status.snapshot.as_ref().map(|snapshot| snapshot.taken().wall),
                age_seconds: age.map(|age| age.as_secs()),
                stale_after_seconds: config.stale_after.as_secs(),
                age,
            },
            wallets: wallets(status, hides_amounts, now),
            polling: Polling {
                interval_seconds: config.interval.as_secs(),
                next: status.next_poll,
                waiting: status.waiting(waiting).map(Waiting::of),
                failures_in_a_row: status.streak.failures_in_a_row,
                last: status.last_poll,
                last_good: status.poll_success,
                count: status.polls,
            },
            last_failure: status.last_failure.as_deref().map(|(at, failure)| LastFailure {
                at: *at,
                current: !status.poll_success,
                reason: failure.reason.as_str().to_owned(),
                meaning: failure.reason.meaning().to_owned(),
                detail: failure.detail.clone(),
                remedy: failure.reason.remedy().to_owned(),
            }),
            past: status.past.polls().filter_map(PastPoll::of).collect(),
        }
    }
}

impl Waiting {
    fn of(waiting: crate::board::Waiting) -> Self {
        let crate::board::Waiting { cause, until } = waiting;
        Self { cause: cause.as_str().to_owned(), meaning: cause.meaning().to_owned(), until }
    }
}

impl PastPoll {
    fn of(poll: crate::board::Poll) -> Option<Self> {
        Some(Self { ended: Timestamp::from_second(poll.ended.into()).ok()?, good: poll.good })
    }
}

fn wallets(status: &AccountStatus, hides_amounts: bool, now: &Now) -> Vec<Wallet> {
    let each = status.config.wallets.iter().enumerate();
    each.map(|(place, (pot, currency))| wallet(status, place, *pot, currency, hides_amounts, now)).collect()
}

fn wallet(
    status: &AccountStatus,
    place: usize,
    pot: Pot,
    currency: &Currency,
    hides_amounts: bool,
    now: &Now,
) -> Wallet {
    let levels = Levels::of_wallet(&status.config, pot, currency);
    // an amount that is not fresh does not get any further than this
    let balance = status.fresh(now).and_then(|snapshot| snapshot.reading().balances().get(place));
    let spendable = balance.and_then(crate::account::Balance::spendable);
    let told = |amount: Option<Amount>| amount.filter(|_| !hides_amounts).map(|amount| amount.to_string());
    let figures: Vec<_> = status.past.figures(place).collect();
    Wallet {
        wallet: pot.to_string(),
        currency: currency.to_string(),
        spendable: told(spendable),
        available: told(balance.and_then(|balance| balance.available)),
        amount: told(balance.and_then(|balance| balance.amount)),
        frozen: told(balance.and_then(|balance| balance.frozen)),
        credit_limit: told(balance.and_then(|balance| balance.credit_limit)),
        thresholds: (!hides_amounts)
            .then(|| Thresholds { warning: told(levels.warning), critical: told(levels.critical) }),
        below: spendable.and_then(|spendable| levels.below(spendable)).map(Level::of),
        line: (!hides_amounts).then(|| heights(&figures)),
        change_permille: if hides_amounts { None } else { change(&figures) },
        bar: spendable.filter(|_| !hides_amounts).and_then(|spendable| levels.bar(spendable)),
    }
}

impl Level {
    const fn of(severity: Severity) -> Self {
        match severity {
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}
