//! What a reload keeps and what it does not.

use std::fmt::Write as _;

use super::*;
use crate::config::{Change, ProviderConfig};
use crate::poller::handle::changes;
use crate::poller::{Changes, Fleet};
use crate::providers::Connection;

/// What a reload hands over: how a fleet differs from the entries before.
fn differences(before: &[Arc<ProviderConfig>], fleet: Fleet) -> Changes {
    let change = |(mut provider, connection): (Arc<ProviderConfig>, Connection)| {
        let Some(known) = before.iter().find(|known| known.name == provider.name) else {
            return (provider, Change::Everything(connection));
        };
        if *known == provider {
            return (known.clone(), Change::Nothing);
        }
        for account in &mut Arc::get_mut(&mut provider).unwrap().accounts {
            if let Some(same) = known.accounts.iter().find(|same| *same == account) {
                *account = same.clone();
            }
        }
        let goes_on = known.same_connection(&provider);
        (provider, if goes_on { Change::Accounts(connection) } else { Change::Everything(connection) })
    };
    fleet.into_iter().map(change).collect()
}

/// A history of reloads, told by what was sent and by what is known in the end.
async fn history(by_difference: bool) -> String {
    let stage = Stage::new();
    stage.always("/b", reply(1, "refused"));
    stage.always("/x", reply(40, "balance 7"));
    let handle = stage.play(&[]).await;
    let p = |accounts: &[&str]| Entry { rate: (4, 30), login: true, ..Entry::new("p", accounts) };
    let q = |accounts: &[&str]| Entry::new("q", accounts);
    let mut asking = p(&["a", "b", "c", "d"]);
    asking.accounts[2].1 = 2;
    let fleets = [
        vec![p(&["a", "b", "c"]), q(&["x", "y"])],
        vec![p(&["a", "c"]), q(&["x", "y"])],
        vec![p(&["a", "b", "c", "d"]), q(&["x", "y"])],
        vec![q(&["x"]), Entry { interval: 30, ..p(&["a", "b", "c", "d"]) }],
        vec![p(&["a", "b", "c", "d"]), q(&["x", "z", "y"])],
        vec![asking, Entry::new("r", &["e"])],
        vec![Entry { rate: (2, 40), ..p(&["d", "a"]) }, q(&["x", "y"]), Entry::new("r", &["e", "f"])],
    ];
    let mut told = String::new();
    let mut before = Vec::new();
    for entries in fleets {
        let fleet = fleet(&entries);
        let changes = if by_difference { differences(&before, fleet) } else { changes(fleet) };
        before = changes.iter().map(|(provider, _)| provider.clone()).collect();
        handle.change(changes).await;
        sleep(secs(97)).await;
        let view = stage.edge.board.view();
        for status in view.accounts {
            writeln!(told, "{status:?}").unwrap();
        }
        for status in view.providers {
            writeln!(told, "{} {:?}", status.name, status.counts).unwrap();
        }
    }
    handle.stop(secs(0)).await;
    let sent = stage.sent();
    assert!(sent.len() > 50 && sent.iter().any(|sent| sent.path == "/z"), "{sent:?}");
    format!("{told}{sent:?}")
}

