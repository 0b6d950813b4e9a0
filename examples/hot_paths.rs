//! The paths that are gone most often, each by itself, to have their instructions counted: `hot_paths PATH TIMES`.
//! `benches/instructions` runs it under callgrind and holds the counts against a budget.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement fails by panicking")]
// set-up is as many instructions as it takes: only what lies between two sizes counts

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balance_exporter::board::{Board, Progress, ProviderStatus, Snapshot};
use balance_exporter::clock::{BootTime, Now};
use balance_exporter::config::{self, AccountConfig, SecretReader};
use balance_exporter::exposition::{Coding, Format, Typesetter};
use balance_exporter::providers::{Exchange, Provider, Step};
use balance_exporter::rate_limit::RateLimiter;
use balance_exporter::schedule::{Plan, Schedule};
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;

const TOKEN: &str = "api: dialog, token: { env: TOKEN }";
const SIGNED: &str = "api: smilepayz, merchant_id: '1', merchant_secret: { env: TOKEN }, private_key: { env: KEY }";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path, times] = &words[..] else { panic!("hot_paths PATH TIMES") };
    let times: usize = times.parse().expect("a number");
    match path.as_str() {
        "render" => print(Coding::Identity, times, true),
        "render-gzip" => print(Coding::Gzip, times, true),
        // everything is looked at, nothing made again
        "render-again" => print(Coding::Identity, times, false),
        "render-gzip-again" => print(Coding::Gzip, times, false),
        "poll" => poll(&Fleet::new(TOKEN, 1), times),
        "signature" => sign(&Fleet::new(SIGNED, 1), times),
        "turn" => turn(1_000, times),
        _ => panic!("no such path"),
    }
}

/// So many accounts at one provider, each read once.
struct Fleet {
    configs: Vec<Arc<AccountConfig>>,
    adapters: Vec<Arc<dyn Provider>>,
    board: Board,
}

impl Fleet {
    fn new(provider: &str, accounts: usize) -> Self {
        let mut text = format!(
            "providers:\n  - {{ name: p, {provider}, rate_limit: {{ requests: 1000000, per: 1m }},\n      accounts: [\n"
        );
        for index in 0..accounts {
            let own = if provider == TOKEN { "msisdn: '94770000000'" } else { "account_no: '1', currency: PEN" };
            writeln!(text, "        {{ name: a{index}, {own} }},").unwrap();
        }
        text += "      ] }\n";
        let secrets = SecretReader::with_environment(BTreeMap::from([
            ("TOKEN".to_owned(), "a-token".to_owned()),
            ("KEY".to_owned(), include_str!("../tests/vectors/key.pkcs8.pem").to_owned()),
        ]));
        let mut loaded = config::load_text("fleet", &text, &secrets).unwrap_or_else(|refused| panic!("{refused}"));
        let entry = loaded.config.providers.remove(0);
        let board = Board::default();
        let limiter = Arc::new(Mutex::new(RateLimiter::new(entry.quota.clone())));
        board.configure(vec![ProviderStatus::new(entry.name.clone(), limiter)], &entry.accounts);
        let fleet = Self { configs: entry.accounts.clone(), adapters: loaded.connections.remove(0).accounts, board };
        if provider == TOKEN {
            for place in 0..accounts {
                fleet.poll(place, at(0));
            }
        }
        fleet
    }

    /// One poll without the network: the request, the reply read, the outcome filed.
    fn poll(&self, place: usize, now: Now) {
        let (config, adapter) = (&self.configs[place], &self.adapters[place]);
        let exchange = |replies| Exchange { at: now.wall, session: None, pinned: None, previous: None, replies };
        black_box(adapter.step(&exchange(&[])).unwrap());
        let reply = Response::new(Bytes::from_static(
            br#"{"endUserId":"94770000000","referenceCode":"REF-1","accountInfo":{"accountType":"PREPAID","accountStatus":"Active","creditLimit":66.81,"balance":66.81}}"#,
        ));
        let Ok(Step::Done(reading)) = adapter.step(&exchange(&[reply])) else { panic!("the reply is good") };
        self.board.file(config, Snapshot::of(config, reading, now), now);
    }
}

fn at(seconds: u64) -> Now {
    let boot = BootTime::from_boot(Duration::from_secs(1_000 + seconds));
    Now { boot, wall: Timestamp::from_second(1_700_000_000).unwrap() + Duration::from_secs(seconds) }
}

/// The accounts of one block, so many times, each time by another who has kept nothing or by the same.
fn print(coding: Coding, times: usize, is_new: bool) {
    let fleet = Fleet::new(TOKEN, 256);
    let mut typesetter = Typesetter::default();
    for _ in 0..times {
        if is_new {
            typesetter = Typesetter::default();
        }
        black_box(typesetter.set(&fleet.board, &[], at(1), Format::Text, coding).unwrap());
        // the board is another one, as far as anybody can tell without looking
        fleet.board.set_progress(&fleet.configs[0].id, Progress::Resting);
    }
}

fn poll(fleet: &Fleet, times: usize) {
    for _ in 0..times {
        fleet.poll(0, at(1));
    }
}

fn sign(fleet: &Fleet, times: usize) {
    let exchange = Exchange { at: at(0).wall, session: None, pinned: None, previous: None, replies: &[] };
    for _ in 0..times {
        black_box(fleet.adapters[0].step(&exchange).unwrap());
    }
}

/// Of a fleet of so many, one after the other.
fn turn(accounts: usize, times: usize) {
    let fleet = Fleet::new(TOKEN, accounts);
    let plan = Plan { interval: Duration::from_secs(60), stale_after: Duration::from_secs(300) };
    let mut schedule = Schedule::default();
    schedule.replace(&fleet.configs.iter().map(|config| (config.id.clone(), plan)).collect(), at(0).boot);
    for _ in 0..times {
        let next = schedule.next_wakeup().unwrap();
        let turn = schedule.take_due(next).unwrap();
        schedule.finished(turn, Ok(()), next, 0.5);
    }
}
