//! The poller on a stage where time is ours.

use std::sync::{Arc, Mutex};

use tokio::time::sleep;

use super::gate::Gate;
use super::{Poller, Trace, poll_once};
use crate::account::AccountId;
use crate::failure::ErrorReason;
use crate::rate_limit::{Quota, Window};

mod desk;
mod diary;
mod journal;
mod judge;
mod machine;
mod now;
mod reload;
mod restarts;
mod rush;
mod signing;
mod stage;
mod stale;
mod twins;
mod waiting;
mod world;

use stage::{Entry, Stage, fleet, reply, secs, settle};

#[tokio::test(start_paused = true)]
async fn slots_go_to_who_came_first_even_if_someone_gives_up() {
    let stage = Stage::new();
    let quota = Quota { windows: vec![Window { requests: 1, per: secs(10) }] };
    let gate = Arc::new(Gate::new("p".into(), quota, stage.edge.clone()));
    let order = Arc::new(Mutex::new(Vec::new()));
    let begin = stage.edge.clock.now().boot;
    let mut tasks = Vec::new();
    for nth in 0..5 {
        let (gate, order, clock) = (gate.clone(), order.clone(), stage.edge.clock.clone());
        tasks.push(tokio::spawn(async move {
            let id = AccountId { provider: "p".into(), account: "a".into() };
            let slot = gate.slot(&id).await;
            order.lock().unwrap().push((nth, clock.now().boot.since(begin).as_secs()));
            sleep(secs(1)).await;
            drop(slot);
        }));
        settle().await;
    }
    sleep(secs(5)).await;
    tasks[2].abort();
    sleep(secs(60)).await;
    // a slot is free again ten seconds after the request that had it is over
    assert_eq!(*order.lock().unwrap(), [(0, 0), (1, 11), (3, 22), (4, 33)]);
}

#[tokio::test(start_paused = true)]
async fn one_login_serves_everyone() {
    let stage = Stage::new();
    let names: Vec<String> = (0..50).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let handle = stage.play(&[Entry { login: true, ..Entry::new("p", &names) }]).await;
    sleep(secs(300)).await;
    handle.stop(secs(10)).await;
    assert_eq!(stage.count("/login"), 1);
    assert!(names.iter().all(|name| stage.account("p", name).polls >= 4 && stage.account("p", name).poll_success));
}

