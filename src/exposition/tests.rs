//! What a scrape holds, read back by the strict checker.

use std::collections::HashSet;

use proptest::prelude::*;

use super::catalogue::Presence;
use super::checker::{Exposition, check_accounts};
use super::sample::{ACCOUNTS, amount, at, board, config, labelled, provider, snapshot, telemetry};
use super::*;
use crate::board::Board;
use crate::failure::{ErrorReason, Failure};

const FORMATS: [Format; 3] =
    [Format::Text, Format::OpenMetrics(Escaping::Underscores), Format::OpenMetrics(Escaping::AllowUtf8)];

fn scrape(board: &Board, now: Now) -> Exposition {
    let telemetry = telemetry().gather();
    let view = board.view();
    let ids: Vec<_> = view.accounts.iter().map(|status| status.config.id.clone()).collect();
    let accounts: Vec<_> = ids.iter().map(|id| (&*id.provider, &*id.account)).collect();
    for format in FORMATS {
        let text = render(&view, &telemetry, now, format);
        check_accounts(&text, format, &accounts).unwrap_or_else(|problem| panic!("{format}: {problem}\n{text}"));
    }
    checker::check(&render(&view, &telemetry, now, Format::Text), Format::Text).unwrap()
}

#[test]
fn all_metrics_appear_when_there_is_something_to_say() {
    let telemetry = telemetry().gather();
    for format in FORMATS {
        let text = render(&board().view(), &telemetry, at(100), format);
        let seen = check_accounts(&text, format, &ACCOUNTS).unwrap();
        let seen: HashSet<_> = seen.families.iter().map(|family| family.name.clone()).collect();
        for metric in METRICS {
            let name = if format.is_open_metrics() { metric.family() } else { metric.name };
            assert!(seen.contains(name), "{format}: {name}");
        }
        assert_eq!(seen.len(), METRICS.len());
    }
}

#[test]
fn values_are_what_the_board_says() {
    let seen = scrape(&board(), at(100));
    let settlement = [("provider", "payby-uae"), ("account", "settlement")];
    let team = ("team", "a \"b\" \\ c\nd <script>");
    for (name, more, value) in [
        ("balance_amount", vec![("wallet", "main"), ("currency", "AED"), team], "120.00"),
        ("balance_available_amount", vec![("wallet", "main"), ("currency", "AED"), team], "99.05"),
        ("balance_frozen_amount", vec![], "20.95"),
        ("balance_credit_limit_amount", vec![], "0"),
        ("balance_outflow_amount_total", vec![("wallet", "main"), ("currency", "AED"), team], "1.05"),
        ("balance_inflow_amount_total", vec![team], "0"),
        ("balance_threshold_amount", vec![("severity", "warning"), team], "50000"),
        ("balance_threshold_amount", vec![("severity", "critical")], "0.50"),
        ("balance_fresh", vec![team], "1"),
        ("balance_poll_success", vec![], "1"),
        ("balance_last_success_timestamp_seconds", vec![], "1700000098.5"),
        ("balance_last_poll_timestamp_seconds", vec![], "1700000099.5"),
        ("balance_next_poll_timestamp_seconds", vec![], "1700000129.5"),
        ("balance_waiting_until_timestamp_seconds", vec![("cause", "throttled")], "1700000160.5"),
        ("balance_poll_failures_in_a_row", vec![], "0"),
        ("balance_poll_interval_seconds", vec![], "30.5"),
        ("balance_stale_after_seconds", vec![], "300"),
        ("balance_polls_total", vec![], "2"),
        ("balance_poll_failures_total", vec![("reason", "auth")], "0"),
        ("balance_account_info", vec![("api", "payby"), ("environment", "production"), ("type", "PREPAID"), team], "1"),
    ] {
        let labels: Vec<_> = settlement.iter().copied().chain(more).collect();
        assert_eq!(seen.value(name, &labels), Some(value), "{name}{labels:?}");
    }
    let payby = ("provider", "payby-uae");
    for (name, labels, value) in [
        ("balance_provider_requests_total", vec![payby], "7"),
        ("balance_provider_deferred_total", vec![payby], "2"),
        ("balance_provider_throttled_total", vec![payby], "1"),
        ("balance_provider_rate_limit_requests", vec![payby, ("window", "1m")], "30"),
        ("balance_provider_rate_limit_window_seconds", vec![payby, ("window", "1m")], "60"),
        ("balance_provider_rate_limit_remaining", vec![payby, ("window", "1s")], "2"),
        ("balance_provider_paused_until_timestamp_seconds", vec![], "1700000160.5"),
        ("balance_provider_waiting_until_timestamp_seconds", vec![("cause", "throttled")], "1700000160.5"),
        ("balance_provider_clock_skew_seconds", vec![], "-3"),
        ("balance_provider_session_expiry_timestamp_seconds", vec![], "1700003600.5"),
        ("balance_provider_request_duration_seconds_bucket", vec![payby, ("le", "0.25")], "0"),
        ("balance_provider_request_duration_seconds_bucket", vec![payby, ("le", "0.5")], "1"),
        ("balance_provider_request_duration_seconds_bucket", vec![payby, ("le", "1.0")], "1"),
        ("balance_provider_request_duration_seconds_sum", vec![payby], "0.3"),
        ("balance_provider_request_duration_seconds_count", vec![("provider", "bridge")], "0"),
        ("balance_exporter_build_info", vec![("version", env!("CARGO_PKG_VERSION"))], "1"),
        ("balance_exporter_config_last_reload_successful", vec![], "1"),
        ("balance_exporter_web_config_last_reload_successful", vec![], "1"),
        ("balance_exporter_config_last_reload_success_timestamp_seconds", vec![], "1700000000.5"),
        ("balance_exporter_poll_lateness_seconds_count", vec![], "1"),
    ] {
        assert_eq!(seen.value(name, &labels), Some(value), "{name}{labels:?}");
    }
}

