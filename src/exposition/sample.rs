//! A small board for tests, with an account in every state there is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::Telemetry;
use crate::account::{AccountId, Balance, Wallet};
use crate::board::{Board, ProviderStatus, Snapshot};
use crate::clock::{BootTime, Now};
use crate::config::{AccountConfig, Asks, Severity, Threshold};
use crate::failure::{ErrorReason, Failure};
use crate::money::{Amount, Currency};
use crate::providers::{Environment, Reading};
use crate::rate_limit::{Quota, RateLimiter, Window};
use crate::schedule::{Cause, Streak};

/// The accounts of [`board`], as provider and account.
pub(crate) const ACCOUNTS: [(&str, &str); 4] =
    [("bridge", "fleet"), ("payby-uae", "old"), ("payby-uae", "settlement"), ("payby-uae", "young")];

/// So many seconds after the board was set up.
pub(crate) fn at(seconds: u64) -> Now {
    let wall = Timestamp::from_millisecond(1_700_000_000_500).unwrap() + Duration::from_secs(seconds);
    Now { boot: BootTime::from_boot(Duration::from_secs(1_000 + seconds)), wall }
}

pub(crate) fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

pub(crate) fn config(provider: &str, account: &str) -> Arc<AccountConfig> {
    labelled(provider, account, "a \"b\" \\ c\nd <script>")
}

/// An account whose own label `team` has this value.
pub(crate) fn labelled(provider: &str, account: &str, team: &str) -> Arc<AccountConfig> {
    Arc::new(AccountConfig {
        id: AccountId { provider: provider.into(), account: account.into() },
        api: "payby",
        environment: Environment::Production,
        interval: Duration::from_millis(30_500),
        timeout: Duration::from_secs(10),
        stale_after: Duration::from_secs(300),
        wallets: vec![(Wallet::MAIN, currency("AED"))],
        thresholds: vec![
            Threshold {
                wallet: Wallet::MAIN,
                currency: currency("AED"),
                severity: Severity::Warning,
                amount: amount("50000"),
            },
            Threshold {
                wallet: Wallet::MAIN,
                currency: currency("AED"),
                severity: Severity::Critical,
                amount: amount("0.50"),
            },
        ],
        hold_jump_over: None,
        labels: vec![("team".to_owned(), team.to_owned())],
        asks: Asks::default(),
    })
}

pub(crate) fn provider(name: &str) -> ProviderStatus {
    let window = |requests, seconds| Window { requests, per: Duration::from_secs(seconds) };
    let quota = Quota { windows: vec![window(30, 60), window(2, 1)] };
    ProviderStatus::new(name.into(), Arc::new(Mutex::new(RateLimiter::new(quota))))
}

/// A reading of one wallet in AED, taken at `taken`.
pub(crate) fn snapshot(available: &str, taken: Now) -> Snapshot {
    told(taken, &[], |balance| balance.available = Some(amount(available)))
}

fn told(taken: Now, info: &[(&'static str, &str)], figures: impl FnOnce(&mut Balance)) -> Snapshot {
    let mut balance = Balance::empty(Wallet::MAIN, currency("AED"));
    figures(&mut balance);
    let info = info.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Snapshot::of(&config("p", "a"), Reading::pretended(vec![balance], info), taken).unwrap()
}

/// At 100 s: `settlement` is fresh with every figure, `old` fails and is stale from 301 s on, `young` and `fleet`
/// were never polled.
pub(crate) fn board() -> Board {
    let board = Board::default();
    let configs: Vec<_> = ACCOUNTS.iter().map(|(provider, account)| config(provider, account)).collect();
    board.configure(vec![provider("payby-uae"), provider("bridge")], &configs);
    board.file(&configs[1], Ok(snapshot("12.50", at(0))), at(1));
    let refusal = Failure::new(ErrorReason::Auth, "the provider refused the signature: \"<b>no\"");
    board.file(&configs[1], Err(refusal), at(100));
    board.file(&configs[2], Ok(snapshot("100.10", at(40))), at(41));
    let full = told(at(98), &[("type", "PREPAID"), ("team", "theirs")], |balance| {
        balance.available = Some(amount("99.05"));
        balance.amount = Some(amount("120.00"));
        balance.frozen = Some(amount("20.95"));
        balance.credit_limit = Some(amount("-0"));
    });
    board.file(&configs[2], Ok(full), at(99));
    board.set_next_poll(&configs[2].id, at(129).wall, Cause::Interval, Streak::default());
    board.update_provider("payby-uae", |status| {
        status.counts.requests = 7;
        status.counts.deferred = 2;
        status.counts.throttled = 1;
        status.clock_skew_seconds = Some(-3);
        status.session_expiry = Some(at(3_600).wall);
        status.limiter.lock().unwrap().pause(at(160).boot);
    });
    board
}

/// What goes with [`board`].
pub(crate) fn telemetry() -> Telemetry {
    let telemetry = Telemetry::new().unwrap();
    telemetry.know_provider("payby-uae");
    telemetry.know_provider("bridge");
    telemetry.state_written(true);
    telemetry.observe_request("payby-uae", Duration::from_millis(300));
    telemetry.observe_lateness(Duration::from_millis(2));
    telemetry.config_reloaded(true, at(0).wall);
    telemetry
}
