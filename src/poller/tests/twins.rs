//! The same hours twice: once in peace, and once with reload after reload that concern others, at any moment of a poll.
//! Whoever is not concerned must not be able to tell which of the two it was.

use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::*;
use crate::board::AccountStatus;
use crate::money::Amount;

const OURS: [&str; 3] = ["a", "b", "c"];

/// Everything that can be known about those who are not concerned.
#[derive(Debug, PartialEq)]
struct Story {
    /// When what was sent.
    sent: Vec<(Duration, String)>,
    accounts: Vec<Figures>,
    requests: u64,
    deferred: u64,
    left: Vec<u32>,
}

#[derive(Debug, PartialEq)]
struct Figures {
    polls: u64,
    last_success: Option<Timestamp>,
    next_poll: Option<Timestamp>,
    failures: u64,
    flows: Vec<Amount>,
}

impl Figures {
    fn of(account: &AccountStatus) -> Self {
        let AccountStatus { polls, last_success, next_poll, .. } = *account;
        let failures = ErrorReason::ALL.into_iter().map(|reason| account.failures(reason)).sum();
        let flows = account.flows.iter().flat_map(|flow| [flow.inflow, flow.outflow]).collect();
        Self { polls, last_success, next_poll, failures, flows }
    }
}

async fn hours(seed: u64, in_peace: bool) -> Story {
    let mut rng = Rng::with_seed(seed);
    let stage = Stage::new();
    // so little that they wait for each other, and for the log-in; without failures, since patience with those is partly
    // left to chance, which all share
    let ours = || Entry { login: true, rate: (4, 60), interval: 60, ..Entry::new("p", &OURS) };
    for account in OURS {
        let ends = rng.usize(5..30);
        let replies = (0..500).map(|n| match n % ends {
            3 => reply(rng.u64(1..3), "expired"),
            _ => reply(rng.u64(1..4), &format!("balance {}", n + rng.usize(..50))),
        });
        stage.script(&format!("/{account}"), replies.collect::<Vec<_>>());
    }
    stage.always("/e", reply(70, "never"));
    let handle = stage.play(&[ours(), Entry::new("q", &["d", "e"])]).await;
    for _ in 0..150 {
        sleep(Duration::from_millis(rng.u64(..60_000))).await;
        let accounts: Vec<_> = ["d", "e", "f", "g"].into_iter().filter(|_| rng.bool()).collect();
        let others = [
            Entry { rate: (rng.u32(10..50), 60), interval: rng.u64(30..600), ..Entry::new("q", &accounts) },
            Entry::new("r", &["x"]),
        ];
        let place = rng.usize(..3);
        let number = rng.usize(..3);
        if in_peace {
            continue;
        }
        let mut entries: Vec<_> = others.into_iter().filter(|entry| !entry.accounts.is_empty()).take(number).collect();
        entries.insert(place.min(entries.len()), ours());
        handle.configure(fleet(&entries)).await;
    }
    sleep(secs(5)).await;
    let sent = stage.sent().into_iter().map(|sent| (sent.at, sent.path));
    let provider = stage.provider("p");
    let left = provider.limiter.lock().unwrap().remaining(stage.edge.clock.now().boot);
    Story {
        sent: sent.filter(|(_, path)| "/a/b/c/login/refresh".contains(path.as_str())).collect(),
        accounts: OURS.iter().map(|account| Figures::of(&stage.account("p", account))).collect(),
        requests: provider.counts.requests,
        deferred: provider.counts.deferred,
        left,
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_concerned_by_reloads_cannot_tell_them() {
    for seed in 1..=40 {
        let (in_peace, among_reloads) = (hours(seed, true).await, hours(seed, false).await);
        assert!(in_peace.sent.len() > 100 && in_peace.deferred > 10, "{in_peace:?}");
        assert!(in_peace.accounts.iter().all(|account| account.failures == 0), "{in_peace:?}");
        assert_eq!(in_peace, among_reloads, "seed {seed}");
    }
}
