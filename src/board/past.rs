//! The recent past of an account: enough to draw a line from, and no more.

use crate::account::Balance;
use crate::money::Amount;

/// Most polls that are remembered, of an account with one wallet.
const MOST_POLLS: usize = 32;
/// What the memory of one account may take; accounts with more wallets remember fewer polls.
const MOST_BYTES: usize = MOST_POLLS * (size_of::<Poll>() + size_of::<i64>());

/// The last polls of an account. It takes no memory before the first one.
///
/// A fleet has one of each account, and hardly anybody looks. So they are packed: of each poll there is what it differs
/// by from the one before, in as few bytes as that takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Oldest first, as [`Record::pack`] writes them.
    packed: Box<[u8]>,
    count: usize,
    wallets: usize,
}

/// A poll that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// When, in seconds since 1970.
    pub ended: u32,
    /// Whether it brought a reading.
    pub good: bool,
}

/// A poll with what could be spent, wallet by wallet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    poll: Poll,
    figures: Vec<Option<i64>>,
}

impl Past {
    /// Adds a poll of an account that has so many wallets. `reading` is what may be drawn of it: none if it failed,
    /// or if what it brought must be confirmed first.
    pub(super) fn add(&mut self, poll: Poll, wallets: usize, reading: Option<&[Balance]>) {
        if wallets != self.wallets {
            *self = Self { wallets, ..Self::default() };
        }
        let mut packed = Vec::with_capacity(self.packed.len() + 4 * (1 + wallets));
        let mut rest = &self.packed[..];
        let mut last = Record::of(wallets);
        if self.count == Self::most(wallets) {
            // the oldest one goes, and the next is not told by it any more
            last.unpack(&mut rest);
            self.count -= 1;
            if self.count == 0 {
                last = Record::of(wallets);
            } else {
                last.unpack(&mut rest);
                last.pack(&Record::of(wallets), &mut packed);
            }
        }
        packed.extend_from_slice(rest);
        while !rest.is_empty() {
            last.unpack(&mut rest);
        }
        let spendable = |wallet: usize| reading.and_then(|balances| balances.get(wallet)?.spendable());
        let figures = (0..wallets).map(|wallet| spendable(wallet).map(Amount::hundredths)).collect();
        Record { poll, figures }.pack(&last, &mut packed);
        self.packed = packed.into();
        self.count += 1;
    }

    const fn most(wallets: usize) -> usize {
        let most = MOST_BYTES / (size_of::<Poll>() + wallets * size_of::<i64>());
        if most == 0 { 1 } else { most }
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let unpacked = |(last, rest): &mut (Record, &[u8]), _| {
            last.unpack(rest);
            Some(last.clone())
        };
        (0..self.count).scan((Record::of(self.wallets), &self.packed[..]), unpacked)
    }

    /// Oldest first.
    pub fn polls(&self) -> impl Iterator<Item = Poll> {
        self.records().map(|record| record.poll)
    }

    /// What could be spent in a wallet, as many figures as there are polls, in hundredths. They are for drawing:
    /// small parts are cut off, so nothing may be told by them.
    pub fn figures(&self, wallet: usize) -> impl Iterator<Item = Option<i64>> {
        self.records().map(move |record| record.figures.get(wallet).copied().flatten())
    }
}

impl Record {
    fn of(wallets: usize) -> Self {
        Self { poll: Poll::default(), figures: vec![None; wallets] }
    }

    /// Appends what there is to know of it beside the one before.
    fn pack(&self, before: &Self, packed: &mut Vec<u8>) {
        let later = zigzag(i64::from(self.poll.ended) - i64::from(before.poll.ended));
        put(packed, later << 1 | u64::from(self.poll.good));
        for (figure, before) in self.figures.iter().zip(&before.figures) {
            // no amount is so large that this overflows
            let more = figure.map(|figure| zigzag(figure.wrapping_sub(before.unwrap_or_default())).wrapping_add(1));
            put(packed, more.unwrap_or_default());
        }
    }

    /// Becomes the next one, which is taken off the packed ones.
    fn unpack(&mut self, packed: &mut &[u8]) {
        let first = take(packed);
        let ended = i64::from(self.poll.ended) + unzigzag(first >> 1);
        self.poll = Poll { ended: u32::try_from(ended).unwrap_or_default(), good: first & 1 == 1 };
        for figure in &mut self.figures {
            let more = take(packed).checked_sub(1).map(unzigzag);
            *figure = more.map(|more| figure.unwrap_or_default().wrapping_add(more));
        }
    }
}

/// Small numbers of either sign as small ones.
const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Seven bits in a byte, the lowest first; the eighth says that there are more.
fn put(packed: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        packed.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    packed.push(number.to_le_bytes()[0]);
}

