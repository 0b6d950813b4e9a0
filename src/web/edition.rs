//! Bodies that are rendered once and read by many.
//!
//! Whoever asks at about the same time gets the same copy, so that a crowd costs little more than one reader, in time
//! and in memory. An edition is out of print as soon as it may be wrong, or after a few times as long as it took to
//! make: that is a fraction of a millisecond for a dozen accounts.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::activity::Activity;
use super::body::Parts;
use crate::clock::Now;
use crate::exposition::{Coding, Moment};

/// An edition is in print for so many times as long as it took to make. So a flood of requests can keep the thread
/// busy with making them for a fifth of its time at most.
const PER_TIME_TO_MAKE: u32 = 4;
/// How long it is in print at most, when there is no room for another.
const SHORT_OF_ROOM: Duration = Duration::from_secs(1);
/// Most bytes of all editions that are still being read, unless two of the largest take more.
const ROOM: usize = 16 << 20;

/// What an edition is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Title {
    /// Which text: its media type, or where that would not tell it from others, another name.
    pub(super) text: Cow<'static, str>,
    pub(super) coding: Coding,
}

#[derive(Debug)]
struct Edition {
    number: u64,
    title: Title,
    body: Parts,
    /// Which accounts it is about.
    epoch: u64,
    /// When it was made, and which readings were fresh then.
    moment: Moment,
    at: Now,
    took: Duration,
    readers: Vec<Weak<Activity>>,
}

impl Edition {
    /// Whether it was made within `limit` and nothing in it can be wrong: the accounts are the same, ask the same,
    /// and no number has grown too old.
    fn holds(&self, epoch: u64, now: &Now, limit: Duration) -> bool {
        now.age_of(&self.at) < limit && self.epoch == epoch && self.moment.is_as_fresh(now)
    }

    fn is_read(&self) -> bool {
        self.readers.iter().filter_map(Weak::upgrade).any(|reader| reader.edition() == self.number)
    }

    fn is_in_print(&self, now: &Now) -> bool {
        now.age_of(&self.at) < self.took * PER_TIME_TO_MAKE
    }
}

/// The editions that are in print or still being read, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Press(Mutex<Stock>);

#[derive(Debug, Default)]
struct Stock {
    editions: Vec<Edition>,
    last: u64,
}

impl Press {
    /// The body of that title for this reader, made by `make` unless there is one. `clock` tells how long that took.
    pub(super) fn body(
        &self,
        title: Title,
        reader: &Arc<Activity>,
        epoch: u64,
        clock: impl Fn() -> Now,
        make: impl FnOnce(&Now) -> Option<(Parts, Moment)>,
    ) -> Option<Parts> {
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock();
        stock.clear(&now);
        let last = stock.editions.iter().rfind(|edition| edition.title == title);
        let expected = last.as_ref().map_or(0, |last| last.body.len());
        let in_print = last.as_ref().map_or(Duration::ZERO, |last| last.took * PER_TIME_TO_MAKE);
        let is_short = !stock.has_room(expected);
        let limit = if is_short { in_print.max(SHORT_OF_ROOM) } else { in_print };
        let last = stock.editions.iter_mut().rfind(|edition| edition.title == title);
        if let Some(edition) = last.filter(|edition| edition.holds(epoch, &now, limit)) {
            edition.readers.push(Arc::downgrade(reader));
            reader.reads(edition.number);
            return Some(edition.body.clone());
        }
        let (body, moment) = make(&now)?;
        let took = clock().boot.since(now.boot);
        stock.make_room(body.len());
        stock.last += 1;
        reader.reads(stock.last);
        let readers = vec![Arc::downgrade(reader)];
        let edition = Edition { number: stock.last, title, body: body.clone(), epoch, moment, at: now, took, readers };
        stock.editions.push(edition);
        Some(body)
    }

    /// Forgets what is out of print and has been read.
    pub(super) fn clear(&self, now: &Now) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear(now);
    }
}

impl Stock {
    fn clear(&mut self, now: &Now) {
        self.editions.retain(|edition| edition.is_in_print(now) || edition.is_read());
    }

    fn has_room(&self, length: usize) -> bool {
        let taken: usize = self.editions.iter().map(|edition| edition.body.len()).sum();
        taken + length <= ROOM.max(length * 2)
    }

