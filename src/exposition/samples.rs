//! From what is known to samples: one function for each metric of the catalogue.

use super::moment::Shown;
use super::series::{Labels, Seconds, Series};
use crate::account::Balance;
use crate::board::{AccountStatus, Flow, ProviderStatus, Waiting};
use crate::clock::Now;
use crate::config::AccountConfig;
use crate::failure::ErrorReason;
use crate::money::Amount;

/// The labels that every series of an account has.
pub(super) fn account_labels(status: &AccountStatus) -> Labels {
    let id = &status.config.id;
    let own = status.config.labels.iter().map(|(label, text)| (label.as_str(), text.as_str()));
    [("provider", &*id.provider), ("account", &*id.account)].into_iter().chain(own).collect()
}

/// The labels that every series of a provider has.
pub(super) fn provider_labels(status: &ProviderStatus) -> Labels {
    [("provider", &*status.name)].into_iter().collect()
}

pub(super) fn amount(account: &Shown<'_>, series: &mut Series<'_>) {
    figures(account, series, |balance| balance.amount);
}

pub(super) fn available(account: &Shown<'_>, series: &mut Series<'_>) {
    figures(account, series, |balance| balance.available);
}

pub(super) fn frozen(account: &Shown<'_>, series: &mut Series<'_>) {
    figures(account, series, |balance| balance.frozen);
}

pub(super) fn credit_limit(account: &Shown<'_>, series: &mut Series<'_>) {
    figures(account, series, |balance| balance.credit_limit);
}

/// A figure of each wallet, where the provider sent it, and only while it can be vouched for.
fn figures(account: &Shown<'_>, series: &mut Series<'_>, figure: fn(&Balance) -> Option<Amount>) {
    let Some(snapshot) = account.fresh else { return };
    for balance in snapshot.reading().balances() {
        if let Some(amount) = figure(balance) {
            let labels = [("wallet", balance.wallet.as_str()), ("currency", balance.currency.as_str())];
            series.put_plain(&labels, amount);
        }
    }
}

pub(super) fn outflow(account: &Shown<'_>, series: &mut Series<'_>) {
    flows(account, series, |flow| flow.outflow);
}

pub(super) fn inflow(account: &Shown<'_>, series: &mut Series<'_>) {
    flows(account, series, |flow| flow.inflow);
}

fn flows(account: &Shown<'_>, series: &mut Series<'_>, sum: fn(&Flow) -> Amount) {
    for flow in &account.status.flows {
        series.put_plain(&[("wallet", flow.wallet.as_str()), ("currency", flow.currency.as_str())], sum(flow));
    }
}

pub(super) fn thresholds(config: &AccountConfig, series: &mut Series<'_>) {
    for threshold in &config.thresholds {
        let labels = [
            ("wallet", threshold.wallet.as_str()),
            ("currency", threshold.currency.as_str()),
            ("severity", threshold.severity.as_str()),
        ];
        series.put_plain(&labels, threshold.amount);
    }
}

pub(super) fn fresh(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], u8::from(account.fresh.is_some()));
}

pub(super) fn poll_success(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], u8::from(account.status.poll_success));
}

pub(super) fn last_success(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], Seconds::from(account.status.last_success.unwrap_or_default()));
}

pub(super) fn last_poll(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], Seconds::from(account.status.last_poll.unwrap_or_default()));
}

pub(super) fn next_poll(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], Seconds::from(account.status.next_poll.unwrap_or_default()));
}

pub(super) fn waiting(account: &Shown<'_>, series: &mut Series<'_>) {
    waiting_until(account.status.waiting(account.provider_waiting), series);
}

pub(super) fn provider_waiting(status: &ProviderStatus, now: &Now, series: &mut Series<'_>) {
    waiting_until(status.waiting(now), series);
}

fn waiting_until(waiting: Option<Waiting>, series: &mut Series<'_>) {
    if let Some(Waiting { cause, until }) = waiting {
        series.put_plain(&[("cause", cause.as_str())], Seconds::from(until));
    }
}

