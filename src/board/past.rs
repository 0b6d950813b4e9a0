//! The recent past of an account: enough to draw a line from, and no more.

use crate::account::Balance;
use crate::money::Amount;

/// Most polls that are remembered, of an account with one wallet.
const MOST_POLLS: usize = 32;
/// What the memory of one account may take; accounts with more wallets remember fewer polls.
const MOST_BYTES: usize = MOST_POLLS * (size_of::<Poll>() + size_of::<i64>());

/// The last polls of an account. It takes no memory before the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Oldest first.
    polls: Vec<Poll>,
    /// What could be spent, wallet by wallet, poll by poll.
    figures: Vec<i64>,
    wallets: usize,
}

/// A poll that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// When, in seconds since 1970.
    pub ended: u32,
    /// Whether it brought a reading.
    pub good: bool,
}

/// Where there is no figure. No amount is that low.
const NONE: i64 = i64::MIN;

impl Past {
    /// Adds a poll of an account that has so many wallets. `reading` is what may be drawn of it: none if it failed,
    /// or if what it brought must be confirmed first.
    pub(super) fn add(&mut self, poll: Poll, wallets: usize, reading: Option<&[Balance]>) {
        if wallets != self.wallets {
            *self = Self { wallets, ..Self::default() };
        }
        let most = Self::most(wallets);
        if self.polls.len() == most {
            self.polls.remove(0);
            self.figures.drain(..wallets);
        }
        // a vector that grows by itself takes up to twice as much
        self.polls.reserve_exact(most - self.polls.len());
        self.figures.reserve_exact(most * wallets - self.figures.len());
        self.polls.push(poll);
        let spendable = |wallet: usize| reading.and_then(|balances| balances.get(wallet)?.spendable());
        self.figures.extend((0..wallets).map(|wallet| spendable(wallet).map_or(NONE, Amount::hundredths)));
    }

    const fn most(wallets: usize) -> usize {
        MOST_BYTES / (size_of::<Poll>() + wallets * size_of::<i64>())
    }

    /// Oldest first.
    pub fn polls(&self) -> &[Poll] {
        &self.polls
    }

    /// What could be spent in a wallet, as many figures as there are polls, in hundredths. They are for drawing:
    /// small parts are cut off, so nothing may be told by them.
    pub fn figures(&self, wallet: usize) -> impl Iterator<Item = Option<i64>> {
        let all = self.figures.iter().skip(wallet).step_by(self.wallets.max(1));
        all.map(|figure| (*figure != NONE).then_some(*figure))
    }
}

#[cfg(test)]
mod tests {
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
            past.polls().iter().map(|poll| (poll.ended, poll.good)).collect::<Vec<_>>(),
            [(1, true), (2, false), (3, true)]
        );
        assert_eq!(figures(&past, 0), [Some(1_234), None, Some(99_999_999_999_999_999)]);
        assert_eq!(figures(&past, 1), [Some(-700), None, None]);
        for ended in 4..100 {
            past.add(Poll { ended, good: true }, 2, Some(&balances(&[&ended.to_string(), "0"])));
        }
        let first = past.polls()[0].ended;
        assert_eq!(past.polls().iter().map(|poll| poll.ended).collect::<Vec<_>>(), (first..100).collect::<Vec<_>>());
        assert_eq!(figures(&past, 0)[0], Some(i64::from(first) * 100));
        assert_eq!(figures(&past, 1).len(), past.polls().len());
    }

    #[test]
    fn other_wallets_begin_a_new_past() {
        let mut past = Past::default();
        past.add(Poll { ended: 1, good: true }, 1, Some(&balances(&["1"])));
        past.add(Poll { ended: 2, good: true }, 2, Some(&balances(&["1", "2"])));
        assert_eq!((past.polls().len(), figures(&past, 1)), (1, vec![Some(200)]));
    }

    /// The bound that ten thousand accounts were measured with.
    #[test]
    fn it_stays_small() {
        assert_eq!(
            (Past::default().polls.capacity(), Past::default().figures.capacity()),
            (0, 0),
            "none before a poll"
        );
        for wallets in 0..=4 {
            let mut past = Past::default();
            for ended in 0..200 {
                // whoever looks at the board has it copied, which leaves no room in the copy
                past = past.clone();
                past.add(Poll { ended, good: true }, wallets, None);
                let bytes = past.polls.capacity() * size_of::<Poll>() + past.figures.capacity() * size_of::<i64>();
                assert!(bytes <= 512, "{bytes} bytes with {wallets} wallets");
            }
            assert!(past.polls().len() >= 12, "{} polls with {wallets} wallets", past.polls().len());
        }
    }
}
