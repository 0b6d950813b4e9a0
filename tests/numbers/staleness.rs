//! No number outlives `stale_after`, whatever the clocks do and whoever has died.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balance_exporter::clock::{BootTime, Clock, Now};
use balance_exporter::exposition::Format;
use balance_exporter::exposition::checker::{Exposition, check_accounts};
use balance_exporter::web;
use jiff::Timestamp;

use crate::bench::{BRIDGE, Bench, at, at_millis, bridge_reply};

/// Instants that are near each other, and now and then far away.
fn instant(random: &mut fastrand::Rng) -> Now {
    let mut nanos = |centre: i64| {
        let reach = 10_i64.pow(random.u32(1..=17));
        centre.saturating_add(random.i64(-reach..=reach)).max(0)
    };
    let boot = nanos(1_000_000_000_000_000);
    let wall = nanos(1_800_000_000_000_000_000);
    Now {
        boot: BootTime::from_boot(Duration::from_nanos(boot.unsigned_abs())),
        wall: Timestamp::from_nanosecond(wall.into()).unwrap(),
    }
}

#[test]
fn a_million_pairs_of_clocks_agree_with_the_law_of_age() {
    let bench = Bench::new(BRIDGE, &["service_id: 1, currency: GHS, stale_after: 5m".to_owned()]);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut fresh, mut stale) = (0, 0);
    for _ in 0..10_000 {
        let taken = instant(&mut random);
        bench.file(0, &bridge_reply("1", "2", "3"), taken);
        let status = bench.status(0);
        for _ in 0..100 {
            // both clocks step about by themselves, around the age at which it matters
            let mut now = if random.u8(..4) == 0 { instant(&mut random) } else { taken };
            let reach = 10_u64.pow(random.u32(1..=12));
            now.boot = now.boot + Duration::from_nanos(random.u64(..=reach));
            now.wall += Duration::from_nanos(random.u64(..=reach));
            if random.bool() {
                now.boot = taken.boot + Duration::from_secs(300) + Duration::from_nanos(random.u64(..3));
            }
            let by_boot = i128::try_from(now.boot.since_boot().as_nanos()).unwrap()
                - i128::try_from(taken.boot.since_boot().as_nanos()).unwrap();
            let by_wall = now.wall.as_nanosecond() - taken.wall.as_nanosecond();
            let age = by_boot.max(by_wall).max(0);
            assert_eq!(i128::try_from(now.age_of(&taken).as_nanos()).unwrap(), age);
            let young = age <= 300_000_000_000;
            assert_eq!(status.fresh(&now).is_some(), young, "{taken:?} {now:?}");
            if young { fresh += 1 } else { stale += 1 }
        }
    }
    assert!(fresh > 50_000 && stale > 50_000, "{fresh} {stale}");
}

/// A clock that a test sets.
#[derive(Debug)]
struct Hand(Mutex<Now>);

impl Clock for Hand {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

/// What the web side answers to a scrape, strictly read.
fn scrape(server: &web::Handle) -> Exposition {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    check_accounts(text, Format::Text, &[("p", "a0"), ("p", "a1")]).unwrap()
}

/// Nobody polls here, as if the provider had frozen, or the scheduler had died: nothing but the scrape withdraws.
#[test]
fn a_number_is_gone_at_the_first_scrape_after_its_time() {
    let account = |id, stale_after: &str| format!("service_id: {id}, currency: GHS, stale_after: {stale_after}");
    let bench = Bench::new(BRIDGE, &[account(1, "2m"), account(2, "1h")]);
    let clock = Arc::new(Hand(Mutex::new(at(0))));
    let state = web::State::new(bench.board.clone(), bench.telemetry.clone(), clock.clone(), "/metrics", None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = web::spawn(listener, Arc::new(state), web::Limits::default()).unwrap();
    let shown = |now: Now| {
        *clock.0.lock().unwrap() = now;
        let seen = scrape(&server);
        ["a0", "a1"].map(|account| {
            let fresh = seen.value("balance_fresh", &[("account", account)]).unwrap().to_owned();
            let figures = seen.samples("balance_available_amount");
            (fresh, figures.filter(|sample| sample.label("account") == Some(account)).count())
        })
    };
    let yes = || ("1".to_owned(), 3);
    let no = || ("0".to_owned(), 0);
    assert_eq!(shown(at(0)), [no(), no()], "nothing was read");
    for index in 0..2 {
        bench.file(index, &bridge_reply("1", "2", "3"), at(10));
    }
    assert_eq!(shown(at(10)), [yes(), yes()]);
    assert_eq!(shown(at(130)), [yes(), yes()]);
    assert_eq!(shown(at_millis(130_001)), [no(), yes()]);
    assert_eq!(shown(at(3_610)), [no(), yes()]);
    assert_eq!(shown(at_millis(3_610_001)), [no(), no()]);
    // the machine slept for an hour, and its wall clock was set back to where it was
    let slept = Now { wall: at(11).wall, ..at(3_700) };
    assert_eq!(shown(slept), [no(), no()]);
    // the wall clock was set forward
    let forward = Now { wall: at(500).wall, ..at(20) };
    assert_eq!(shown(forward), [no(), yes()]);
    // a reading brings the numbers back
    bench.file(0, &bridge_reply("1", "2", "3"), at(3_700));
    assert_eq!(shown(at(3_701)), [yes(), no()]);
}