pub(super) fn failures_in_a_row(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], account.status.streak.failures_in_a_row);
}

pub(super) fn interval(config: &AccountConfig, series: &mut Series<'_>) {
    series.put(&[], Seconds::from(config.interval));
}

pub(super) fn stale_after(config: &AccountConfig, series: &mut Series<'_>) {
    series.put(&[], Seconds::from(config.stale_after));
}

pub(super) fn polls(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], account.status.polls);
}

pub(super) fn failures(account: &Shown<'_>, series: &mut Series<'_>) {
    for reason in ErrorReason::ALL {
        let failures = account.status.failures(reason);
        if failures > 0 || account.every_reason {
            series.put_plain(&[("reason", reason.as_str())], failures);
        }
    }
}

pub(super) fn readings_held(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], account.status.readings_held);
}

pub(super) fn repeated_replies(account: &Shown<'_>, series: &mut Series<'_>) {
    series.put(&[], account.status.repeated_replies);
}

/// What the provider says of the account comes and goes with its numbers; the series itself stays.
pub(super) fn info(account: &Shown<'_>, series: &mut Series<'_>) {
    let own = &account.status.config.labels;
    let how = [("api", account.status.config.api), ("environment", account.status.config.environment.as_str())];
    let said = account.fresh.map_or(&[][..], |snapshot| snapshot.reading().info());
    let said = said.iter().enumerate().filter(|(place, (label, _))| {
        // a label twice would cost the whole scrape; the account's own one is older
        !own.iter().any(|(known, _)| known == label)
            && !how.iter().any(|(known, _)| known == label)
            && !said[..*place].iter().any(|(known, _)| known == label)
    });
    let said = said.map(|(_, (label, text))| (*label, text.as_str()));
    series.put_all(how.into_iter().chain(said), 1);
}

pub(super) fn requests(status: &ProviderStatus, _: &Now, series: &mut Series<'_>) {
    series.put(&[], status.counts.requests);
}

pub(super) fn deferred(status: &ProviderStatus, _: &Now, series: &mut Series<'_>) {
    series.put(&[], status.counts.deferred);
}

pub(super) fn throttled(status: &ProviderStatus, _: &Now, series: &mut Series<'_>) {
    series.put(&[], status.counts.throttled);
}

pub(super) fn limit_requests(status: &ProviderStatus, now: &Now, series: &mut Series<'_>) {
    for (requests, per, _) in status.windows(now) {
        series.put(&[("window", &super::span(per))], requests);
    }
}

pub(super) fn limit_window(status: &ProviderStatus, now: &Now, series: &mut Series<'_>) {
    for (_, per, _) in status.windows(now) {
        series.put(&[("window", &super::span(per))], Seconds::from(per));
    }
}

pub(super) fn limit_remaining(status: &ProviderStatus, now: &Now, series: &mut Series<'_>) {
    for (_, per, remaining) in status.windows(now) {
        series.put(&[("window", &super::span(per))], remaining);
    }
}

pub(super) fn paused_until(status: &ProviderStatus, now: &Now, series: &mut Series<'_>) {
    if let Some(until) = status.paused_until(now) {
        series.put(&[], Seconds::from(until));
    }
}

pub(super) fn clock_skew(status: &ProviderStatus, _: &Now, series: &mut Series<'_>) {
    if let Some(skew) = status.clock_skew_seconds {
        series.put(&[], skew);
    }
}

pub(super) fn session_expiry(status: &ProviderStatus, _: &Now, series: &mut Series<'_>) {
    if let Some(expiry) = status.session_expiry {
        series.put(&[], Seconds::from(expiry));
    }
}

pub(super) fn build(series: &mut Series<'_>) {
    let version = ("version", env!("CARGO_PKG_VERSION"));
    match option_env!("BALANCE_EXPORTER_REVISION") {
        Some(revision) => series.put(&[version, ("revision", revision)], 1),
        None => series.put(&[version], 1),
    }
}