#[tokio::test(start_paused = true)]
async fn a_difference_comes_to_the_same_as_the_whole() {
    assert_eq!(history(true).await, history(false).await);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_comes_back_is_polled_again_and_counts_on() {
    let stage = Stage::new();
    let handle = stage.play(&[Entry::new("p", &["a", "b"])]).await;
    sleep(secs(100)).await;
    let (polls, sent) = (stage.account("p", "b").polls, stage.count("/b"));
    handle.configure(fleet(&[Entry::new("p", &["a"])])).await;
    sleep(secs(200)).await;
    assert_eq!(stage.count("/b"), sent);
    handle.configure(fleet(&[Entry::new("p", &["a", "b"])])).await;
    sleep(secs(200)).await;
    assert!(stage.count("/b") >= sent + 3, "{}", stage.count("/b"));
    assert_eq!(stage.account("p", "b").polls, polls + (stage.count("/b") - sent) as u64);
}

#[tokio::test(start_paused = true)]
async fn what_stays_the_same_is_not_disturbed() {
    let stage = Stage::new();
    let entry = |accounts: &[&str]| Entry { login: true, rate: (6, 60), interval: 3600, ..Entry::new("p", accounts) };
    let handle = stage.play(&[entry(&["a", "b"])]).await;
    sleep(secs(10)).await;
    let (before, sent) = (stage.account("p", "a"), stage.sent().len());
    let left = |stage: &Stage| stage.provider("p").limiter.lock().unwrap().remaining(stage.edge.clock.now().boot);
    assert_eq!((left(&stage), stage.provider("p").counts.requests), (vec![3], 3));
    handle.configure(fleet(&[entry(&["a", "b", "c"])])).await;
    sleep(secs(5)).await;
    // the new one is polled; the session, the counters, the readings and what was sent are still known
    assert_eq!(stage.paths()[sent..], ["/c"]);
    assert_eq!((left(&stage), stage.provider("p").counts.requests), (vec![2], 4));
    let after = stage.account("p", "a");
    assert_eq!((after.polls, &after.snapshot, after.next_poll), (1, &before.snapshot, before.next_poll));
    assert!(after.snapshot.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_asks_for_something_else_forgets_and_is_polled_at_once() {
    let stage = Stage::new();
    let asking = |asks| Entry { interval: 3600, accounts: vec![("a".to_owned(), asks)], ..Entry::new("p", &[]) };
    let handle = stage.play(&[asking(1)]).await;
    sleep(secs(5)).await;
    assert!(stage.account("p", "a").snapshot.is_some());
    stage.script("/a", [reply(5, "balance 8"), reply(1, "balance 9")]);
    handle.configure(fleet(&[asking(2)])).await;
    assert!(stage.account("p", "a").snapshot.is_none());
    settle().await;
    // another change while that question is on its way: the answer to it is nobody's, and the new one is asked
    handle.configure(fleet(&[asking(3)])).await;
    sleep(secs(5)).await;
    assert_eq!(stage.account("p", "a").snapshot, None);
    sleep(secs(5)).await;
    let status = stage.account("p", "a");
    assert_eq!(
        status.fresh(&stage.edge.clock.now()).unwrap().reading().balances()[0].spendable().unwrap().to_string(),
        "9"
    );
    assert_eq!((stage.count("/a"), status.polls), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn other_credentials_log_in_anew() {
    let stage = Stage::new();
    let named = |name| Entry { login: true, ..Entry::new(name, &["a"]) };
    let handle = stage.play(&[named("p")]).await;
    sleep(secs(5)).await;
    handle.configure(fleet(&[named("p")])).await;
    sleep(secs(100)).await;
    assert_eq!(stage.count("/login"), 1);
    // the user is named after the entry
    handle.configure(fleet(&[named("q")])).await;
    sleep(secs(5)).await;
    assert_eq!(stage.count("/login"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_leaves_and_comes_back_is_asked_no_more_than_before() {
    let stage = Stage::new();
    let entry = || Entry { rate: (1, 60), ..Entry::new("p", &["a"]) };
    let handle = stage.play(&[entry()]).await;
    sleep(secs(5)).await;
    handle.configure(fleet(&[])).await;
    assert!(stage.edge.board.view().accounts.is_empty());
    sleep(secs(5)).await;
    handle.configure(fleet(&[entry()])).await;
    sleep(secs(100)).await;
    assert_eq!(stage.seconds("/a")[..2], [0, 61]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_kept_until_nothing_counts_and_nobody_has_it() {
    let stage = Stage::new();
    let entry = || Entry { rate: (1, 60), ..Entry::new("p", &["a"]) };
    let mut poller = Poller::new(stage.edge.clone(), 1);
    poller.change(changes(fleet(&[entry()])));
    sleep(secs(1)).await;
    poller.begin_due();
    settle().await;
    // the poll has its slot, and is under way
    poller.change(Vec::new());
    assert_eq!(poller.gates.len(), 1);
    while let Some(ended) = poller.tasks.join_next_with_id().await {
        poller.end(ended);
    }
    sleep(secs(50)).await;
    poller.change(Vec::new());
    assert_eq!(poller.gates.len(), 1);
    sleep(secs(20)).await;
    poller.change(Vec::new());
    assert_eq!(poller.gates.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_leaves_during_its_poll_leaves_no_trace() {
    let stage = Stage::new();
    stage.always("/a", reply(5, "balance 1"));
    let handle = stage.play(&[Entry::new("p", &["a", "b"])]).await;
    sleep(secs(1)).await;
    handle.configure(fleet(&[Entry::new("p", &["b"])])).await;
    sleep(secs(200)).await;
    assert_eq!(stage.count("/a"), 1);
    assert_eq!(stage.edge.board.view().accounts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_limit_holds_at_once() {
    let stage = Stage::new();
    let entry = |requests, interval| Entry { rate: (requests, 100), interval, ..Entry::new("p", &["a", "b", "c"]) };
    let handle = stage.play(&[entry(3, 100)]).await;
    sleep(secs(5)).await;
    handle.configure(fleet(&[entry(1, 300)])).await;
    sleep(secs(500)).await;
    handle.stop(secs(0)).await;
    let later: Vec<_> = stage.sent()[3..].iter().map(|sent| sent.at).collect();
    assert!(later[0] > secs(101) && later.windows(2).all(|two| two[1].checked_sub(two[0]).unwrap() > secs(101)));
}

#[tokio::test(start_paused = true)]
async fn new_secrets_end_the_wait_of_those_who_fail_and_of_the_login() {
    let stage = Stage::new();
    let entry = || Entry { login: true, interval: 3600, ..Entry::new("p", &["a"]) };
    stage.script("/login", [reply(1, "refused"), reply(1, "refused"), reply(1, "token")]);
    let handle = stage.play(&[entry()]).await;
    sleep(secs(5)).await;
    assert_eq!((stage.count("/login"), stage.count("/a")), (1, 0));
    let (_, connection) = fleet(&[entry()]).remove(0);
    handle.reconnect("p".into(), connection).await;
    sleep(secs(5)).await;
    assert_eq!(stage.count("/login"), 2, "the refusal of the old secrets holds no one back");
    let (_, connection) = fleet(&[entry()]).remove(0);
    handle.reconnect("p".into(), connection).await;
    sleep(secs(5)).await;
    assert!(stage.account("p", "a").poll_success);
    let polls = stage.account("p", "a").polls;
    let (_, connection) = fleet(&[entry()]).remove(0);
    handle.reconnect("p".into(), connection).await;
    sleep(secs(5)).await;
    assert_eq!(stage.account("p", "a").polls, polls, "nobody who is well is disturbed");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_asks_as_things_are_when_it_comes() {
    let stage = Stage::new();
    let entry = |accounts: &[&str]| Entry { rate: (1, 60), interval: 3_600, ..Entry::new("p", accounts) };
    let handle = stage.play(&[entry(&["a", "b", "c"])]).await;
    sleep(secs(10)).await;
    let first = stage.paths();
    assert_eq!(first.len(), 1);
    // a reload that changes nothing for them takes nobody's place
    handle.configure(fleet(&[entry(&["a", "b", "c", "d"])])).await;
    sleep(secs(60)).await;
    assert_eq!(stage.paths().len(), 2);
    assert!(!stage.paths().contains(&"/d".to_owned()), "{:?}", stage.paths());
    // other secrets, which one tells here by other paths
    let (_, connection) = fleet(&[entry(&["e", "f", "g", "h"])]).remove(0);
    handle.reconnect("p".into(), connection).await;
    sleep(secs(130)).await;
    let others = stage.paths()[2..].to_vec();
    assert!(others.len() == 2 && others.iter().all(|path| "/e/f/g/h".contains(path.as_str())), "{others:?}");
    for account in ["a", "b", "c", "d"] {
        let status = stage.account("p", account);
        assert_eq!((status.polls, status.poll_success), (1, true), "nobody has failed");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_an_account_that_left_while_it_waited() {
    for login in [false, true] {
        let stage = Stage::new();
        let entry = |accounts: &[&str]| Entry { login, rate: (1, 60), interval: 3_600, ..Entry::new("p", accounts) };
        let handle = stage.play(&[entry(&["a", "b"])]).await;
        sleep(secs(10)).await;
        let sent = stage.paths();
        assert_eq!(sent.len(), 1);
        handle.configure(fleet(&[])).await;
        sleep(secs(1_000)).await;
        assert_eq!(stage.paths(), sent);
        handle.configure(fleet(&[entry(&["a", "b"])])).await;
        sleep(secs(1_000)).await;
        assert_eq!((stage.count("/a"), stage.count("/b")), (1, 1));
        assert!(stage.account("p", "b").poll_success);
    }
}