fn take(packed: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((byte, rest)) = packed.split_first() {
        *packed = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::account::Wallet;
    use crate::money::Currency;

    fn balances(figures: &[&str]) -> Vec<Balance> {
        let balance = |text: &&str| Balance {
            available: Amount::parse(text).ok(),
            ..Balance::empty(Wallet::MAIN, Currency::parse("AED").unwrap())
        };
        figures.iter().map(balance).collect()
    }

    fn figures(past: &Past, wallet: usize) -> Vec<Option<i64>> {
        past.figures(wallet).collect()
    }

    #[test]
    fn the_last_polls_are_remembered_in_their_order() {
        let mut past = Past::default();
        past.add(Poll { ended: 1, good: true }, 2, Some(&balances(&["12.349", "-7"])));
        past.add(Poll { ended: 2, good: false }, 2, None);
        past.add(Poll { ended: 3, good: true }, 2, Some(&balances(&["999999999999999.99999999", ""])));
        assert_eq!(
            past.polls().map(|poll| (poll.ended, poll.good)).collect::<Vec<_>>(),
            [(1, true), (2, false), (3, true)]
        );
        assert_eq!(figures(&past, 0), [Some(1_234), None, Some(99_999_999_999_999_999)]);
        assert_eq!(figures(&past, 1), [Some(-700), None, None]);
        for ended in 4..100 {
            past.add(Poll { ended, good: true }, 2, Some(&balances(&[&ended.to_string(), "0"])));
        }
        let first = past.polls().next().unwrap().ended;
        assert_eq!(past.polls().map(|poll| poll.ended).collect::<Vec<_>>(), (first..100).collect::<Vec<_>>());
        assert_eq!(figures(&past, 0)[0], Some(i64::from(first) * 100));
        assert_eq!(figures(&past, 1).len(), past.polls().count());
    }

    #[test]
    fn other_wallets_begin_a_new_past() {
        let mut past = Past::default();
        past.add(Poll { ended: 1, good: true }, 1, Some(&balances(&["1"])));
        past.add(Poll { ended: 2, good: true }, 2, Some(&balances(&["1", "2"])));
        assert_eq!((past.polls().count(), figures(&past, 1)), (1, vec![Some(200)]));
    }

    proptest! {
        /// Packed and unpacked, it is what was put in.
        #[test]
        fn it_is_what_was_added(
            wallets in 0_usize..70,
            polls in proptest::collection::vec((any::<u32>(), any::<bool>(), any::<[u8; 3]>()), 0..80),
        ) {
            let texts = ["", "0", "-0.01", "999999999999999.99999999", "-999999999999999.99999999", "12.5"];
            let (mut past, mut model) = (Past::default(), Vec::new());
            for (ended, good, places) in polls {
                let poll = Poll { ended, good };
                let figures: Vec<_> =
                    (0..wallets).map(|wallet| texts[usize::from(places[wallet % 3]) % texts.len()]).collect();
                past.add(poll, wallets, good.then(|| balances(&figures)).as_deref());
                let spendable = |text: &&str| Amount::parse(text).ok().filter(|_| good).map(Amount::hundredths);
                model.push((poll, figures.iter().map(spendable).collect::<Vec<_>>()));
            }
            let model = &model[model.len().saturating_sub(Past::most(wallets))..];
            prop_assert_eq!(past.polls().collect::<Vec<_>>(), model.iter().map(|(poll, _)| *poll).collect::<Vec<_>>());
            for wallet in 0..wallets {
                let expected: Vec<_> = model.iter().map(|(_, figures)| figures[wallet]).collect();
                prop_assert_eq!(figures(&past, wallet), expected);
            }
        }
    }

    #[test]
    fn it_stays_small() {
        assert!(Past::default().packed.is_empty(), "none before a poll");
        let mut usual = Past::default();
        for minute in 0..100_u32 {
            let spent = format!("{}.25", 50_000 - minute * 37);
            usual.add(Poll { ended: 1_800_000_000 + minute * 60, good: true }, 1, Some(&balances(&[&spent])));
        }
        assert!(usual.polls().count() == 32 && usual.packed.len() < 200, "{} bytes", usual.packed.len());
        for wallets in 0..=4 {
            let mut past = Past::default();
            for ended in 0..200 {
                past.add(Poll { ended, good: true }, wallets, None);
                let bytes = past.packed.len();
                assert!(bytes <= 512, "{bytes} bytes with {wallets} wallets");
            }
            assert!(past.polls().count() >= 12, "{} polls with {wallets} wallets", past.polls().count());
        }
    }
}