#[test]
fn an_account_is_all_there_before_its_first_poll() {
    let seen = scrape(&board(), at(100));
    let young = [("account", "young")];
    for (name, value) in [
        ("balance_fresh", Some("0")),
        ("balance_poll_success", Some("0")),
        ("balance_last_success_timestamp_seconds", Some("0")),
        ("balance_last_poll_timestamp_seconds", Some("0")),
        ("balance_next_poll_timestamp_seconds", Some("0")),
        ("balance_polls_total", Some("0")),
        ("balance_account_info", Some("1")),
        ("balance_amount", None),
        ("balance_available_amount", None),
        ("balance_outflow_amount_total", None),
    ] {
        assert_eq!(seen.value(name, &young), value, "{name}");
    }
    for reason in ErrorReason::ALL {
        let labels = [("account", "young"), ("reason", reason.as_str())];
        assert_eq!(seen.value("balance_poll_failures_total", &labels), Some("0"), "{reason}");
    }
}

#[test]
fn reasons_that_never_happened_can_be_left_out() {
    let board = board();
    let reasons = |account: &str| {
        let text = render(&board.view(), &telemetry().gather(), at(100), Format::Text);
        let seen = checker::check(&text, Format::Text).unwrap();
        let samples =
            seen.samples("balance_poll_failures_total").filter(|sample| sample.label("account") == Some(account));
        samples.map(|sample| (sample.label("reason").unwrap().to_owned(), sample.value.clone())).collect::<Vec<_>>()
    };
    board.tell_every_reason(false);
    assert_eq!(reasons("old"), [("auth".to_owned(), "1".to_owned())]);
    assert_eq!(reasons("young"), []);
    board.tell_every_reason(true);
    assert_eq!(reasons("young").len(), ErrorReason::ALL.len());
}

#[test]
fn what_cannot_be_vouched_for_is_withdrawn_and_its_absence_is_told() {
    let board = board();
    let old = [("account", "old")];
    for (seconds, fresh, available) in [(100, "1", Some("12.50")), (300, "1", Some("12.50")), (301, "0", None)] {
        let seen = scrape(&board, at(seconds));
        assert_eq!(seen.value("balance_fresh", &old), Some(fresh), "after {seconds} s");
        assert_eq!(seen.value("balance_available_amount", &old), available, "after {seconds} s");
        assert_eq!(seen.value("balance_outflow_amount_total", &old), Some("0"), "never withdrawn");
        assert_eq!(seen.value("balance_poll_success", &old), Some("0"));
    }
    let seen = scrape(&board, at(1_000));
    let info = seen.samples("balance_account_info").find(|sample| sample.label("account") == Some("settlement"));
    assert_eq!(info.unwrap().label("type"), None, "what the provider said is withdrawn with its numbers");
    for metric in METRICS.iter().filter(|metric| metric.presence == Presence::WhileFresh) {
        assert_eq!(seen.samples(metric.name).count(), 0, "{}", metric.name);
    }
}

#[test]
fn series_go_with_their_account_and_provider() {
    let board = board();
    let kept = [config("bridge", "fleet")];
    board.configure(vec![provider("bridge")], &kept);
    let text = render(&board.view(), &telemetry().gather(), at(100), Format::Text);
    check_accounts(&text, Format::Text, &[("bridge", "fleet")]).unwrap();
    assert!(!text.contains("payby-uae"), "{text}");
}

