//! What is kept is what would be rendered; only what has changed is made again; buffers come home.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::plates::BLOCK_ACCOUNTS;
use super::*;
use crate::board::Progress;
use crate::exposition::sample::{at, board, config, labelled, provider, snapshot, telemetry};
use crate::exposition::{Escaping, render};
use crate::failure::{ErrorReason, Failure};
use crate::schedule::{Cause, Streak};

const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics(Escaping::Underscores)];

/// The text of an galley, whatever its coding.
fn read(typesetter: &Typesetter, board: &Board, now: Now, format: Format, coding: Coding) -> String {
    let telemetry = telemetry().gather();
    let Galley { accounts, rest, .. } = typesetter.set(board, &telemetry, now, format, coding).unwrap();
    let body = [accounts.concat(), rest.to_vec()].concat();
    match coding {
        Coding::Identity => String::from_utf8(body).unwrap(),
        Coding::Gzip => {
            let mut text = String::new();
            let mut decoder = GzDecoder::new(&*body);
            decoder.read_to_string(&mut text).unwrap();
            assert!(decoder.into_inner().is_empty(), "one stream, and nothing after it");
            text
        }
    }
}

/// Without what the exporter says of its own process, which differs from scrape to scrape.
fn lasting(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with("process_")).collect()
}

/// The account with other thresholds, and all else the same.
fn cheaper(place: usize) -> Arc<AccountConfig> {
    let mut config = Arc::into_inner(config("p", &format!("a{place}"))).unwrap();
    config.thresholds.truncate(1);
    Arc::new(config)
}

proptest! {
    /// However the board changes and time passes, and whatever was asked for before: what the typesetter gives is what
    /// would be rendered anew.
    #[test]
    fn a_galley_is_what_would_be_rendered(
        steps in proptest::collection::vec((0_u8..10, 0_usize..600, 0_u64..200), 1..25),
    ) {
        let typesetter = Typesetter::default();
        let board = Board::default();
        let configs: Vec<_> = (0..600).map(|n| config("p", &format!("a{n}"))).collect();
        let mut clock = 0;
        for (step, place, wait) in steps {
            let format = FORMATS[place % 2];
            match step {
                0 => board.configure(vec![provider("p")], &configs[..place]),
                1 => drop(board.file(&configs[place], Ok(snapshot(&place.to_string(), at(clock))), at(clock))),
                2 => drop(board.file(&configs[place], Err(Failure::new(ErrorReason::Connect, "refused")), at(clock))),
                3 => clock += wait,
                6 => board.tell_every_reason(place % 2 == 0),
                7 => {
                    let mut changed = configs.clone();
                    changed[place] = if wait % 2 == 0 { labelled("p", &format!("a{place}"), "b") } else { cheaper(place) };
                    board.configure(vec![provider("p")], &changed);
                }
                8 => board.set_next_poll(&configs[place].id, at(clock + wait).wall, Cause::Interval, Streak::default()),
                9 => board.set_progress(&configs[place].id, Progress::Queued),
                _ => {
                    let coding = if step == 4 { Coding::Identity } else { Coding::Gzip };
                    let shown = read(&typesetter, &board, at(clock), format, coding);
                    let anew = render(&board.view(), &telemetry().gather(), at(clock), format);
                    prop_assert!(lasting(&shown) == lasting(&anew), "{shown}\n---\n{anew}");
                }
            }
        }
    }
}

#[test]
fn what_has_not_changed_is_shown_again() {
    let (typesetter, board) = (Typesetter::default(), board());
    for coding in [Coding::Identity, Coding::Gzip] {
        let galley = |seconds| typesetter.set(&board, &[], at(seconds), Format::Text, coding).unwrap().accounts;
        let paused = galley(100);
        let first = galley(160);
        assert_ne!(first, paused, "a provider waits no more");
        assert_eq!(galley(165).as_ptr(), first.as_ptr(), "the same bytes in the same place");
        assert_eq!(galley(299), first, "also when memory was given back in between");
        let stale = galley(301);
        assert_ne!(stale, first, "a reading has become too old");
        assert_eq!(galley(302).as_ptr(), stale.as_ptr());
        board.file(&config("payby-uae", "young"), Ok(snapshot("5", at(302))), at(302));
        assert_ne!(galley(302), stale, "a poll has ended");
    }
}

#[test]
fn what_nobody_asks_for_uncompressed_is_not_kept_so() {
    let (typesetter, board) = (Typesetter::default(), board());
    let set = |seconds, coding| typesetter.set(&board, &[], at(seconds), Format::Text, coding).unwrap();
    let first = set(160, Coding::Identity);
    assert_eq!(set(170, Coding::Identity).accounts.as_ptr(), first.accounts.as_ptr());
    set(170, Coding::Gzip);
    set(181, Coding::Gzip);
    let is_heading = |piece: &Bytes| piece.starts_with(b"#");
    assert!(first.accounts.iter().all(|piece| is_heading(piece) || piece.is_unique()), "only the reader has them");
}

#[test]
fn what_is_asked_for_uncompressed_again_and_again_is_kept_in_between() {
    let (typesetter, board) = (Typesetter::default(), board());
    let asked_at = |seconds| {
        board.file(&config("payby-uae", "young"), Ok(snapshot("5", at(seconds))), at(seconds));
        typesetter.set(&board, &[], at(seconds), Format::Text, Coding::Identity).unwrap().accounts
    };
    // how long it is wanted for is known from the second time on
    let (_, second, third) = (asked_at(200), asked_at(215), asked_at(230));
    let is_piece = |piece: &Bytes| piece.starts_with(b"balance_threshold_amount");
    let of = |pieces: &[Bytes]| pieces.iter().find(|piece| is_piece(piece)).unwrap().as_ptr();
    assert_eq!(of(&third), of(&second), "the thresholds are the same, in the same place");
}

#[test]
fn only_what_has_changed_is_made_again() {
    let (typesetter, board) = (Typesetter::default(), Board::default());
    let configs: Vec<_> = (0..3 * BLOCK_ACCOUNTS).map(|n| config("p", &format!("a{n:04}"))).collect();
    board.configure(vec![provider("p")], &configs);
    let places = |typesetter: &Typesetter| -> Vec<_> {
        typesetter.set(&board, &[], at(1), Format::Text, Coding::Gzip).unwrap();
        let inner = typesetter.lock();
        inner.plates.metrics.iter().flatten().map(|plate| plate.fingerprint).collect()
    };
    let before = places(&typesetter);
    assert!(before.iter().all(Option::is_some));
    board.file(&configs[BLOCK_ACCOUNTS], Err(Failure::new(ErrorReason::Connect, "refused")), at(1));
    let after = places(&typesetter);
    let changed: Vec<_> = (0..before.len()).filter(|place| before[*place] != after[*place]).collect();
    assert!(changed.iter().all(|place| place % 3 == 1), "the second of three blocks: {changed:?}");
    assert_eq!(changed.len(), 3, "polls, last poll, failures");
}
