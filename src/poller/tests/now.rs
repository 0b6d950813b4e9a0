//! Polls that somebody asks for.

use tokio::time::sleep;

use super::stage::{Entry, Stage, reply, secs};
use crate::account::AccountId;
use crate::schedule::{Cause, NotNow};

fn id(account: &str) -> AccountId {
    AccountId { provider: "p".into(), account: account.into() }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_asked_for_comes_at_once_and_not_twice() {
    let stage = Stage::new();
    stage.always("/a", reply(5, "balance 1"));
    let handle = stage.play(&[Entry { interval: 3600, ..Entry::new("p", &["a"]) }]).await;
    assert_eq!(handle.poll_now(id("b")).await, Err(NotNow::Unknown));
    sleep(secs(2)).await;
    assert_eq!(handle.poll_now(id("a")).await, Err(NotNow::UnderWay), "the first poll");
    sleep(secs(10)).await;
    assert!(matches!(handle.poll_now(id("a")).await, Err(NotNow::HadOne { .. })));
    sleep(secs(90)).await;
    assert_eq!(handle.poll_now(id("a")).await, Ok(()));
    assert_eq!(handle.poll_now(id("a")).await, Err(NotNow::UnderWay));
    sleep(secs(10)).await;
    assert_eq!(stage.seconds("/a"), [0, 102]);
    assert!(stage.account("p", "a").next_poll.is_some_and(|next| next > stage.edge.clock.now().wall));
}

#[tokio::test(start_paused = true)]
async fn who_asks_waits_for_the_limit_like_everybody() {
    let stage = Stage::new();
    let entry = Entry { rate: (2, 100), interval: 3600, ..Entry::new("p", &["a", "b"]) };
    let handle = stage.play(&[entry]).await;
    sleep(secs(50)).await;
    for account in ["a", "b"] {
        assert_eq!(handle.poll_now(id(account)).await, Ok(()), "{account}");
    }
    sleep(secs(40)).await;
    assert_eq!(stage.sent().len(), 2, "the limit is used up");
    assert_eq!(handle.poll_now(id("a")).await, Err(NotNow::UnderWay), "its turn is out, and waits");
    sleep(secs(30)).await;
    assert_eq!(stage.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_provider_asked_for_holds_for_all_of_its_accounts() {
    let stage = Stage::new();
    stage.script("/a", [reply(1, "slower 90")]);
    let handle = stage.play(&[Entry { interval: 3600, ..Entry::new("p", &["a", "b"]) }]).await;
    sleep(secs(60)).await;
    let sent = stage.sent().len();
    for account in ["a", "b"] {
        let left_alone = handle.poll_now(id(account)).await;
        let Err(NotNow::LeftAlone { cause: Cause::Throttled, until }) = left_alone else {
            panic!("{account}: {left_alone:?}")
        };
        let left = until.since(stage.edge.clock.now().boot).as_secs();
        assert!((30..32).contains(&left), "{left}");
    }
    assert_eq!(stage.sent().len(), sent);
    sleep(secs(40)).await;
    assert_eq!(handle.poll_now(id("b")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_poller_that_has_stopped_polls_nobody() {
    let stage = Stage::new();
    let handle = stage.play(&[Entry::new("p", &["a"])]).await;
    handle.stop(secs(1)).await;
    assert_eq!(handle.poll_now(id("a")).await, Err(NotNow::Stopping));
}