#[test]
fn nothing_configured_is_a_valid_scrape() {
    scrape(&Board::default(), at(0));
    let text = render(&Board::default().view(), &[], at(0), Format::Text);
    checker::check(&text, Format::Text).unwrap();
}

#[test]
fn families_begin_as_each_format_wants_it() {
    let families = telemetry().gather();
    let text = render(&board().view(), &families, at(100), Format::Text);
    assert!(text.starts_with("# HELP balance_amount Total"), "{text}");
    assert!(text.contains("# TYPE balance_account_info gauge\n"));
    assert!(text.contains("# TYPE balance_polls_total counter\n"));
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    let open = render(&board().view(), &families, at(100), FORMATS[1]);
    assert!(open.contains("# TYPE balance_account info\n# HELP balance_account How"));
    assert!(open.contains("# TYPE balance_polls counter\n# HELP balance_polls Polls"));
    assert!(open.contains(
        "# TYPE balance_stale_after_seconds gauge\n# UNIT balance_stale_after_seconds seconds\n\
         # HELP balance_stale_after_seconds The"
    ));
    assert!(open.ends_with("\n# EOF\n"));
    assert_eq!(open, render(&board().view(), &families, at(100), FORMATS[2]), "no scheme changes the text");
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&text), samples(&open), "both formats name the same series");
}

#[test]
fn the_checker_knows_when_an_account_is_missing_or_a_stranger() {
    let text = render(&board().view(), &telemetry().gather(), at(100), Format::Text);
    check_accounts(&text, Format::Text, &ACCOUNTS).unwrap();
    check_accounts(&text, Format::Text, &ACCOUNTS[1..]).unwrap_err();
    let more: Vec<_> = ACCOUNTS.iter().copied().chain([("bridge", "more")]).collect();
    check_accounts(&text, Format::Text, &more).unwrap_err();
    for gone in ["balance_fresh{", "balance_poll_failures_total{", "balance_exporter_build_info{", "process_threads "] {
        let without: String = text.split_inclusive('\n').filter(|line| !line.starts_with(gone)).collect();
        check_accounts(&without, Format::Text, &ACCOUNTS).unwrap_err();
    }
}

#[test]
fn spans_are_written_as_prometheus_writes_them() {
    for (millis, text) in [
        (0, "0s"),
        (250, "250ms"),
        (1_000, "1s"),
        (60_000, "1m"),
        (90_000, "1m30s"),
        (3_600_000, "1h"),
        (86_400_000, "1d"),
        (90_061_001, "1d1h1m1s1ms"),
    ] {
        assert_eq!(span(Duration::from_millis(millis)), text);
    }
}

proptest! {
    /// Whatever happened, the text is valid, and a balance is there exactly while it is fresh.
    #[test]
    fn any_board_renders(
        outcomes in proptest::collection::vec((0_usize..5, 0_u64..400, 0_usize..16, -99_i32..9_999_999), 0..40),
        label in "\\PC{0,12}",
        ends in 0_u64..600,
    ) {
        let board = Board::default();
        let name = |index: usize| format!("account-{index}");
        let configs: Vec<_> = (0..5).map(|index| labelled("payby-uae", &name(index), &label)).collect();
        board.configure(vec![provider("payby-uae")], &configs);
        let mut last: [Option<(u64, String)>; 5] = Default::default();
        let mut clock = 0;
        for (index, wait, outcome, minor) in outcomes {
            clock += wait / 10;
            let outcome = if let Some(reason) = ErrorReason::ALL.get(outcome) {
                Err(Failure::new(*reason, "it failed"))
            } else {
                let read = amount(&minor.to_string()).shifted(2);
                last[index] = Some((clock, read.to_string()));
                Ok(snapshot(&read.to_string(), at(clock)))
            };
            board.file(&configs[index], outcome, at(clock));
        }
        let seen = scrape(&board, at(clock + ends));
        for (index, read) in last.iter().enumerate() {
            let name = name(index);
            let labels = [("account", name.as_str())];
            let fresh = read.as_ref().filter(|(taken, _)| clock + ends - taken <= 300);
            prop_assert_eq!(seen.value("balance_fresh", &labels), Some(if fresh.is_some() { "1" } else { "0" }));
            let shown = seen.value("balance_available_amount", &labels);
            prop_assert_eq!(shown, fresh.map(|(_, digits)| digits.as_str()));
        }
    }
}
