//! With `hold_jump_over`, a number that jumped is shown when a second reading says the same, and not before.

use balance_exporter::board::Filing;

use crate::bench::{BRIDGE, Bench, at, bridge_reply};

fn bench(keys: &str) -> Bench {
    Bench::new(BRIDGE, &[format!("service_id: 1, currency: GHS, interval: 1m, {keys}")])
}

/// What is shown of the wallet for payouts, whether it is fresh, and how many readings were held.
fn shown(bench: &Bench, seconds: u64) -> (Option<String>, String, String) {
    let seen = bench.scrape(at(seconds));
    let value = |metric, labels: &[_]| seen.value(metric, labels).map(str::to_owned);
    (
        value("balance_available_amount", &[("wallet", "payout")]),
        value("balance_fresh", &[]).unwrap(),
        value("balance_readings_held_total", &[]).unwrap(),
    )
}

#[test]
fn a_jump_is_shown_when_it_is_confirmed_and_a_glitch_never() {
    let bench = bench("hold_jump_over: 10");
    for (minute, read, expected, held) in [
        (0, "100", "100", 0),
        (1, "1000", "1000", 0),
        // a glitch is followed by what was before
        (2, "1", "1000", 1),
        (3, "990", "990", 1),
        (4, "990000", "990", 2),
        (5, "0", "990", 3),
        (6, "980", "980", 3),
        // a jump is followed by its like
        (7, "98000", "980", 4),
        (8, "97000.50", "97000.50", 4),
        // and is then what others are compared with
        (9, "980", "97000.50", 5),
        (10, "970", "970", 5),
        // from zero, to zero and over it is far, and is confirmed by exactly zero as well
        (11, "0", "970", 6),
        (12, "0.00", "0.00", 6),
        (13, "5", "0.00", 7),
        (14, "4", "4", 7),
        (15, "-4", "4", 8),
        (16, "-5", "-5", 8),
    ] {
        let filing = bench.file(0, &bridge_reply(read, "1", "1"), at(minute * 60));
        let is_held = shown(&bench, minute * 60) != (Some(read.to_owned()), "1".to_owned(), held.to_string());
        assert_eq!(filing == Filing::Held, is_held, "{minute}: {read}");
        assert_eq!(
            shown(&bench, minute * 60),
            (Some(expected.to_owned()), "1".to_owned(), held.to_string()),
            "{minute}"
        );
    }
}

#[test]
fn what_is_held_keeps_nothing_fresh_and_moves_no_flow() {
    let bench = bench("hold_jump_over: 2, stale_after: 5m");
    bench.file(0, &bridge_reply("100", "1", "1"), at(0));
    for minute in 1..=5 {
        // none is near another
        bench.file(0, &bridge_reply(&format!("7{}", "00".repeat(minute + 1)), "1", "1"), at(minute as u64 * 60));
    }
    let seen = bench.scrape(at(300));
    assert_eq!(shown(&bench, 300), (Some("100".to_owned()), "1".to_owned(), "5".to_owned()));
    assert_eq!(seen.value("balance_last_success_timestamp_seconds", &[]), Some("1800000000"));
    assert_eq!(seen.value("balance_inflow_amount_total", &[("wallet", "payout")]), Some("0"));
    assert_eq!(shown(&bench, 301), (None, "0".to_owned(), "5".to_owned()), "its time is over, and that is told");
    bench.file(0, &bridge_reply("5", "1", "1"), at(360));
    bench.file(0, &bridge_reply("7", "1", "1"), at(420));
    bench.file(0, &bridge_reply("7.5", "1", "1"), at(480));
    let seen = bench.scrape(at(480));
    assert_eq!(seen.value("balance_outflow_amount_total", &[("wallet", "payout")]), Some("93"));
    assert_eq!(seen.value("balance_last_success_timestamp_seconds", &[]), Some("1800000480"));
}

#[test]
fn any_wallet_can_hold_a_reading_and_all_of_it_waits() {
    let bench = bench("hold_jump_over: '1.5'");
    bench.file(0, &bridge_reply("100", "100", "100"), at(0));
    assert_eq!(bench.file(0, &bridge_reply("110", "110", "151"), at(60)), Filing::Held);
    assert_eq!(shown(&bench, 60).0.as_deref(), Some("100"));
    assert_eq!(bench.file(0, &bridge_reply("120", "120", "152"), at(120)), Filing::Filed);
    assert_eq!(shown(&bench, 120).0.as_deref(), Some("120"));
}

#[test]
fn nothing_is_held_unless_that_is_configured() {
    let bench = bench("stale_after: 5m");
    for (minute, read) in [(0, "1"), (1, "999999999"), (2, "0"), (3, "-7")] {
        assert_eq!(bench.file(0, &bridge_reply(read, "1", "1"), at(minute * 60)), Filing::Filed);
        assert_eq!(shown(&bench, minute * 60), (Some(read.to_owned()), "1".to_owned(), "0".to_owned()));
    }
}

/// Whatever is read, a number is shown only if it is near the one that was shown, or near the one that waits.
#[test]
fn no_lonely_jump_is_ever_shown() {
    let near = |one: i64, other: i64| {
        let (small, large) = (one.abs().min(other.abs()), one.abs().max(other.abs()));
        (one < 0) == (other < 0) && large <= 4 * small
    };
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bench = bench("hold_jump_over: 4, stale_after: 1d");
        let (mut last, mut waits, mut held): (Option<i64>, Option<i64>, u64) = (None, None, 0);
        for minute in 0..100 {
            let read = random.i64(-4..=4).pow(random.u32(1..6));
            bench.file(0, &bridge_reply(&read.to_string(), "1", "1"), at(minute * 60));
            if last.is_none_or(|last| near(last, read)) || waits.is_some_and(|waits| near(waits, read)) {
                (last, waits) = (Some(read), None);
            } else {
                (waits, held) = (Some(read), held + 1);
            }
            let expected = (last.map(|last| last.to_string()), "1".to_owned(), held.to_string());
            assert_eq!(shown(&bench, minute * 60), expected, "seed {seed}, minute {minute}");
        }
    }
}
