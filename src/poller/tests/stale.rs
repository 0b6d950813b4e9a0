//! What is shown when nothing new comes: a number goes when its time is over, whoever is to blame.

use tokio::time::sleep;

use crate::failure::ErrorReason;

use super::stage::{Entry, Stage, reply, secs};

/// Of the stage's entries that are polled every minute.
const STALE_AFTER: u64 = 240;

/// Scrapes each second from now on: how long the number is there. It is gone for good then, and that is told.
async fn shown_for(stage: &Stage) -> u64 {
    let mut seconds = 0;
    let mut gone = 0;
    while gone < 300 {
        let seen = stage.scrape(&["a"]);
        let figures = seen.samples("balance_available_amount").count();
        let fresh = seen.value("balance_fresh", &[]).unwrap();
        assert!((figures, fresh) == (3, "1") || (figures, fresh) == (0, "0"), "{figures} figures, fresh {fresh}");
        assert!(gone == 0 || figures == 0, "it has come back");
        (seconds, gone) = if figures > 0 { (seconds + 1, gone) } else { (seconds, gone + 1) };
        sleep(secs(1)).await;
    }
    seconds
}

#[tokio::test(start_paused = true)]
async fn a_frozen_provider_is_not_believed_for_longer_than_it_may() {
    let stage = Stage::new();
    stage.script("/a", [reply(3, "balance 7")]);
    stage.always("/a", reply(1_000_000, "balance 8"));
    let _handle = stage.play(&[Entry { interval: 60, ..Entry::new("p", &["a"]) }]).await;
    while stage.account("p", "a").snapshot.is_none() {
        sleep(secs(1)).await;
    }
    let shown = shown_for(&stage).await;
    // it was as old as its request when it came
    assert!((STALE_AFTER - 4..=STALE_AFTER - 2).contains(&shown), "{shown}");
    assert!(stage.account("p", "a").polls > 3, "and the provider was asked all the time");
}

#[tokio::test(start_paused = true)]
async fn a_dead_poller_leaves_no_number_behind() {
    let stage = Stage::new();
    let (handle, task) = stage.begin(&[Entry::new("p", &["a"])]).await;
    sleep(secs(90)).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let polls = stage.account("p", "a").polls;
    let shown = shown_for(&stage).await;
    assert!(shown <= STALE_AFTER && shown > STALE_AFTER - 90, "{shown}");
    assert_eq!(stage.account("p", "a").polls, polls, "nobody polled");
    drop(handle);
}

#[tokio::test(start_paused = true)]
async fn a_jump_is_held_for_one_poll() {
    let stage = Stage::new();
    stage.script("/a", ["10", "10000", "11", "12000", "13000"].map(|read| reply(1, &format!("balance {read}"))));
    stage.always("/a", reply(1, "balance 13000"));
    let _handle = stage.play(&[Entry { hold_jump_over: Some(100), ..Entry::new("p", &["a"]) }]).await;
    let mut shown = Vec::new();
    for _ in 0..360 {
        sleep(secs(1)).await;
        let seen = stage.scrape(&["a"]);
        let value = seen.value("balance_available_amount", &[("wallet", "payout")]).map(str::to_owned);
        if shown.last() != Some(&value) {
            shown.push(value);
        }
    }
    let texts: Vec<_> = shown.iter().flatten().map(String::as_str).collect();
    assert_eq!(texts, ["10", "11", "13000"]);
    assert!(shown[1..].iter().all(Option::is_some), "there was a number all the time");
    assert_eq!(stage.scrape(&["a"]).value("balance_readings_held_total", &[]), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_step_knows_what_told_the_reply_before_from_others() {
    let stage = Stage::new();
    let says = ["marked none x", "marked x y", "refused", "marked y y", "balance 1", "marked y z"];
    stage.script("/a", says.map(|says| reply(1, says)));
    let _handle = stage.play(&[Entry::new("p", &["a"])]).await;
    while stage.account("p", "a").polls < 6 {
        sleep(secs(1)).await;
    }
    // a word that is not as expected is a panic in the step
    assert_eq!(stage.account("p", "a").failures(ErrorReason::Internal), 0);
    assert_eq!(stage.scrape(&["a"]).value("balance_repeated_replies_total", &[]), Some("1"));
}
