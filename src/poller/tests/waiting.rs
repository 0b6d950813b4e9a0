//! What is told of those of whom nothing is asked: why, and until when.

use tokio::time::sleep;

use super::stage::{Entry, Stage, fleet, reply, secs};

/// The cause that a scrape gives for the account, and in how many seconds it ends, rounded down.
fn waiting(stage: &Stage, account: &str) -> Option<(String, i64)> {
    let seen = stage.scrape(&["a", "b"]);
    let name = "balance_waiting_until_timestamp_seconds";
    let mut found = seen.samples(name).filter(|sample| sample.label("account") == Some(account));
    let sample = found.next()?;
    assert!(found.next().is_none(), "one cause at a time");
    let until: f64 = sample.value.parse().unwrap();
    let now = stage.edge.clock.now().wall.as_millisecond();
    #[expect(clippy::cast_possible_truncation, reason = "a time of these years")]
    let left = (until * 1000.0).round() as i64 - now;
    Some((sample.label("cause").unwrap().to_owned(), left / 1000))
}

/// The same for the provider `p`.
fn provider_waiting(stage: &Stage) -> Option<&'static str> {
    stage.provider("p").waiting(&stage.edge.clock.now()).map(|waiting| waiting.cause.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_rhythm_is_waited_for_and_a_request_under_way_is_not() {
    let stage = Stage::new();
    stage.always("/a", reply(5, "balance 1"));
    let _handle = stage.play(&[Entry::new("p", &["a", "b"])]).await;
    sleep(secs(2)).await;
    assert_eq!(waiting(&stage, "a"), None, "it is being asked");
    sleep(secs(5)).await;
    let (cause, left) = waiting(&stage, "a").unwrap();
    assert!(cause == "interval" && left < 60, "{cause} {left}");
    assert_eq!(provider_waiting(&stage), None);
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_line_waits_for_the_limit() {
    let stage = Stage::new();
    let _handle = stage.play(&[Entry { rate: (1, 100), interval: 200, ..Entry::new("p", &["a", "b"]) }]).await;
    sleep(secs(50)).await;
    // the other had the only slot at 0 s, and its answer came after 1 s
    let queued = if stage.account("p", "a").polls == 0 { "a" } else { "b" };
    assert_eq!(waiting(&stage, queued), Some(("limit".to_owned(), 51)));
    assert_eq!(provider_waiting(&stage), Some("limit"));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_asked_for_is_told_of_everyone() {
    let stage = Stage::new();
    stage.script("/a", [reply(1, "slower 90")]);
    let _handle = stage.play(&[Entry::new("p", &["a", "b"])]).await;
    sleep(secs(11)).await;
    for account in ["a", "b"] {
        assert_eq!(waiting(&stage, account), Some(("throttled".to_owned(), 80)), "{account}");
    }
    assert_eq!(provider_waiting(&stage), Some("throttled"));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_and_lead_to_a_long_wait_that_a_reload_does_not_end() {
    let stage = Stage::new();
    stage.always("/a", reply(1, "refused"));
    let entries = || [Entry::new("p", &["a", "b"])];
    let handle = stage.play(&entries()).await;
    let failures = || stage.account("p", "a").streak.failures_in_a_row;
    while failures() < 2 {
        sleep(secs(1)).await;
    }
    // b is well, and a good poll of it takes the provider's own count back; a's stays
    while failures() < 3 {
        sleep(secs(1)).await;
    }
    let (cause, left) = waiting(&stage, "a").unwrap();
    assert!(cause == "refused" && left > 250, "{cause} {left}");
    handle.configure(fleet(&[])).await;
    handle.configure(fleet(&entries())).await;
    let (again, left) = waiting(&stage, "a").unwrap();
    assert!(again == "refused" && left > 250 && failures() == 3, "{again} {left}");
    let seen = stage.scrape(&["a", "b"]);
    assert_eq!(seen.value("balance_poll_failures_in_a_row", &[("account", "a")]), Some("3"));
    assert_eq!(seen.value("balance_poll_failures_in_a_row", &[("account", "b")]), Some("0"));
}