    /// Cuts off the readers of the oldest editions, as far as it takes: whoever reads is done with them long since.
    fn make_room(&mut self, length: usize) {
        while !self.has_room(length) && !self.editions.is_empty() {
            let oldest = self.editions.remove(0);
            let readers = oldest.readers.iter().filter_map(Weak::upgrade);
            readers.filter(|reader| reader.edition() == oldest.number).for_each(|reader| reader.cut_off());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;

    use super::*;
    use crate::board::Board;
    use crate::exposition::sample::{ACCOUNTS, at, board, config, snapshot};

    const PLAIN: Title = Title { text: Cow::Borrowed("plain"), coding: Coding::Identity };
    const PACKED: Title = Title { text: Cow::Borrowed("plain"), coding: Coding::Gzip };

    /// A moment, with what making an edition takes from there.
    fn after(now: Now, passed: Duration) -> Now {
        Now { boot: now.boot + passed, wall: now.wall + passed }
    }

    /// Asks at `now`; making takes 100 ms. True if one was made.
    fn ask(press: &Press, title: Title, board: &Board, now: Now, length: usize) -> (Arc<Activity>, Parts, bool) {
        let reader = Arc::new(Activity::default());
        let is_done = Cell::new(false);
        let clock = || if is_done.get() { after(now, Duration::from_millis(100)) } else { now };
        let make = |now: &Now| {
            is_done.set(true);
            Some((Bytes::from(vec![0; length]).into(), Moment::of(&board.view(), *now)))
        };
        let body = press.body(title, &reader, board.epoch(), clock, make).unwrap();
        (reader, body, is_done.get())
    }

    #[test]
    fn an_edition_is_for_all_who_ask_before_it_is_out_of_print() {
        let (press, board) = (Press::default(), board());
        let is_made = |millis, title| ask(&press, title, &board, after(at(100), Duration::from_millis(millis)), 9).2;
        for (millis, title, expected) in [
            (0, PLAIN, true),
            (0, PACKED, true),
            (100, PLAIN, false),
            (399, PLAIN, false),
            (399, PACKED, false),
            (400, PLAIN, true),
            (799, PLAIN, false),
            (5_000, PACKED, true),
        ] {
            assert_eq!(is_made(millis, title.clone()), expected, "{millis} {title:?}");
        }
        press.clear(&at(200));
        assert!(press.0.lock().unwrap().editions.is_empty(), "what nobody reads is forgotten");
    }

    #[test]
    fn what_may_be_wrong_is_out_of_print_at_once() {
        let millis = |millis| after(at(100), Duration::from_millis(millis));
        let configs: Vec<_> = ACCOUNTS.iter().map(|(provider, account)| config(provider, account)).collect();
        for (what, change, expected) in [
            ("nothing", None, false),
            ("an account went", Some(&configs[..3]), true),
            (
                "an account is configured otherwise",
                Some(&[&configs[..3], &[config("payby-uae", "other")]].concat()[..]),
                true,
            ),
        ] {
            let (press, board) = (Press::default(), board());
            assert!(ask(&press, PLAIN, &board, millis(0), 9).2);
            if let Some(accounts) = change {
                board.configure(Vec::new(), accounts);
            }
            assert_eq!(ask(&press, PLAIN, &board, millis(10), 9).2, expected, "{what}");
        }
        let (press, board) = (Press::default(), board());
        assert!(ask(&press, PLAIN, &board, millis(0), 9).2);
        board.file(&configs[3], Ok(snapshot("7", millis(5))), millis(5));
        assert!(ask(&press, PLAIN, &board, millis(10), 9).2, "a first number does not wait");
        // `old` is stale from 300 s on
        let stale = |millis| after(at(299), Duration::from_millis(millis));
        assert!(ask(&press, PLAIN, &board, stale(900), 9).2);
        assert!(!ask(&press, PLAIN, &board, stale(1_000), 9).2);
        assert!(ask(&press, PLAIN, &board, stale(1_001), 9).2, "a number that is too old is not shown for a moment");
    }

    #[test]
    fn readers_who_stall_cannot_fill_the_memory() {
        let (press, board) = (Press::default(), board());
        let length = ROOM / 4;
        let mut held = Vec::new();
        let taken = || press.0.lock().unwrap().editions.iter().map(|edition| edition.body.len()).sum::<usize>();
        for second in 0..20 {
            let (reader, body, made) = ask(&press, PLAIN, &board, at(100 + second), length);
            assert!(made, "{second}");
            held.push((reader, body));
            assert!(taken() <= ROOM, "{second}");
        }
        let is_cut = |reader: &Activity| {
            let mut leave = std::pin::pin!(reader.is_cut_off());
            leave.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
        };
        let cut: Vec<_> = held.iter().map(|(reader, _)| is_cut(reader)).collect();
        assert_eq!(cut, [[true; 16].as_slice(), &[false; 4]].concat());
    }

    #[test]
    fn when_room_is_short_an_edition_is_in_print_for_longer() {
        let (press, board) = (Press::default(), board());
        let at = |millis| after(at(100), Duration::from_millis(millis));
        let held: Vec<_> = (0..4).map(|each| ask(&press, PLAIN, &board, at(each * 400), ROOM / 4)).collect();
        assert!(held.iter().all(|(_, _, made)| *made));
        assert!(!ask(&press, PLAIN, &board, at(2_199), ROOM / 4).2, "for a second");
        assert!(ask(&press, PLAIN, &board, at(2_200), ROOM / 4).2, "and no longer");
    }

    #[test]
    fn who_has_read_is_not_cut_off() {
        let (press, board) = (Press::default(), board());
        let (reader, body, _) = ask(&press, PLAIN, &board, at(100), ROOM);
        let (other, _held, _) = ask(&press, PLAIN, &board, at(100), ROOM);
        reader.end();
        drop(body);
        ask(&press, PLAIN, &board, at(200), ROOM);
        ask(&press, PLAIN, &board, at(300), ROOM);
        assert_eq!((reader.edition(), other.edition()), (0, 1));
    }
}