#[tokio::test(start_paused = true)]
async fn a_dead_session_is_renewed_once_per_kind_and_then_it_is_a_failure() {
    let stage = Stage::new();
    stage.script("/a", ["expired", "dead", "expired"].map(|says| reply(1, says)));
    let handle = stage.play(&[Entry { login: true, ..Entry::new("p", &["a"]) }]).await;
    sleep(secs(10)).await;
    assert_eq!(stage.paths(), ["/login", "/a", "/refresh", "/a", "/login", "/a"]);
    assert_eq!(stage.account("p", "a").failures(ErrorReason::Auth), 1);
    // the session is not to blame, so it is used again
    sleep(secs(60)).await;
    handle.stop(secs(10)).await;
    assert_eq!(stage.paths()[6..], ["/a"]);
    assert!(stage.account("p", "a").poll_success);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_dies_for_many_is_renewed_once() {
    let stage = Stage::new();
    let names: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    for name in &names {
        stage.script(&format!("/{name}"), [reply(5, "expired")]);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let _handle = stage.play(&[Entry { login: true, ..Entry::new("p", &names) }]).await;
    sleep(secs(20)).await;
    assert_eq!((stage.count("/login"), stage.count("/refresh")), (1, 1));
    assert!(names.iter().all(|name| stage.account("p", name).poll_success));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_says_slower_is_left_alone_longer_each_time() {
    let stage = Stage::new();
    let entry = |name, accounts: &[&str]| Entry { interval: 10, ..Entry::new(name, accounts) };
    stage.always("/a", reply(1, "slower"));
    let handle = stage.play(&[entry("p", &["a"]), entry("q", &["z"])]).await;
    for pause in [30, 60, 120, 240, 480, 900, 900] {
        let before = stage.count("/a");
        while stage.provider("p").counts.throttled < before as u64 + 1 {
            sleep(secs(1)).await;
        }
        assert!(stage.pause("p") <= pause && stage.pause("p") + 2 > pause, "{pause}: {}", stage.pause("p"));
        sleep(secs(pause - 2)).await;
        assert_eq!(stage.count("/a"), before + 1, "nothing is sent in a pause");
    }
    // one good answer and it is forgotten
    stage.script("/a", [reply(1, "balance 1")]);
    while !stage.account("p", "a").poll_success {
        sleep(secs(1)).await;
    }
    while stage.pause("p") == 0 {
        sleep(secs(1)).await;
    }
    assert!(stage.pause("p") <= 30);
    handle.stop(secs(10)).await;
    assert!(stage.account("q", "z").polls > 200, "another provider is not concerned");
}

#[tokio::test(start_paused = true)]
async fn many_that_hear_slower_at_once_heard_it_once() {
    let stage = Stage::new();
    let names: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        stage.always(&format!("/{name}"), reply(5, "slower"));
    }
    let _handle = stage.play(&[Entry::new("p", &names)]).await;
    sleep(secs(6)).await;
    assert_eq!(stage.provider("p").counts.throttled, 20);
    assert!((28..=30).contains(&stage.pause("p")), "{}", stage.pause("p"));
    // all of them wait for the end of the pause by now, or soon
    sleep(secs(36)).await;
    assert_eq!(stage.provider("p").counts.throttled, 21, "one goes first, and hears it for all");
    for name in &names {
        stage.always(&format!("/{name}"), reply(5, "balance 1"));
    }
    sleep(secs(65)).await;
    let polled = || names.iter().filter(|name| stage.account("p", name).poll_success).count();
    assert_eq!(polled(), 1);
    sleep(secs(5)).await;
    assert_eq!(polled(), 20, "once it is served, the others go");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_hears_slower_heard_it_once() {
    let stage = Stage::new();
    let names: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.always("/login", reply(5, "slower 100"));
    let _handle = stage.play(&[Entry { login: true, ..Entry::new("p", &names) }]).await;
    sleep(secs(7)).await;
    assert_eq!(stage.paths(), ["/login"]);
    assert_eq!(stage.provider("p").counts.throttled, 1);
    assert!((97..=100).contains(&stage.pause("p")), "{}", stage.pause("p"));
    assert!(names.iter().all(|name| stage.account("p", name).failures(ErrorReason::RateLimited) == 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_for_is_kept_by_all_its_accounts() {
    let stage = Stage::new();
    stage.script("/a", [reply(1, "slower 90")]);
    stage.always("/b", reply(3, "balance 1"));
    let handle = stage.play(&[Entry { interval: 10, ..Entry::new("p", &["a", "b"]) }]).await;
    sleep(secs(89)).await;
    assert_eq!((stage.count("/a"), stage.count("/b")), (1, 1));
    sleep(secs(20)).await;
    handle.stop(secs(10)).await;
    let mut after: Vec<u64> = stage.sent()[2..].iter().map(|sent| sent.at.as_secs()).collect();
    after.sort_unstable();
    assert!(after[0] >= 91, "{after:?}");
    assert!(stage.account("p", "a").poll_success && stage.account("p", "b").poll_success);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_account_one_poll() {
    let stage = Stage::new();
    stage.script("/a", [reply(1, "panic")]);
    let handle = stage.play(&[Entry::new("p", &["a", "b"])]).await;
    sleep(secs(3)).await;
    assert_eq!(stage.account("p", "a").failures(ErrorReason::Internal), 1);
    assert!(stage.account("p", "b").poll_success);
    sleep(secs(200)).await;
    handle.stop(secs(10)).await;
    assert!(stage.account("p", "a").poll_success);
    let limiter = stage.provider("p").limiter.clone();
    assert_eq!(limiter.lock().unwrap().remaining(stage.edge.clock.now().boot), [1000], "its slot is free again");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_signed_when_its_slot_comes() {
    // the wire of the stage compares the time in every request with its own
    let stage = Stage::new();
    stage.always("/a", reply(1, "more"));
    let _handle = stage.play(&[Entry { rate: (1, 20), ..Entry::new("p", &["a", "b"]) }]).await;
    sleep(secs(400)).await;
    assert!(stage.sent().windows(2).all(|two| two[1].at.checked_sub(two[0].at).unwrap() > secs(20)));
    assert!(stage.count("/a") > 5 && stage.count("/b") > 0);
    assert_eq!(stage.account("p", "a").failures(ErrorReason::Internal), 1, "for too many requests, and that alone");
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_never_has_enough_is_stopped() {
    for (login, path) in [(false, "/a"), (true, "/login")] {
        let stage = Stage::new();
        stage.always(path, reply(0, "more"));
        let _handle = stage.play(&[Entry { login, ..Entry::new("p", &["a"]) }]).await;
        sleep(secs(4)).await;
        assert_eq!(stage.count(path), 8);
        assert_eq!(stage.account("p", "a").failures(ErrorReason::Internal), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn all_requests_of_a_poll_share_its_time_and_waiting_for_slots_takes_none() {
    let stage = Stage::new();
    stage.script("/login", [reply(3, "token")]);
    stage.script("/a", [reply(4, "more"), reply(2, "more"), reply(2, "balance 1")]);
    let handle = stage.play(&[Entry { login: true, rate: (1, 30), ..Entry::new("p", &["a"]) }]).await;
    sleep(secs(200)).await;
    handle.stop(secs(60)).await;
    let deadlines: Vec<u64> = stage.sent()[..4].iter().map(|sent| sent.deadline.as_secs()).collect();
    assert_eq!(deadlines, [10, 7, 3, 1]);
    assert_eq!(stage.account("p", "a").failures(ErrorReason::Timeout), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_as_old_as_its_first_request() {
    let stage = Stage::new();
    stage.script("/a", [reply(2, "more"), reply(3, "balance 1")]);
    let handle = stage.play(&[Entry { login: true, rate: (1, 30), ..Entry::new("p", &["a"]) }]).await;
    sleep(secs(80)).await;
    handle.stop(secs(0)).await;
    let taken = stage.account("p", "a").last_success.unwrap();
    let first = stage.sent().into_iter().find(|sent| sent.path == "/a").unwrap().at;
    let begin = stage.edge.clock.now().wall.as_second() - 80;
    assert_eq!(taken.as_second() - begin, i64::try_from(first.as_secs()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_under_way_and_no_longer_than_it_may() {
    for (patience, polls, took) in [(20, 1, 5), (2, 0, 2)] {
        let stage = Stage::new();
        stage.always("/a", reply(6, "balance 1"));
        let handle = stage.play(&[Entry { interval: 5, ..Entry::new("p", &["a"]) }]).await;
        sleep(secs(1)).await;
        let begin = stage.edge.clock.now();
        handle.stop(secs(patience)).await;
        assert_eq!(stage.edge.clock.now().boot.since(begin.boot).as_secs(), took);
        sleep(secs(100)).await;
        assert_eq!((stage.count("/a"), stage.account("p", "a").polls), (1, polls));
        // nobody is there any more, and nobody waits for them
        handle.stop(secs(1)).await;
        handle.configure(fleet(&[])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_poll_on_its_own_tells_what_was_said() {
    let stage = Stage::new();
    stage.script("/a", [reply(1, "more"), reply(1, "balance 5")]);
    let (provider, connection) = fleet(&[Entry { login: true, ..Entry::new("p", &["a"]) }]).remove(0);
    let trace = Trace::default();
    let outcome = poll_once(stage.edge.clone(), &provider, connection, &provider.accounts[0], &trace).await;
    assert_eq!(outcome.unwrap().reading().balances()[0].available.unwrap().to_string(), "5");
    let said: Vec<_> = trace.take().into_iter().map(|said| (said.request.uri().path().to_owned(), said.took)).collect();
    assert_eq!(said, [("/login".to_owned(), secs(1)), ("/a".to_owned(), secs(1)), ("/a".to_owned(), secs(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_poller_of_nothing_waits() {
    let stage = Stage::new();
    let handle = stage.play(&[]).await;
    sleep(secs(1000)).await;
    assert!(stage.sent().is_empty());
    handle.configure(fleet(&[Entry::new("p", &["a"])])).await;
    sleep(secs(10)).await;
    assert_eq!(stage.count("/a"), 1);
}
