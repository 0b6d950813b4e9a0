//! Who compares passwords.
//!
//! A comparison is slow on purpose, so there is one at a time, on a thread of its own that gives way to others. Who was
//! right once is remembered and never waits again: a flood of wrong passwords does not keep Prometheus out. Who comes
//! for the first time is let past all whose connection has guessed wrong before.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::users::{Claim, Comparison};
use crate::web::activity::Activity;

/// Comparisons that may wait for the one that is under way. One more turns away the one that has waited for longest.
const WAITING: usize = 256;
/// How long anybody waits. Prometheus gives up after so long, too.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much the thread gives way to polls and scrapes.
const NICENESS: i32 = 5;
/// Most that are remembered. Only who knows a password fills it.
const REMEMBERED: usize = 1_024;

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Let in.
    Right,
    /// Not let in.
    Wrong,
    /// Too many are waiting.
    Busy,
}

struct Waiting {
    comparison: Comparison,
    verdict: oneshot::Sender<bool>,
}

/// Who waits for a comparison, each in the order of their coming.
#[derive(Default)]
struct Waiters {
    /// Nothing that came over their connection was wrong yet.
    newcomers: VecDeque<Waiting>,
    /// They guess.
    guessers: VecDeque<Waiting>,
    /// It is the turn of the newcomer who has waited for longest, and not of the one who came last.
    oldest_is_next: bool,
    is_over: bool,
}

impl Waiters {
    fn is_empty(&self) -> bool {
        self.newcomers.is_empty() && self.guessers.is_empty()
    }

    /// Adds one. If there are too many, the guesser goes who has waited for longest, or else the newcomer.
    fn push(&mut self, new: Waiting, guesses: bool) {
        if self.newcomers.len() + self.guessers.len() >= WAITING {
            let crowd = if self.guessers.is_empty() { &mut self.newcomers } else { &mut self.guessers };
            crowd.pop_front();
        }
        let crowd = if guesses { &mut self.guessers } else { &mut self.newcomers };
        crowd.push_back(new);
    }

    /// Takes out who is next: a newcomer, by turns the last and the first.
    ///
    /// In the order of their coming one would wait for all who open a connection for each guess; and if the last were
    /// always next, two of them could take turns for ever.
    fn pop(&mut self) -> Option<Waiting> {
        self.oldest_is_next = !self.oldest_is_next;
        let newcomer = if self.oldest_is_next { self.newcomers.pop_back() } else { self.newcomers.pop_front() };
        newcomer.or_else(|| self.guessers.pop_front())
    }
}

/// The waiters, and what wakes the one who compares.
#[derive(Default)]
struct Queue {
    waiters: Mutex<Waiters>,
    bell: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, new: Waiting, guesses: bool) {
        self.lock().push(new, guesses);
        self.bell.notify_one();
    }

    /// Waits for the next one; none if it is all over.
    fn next(&self) -> Option<Waiting> {
        let is_idle = |waiters: &mut Waiters| waiters.is_empty() && !waiters.is_over;
        self.bell.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn end(&self) {
        *self.lock() = Waiters { is_over: true, ..Waiters::default() };
        self.bell.notify_one();
    }
}

/// Compares passwords, and remembers who was right.
pub(super) struct Porter {
    queue: Arc<Queue>,
    right: Mutex<HashSet<[u8; 32]>>,
}

impl Porter {
    /// Starts its thread, which ends with it.
    pub(super) fn start() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = queue.clone();
        thread::Builder::new().name("passwords".to_owned()).spawn(move || {
            // of this thread alone; where that is forbidden it goes without
            let _ = rustix::process::setpriority_process(None, NICENESS);
            while let Some(Waiting { comparison, verdict }) = theirs.next() {
                // whoever has hung up need not be compared with
                if !verdict.is_closed() {
                    let _ = verdict.send(comparison.is_right());
                }
            }
        })?;
        Ok(Self { queue, right: Mutex::default() })
    }

    /// Whether this claim is right, which came over a connection that does this.
    pub(super) async fn admits(&self, claim: Claim, visitor: &Activity) -> Verdict {
        let Claim { key, is_known, comparison } = claim;
        if self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Verdict::Right;
        }
        let (verdict, is_right) = oneshot::channel();
        self.queue.push(Waiting { comparison, verdict }, visitor.has_guessed_wrong());
        let Ok(Ok(is_right)) = timeout(PATIENCE, is_right).await else { return Verdict::Busy };
        if !is_right || !is_known {
            visitor.guessed_wrong();
            return Verdict::Wrong;
        }
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(key);
        Verdict::Right
    }
}

impl Drop for Porter {
    fn drop(&mut self) {
        self.queue.end();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::super::users::tests::{claim, users};
    use super::*;

    crate::secret::never_shown!(Waiting, Waiters, Porter);

    #[tokio::test]
    async fn only_the_right_password_of_a_user_lets_in() {
        let (users, porter) = (users(4), Porter::start().unwrap());
        for (credentials, expected) in [
            ("ali:open sesame", Verdict::Right),
            ("ali:open barley", Verdict::Wrong),
            ("ali:", Verdict::Wrong),
            (":open sesame", Verdict::Wrong),
            ("Ali:open sesame", Verdict::Wrong),
            ("cassim:open sesame", Verdict::Wrong),
            ("ali:open sesame\0", Verdict::Wrong),
            ("ali:open sesame:", Verdict::Wrong),
            ("\u{e9}:\u{e9}", Verdict::Wrong),
            ("ali:open sesame", Verdict::Right),
        ] {
            let visitor = Activity::default();
            assert_eq!(porter.admits(claim(&users, credentials), &visitor).await, expected, "{credentials:?}");
            assert_eq!(visitor.has_guessed_wrong(), expected == Verdict::Wrong, "{credentials:?}");
        }
        assert_eq!(porter.right.lock().unwrap().len(), 1, "only who was right is remembered");
    }

    #[tokio::test]
    async fn who_was_right_does_not_wait_behind_a_flood() {
        let (users, porter, visitor) = (users(4), Porter::start().unwrap(), Activity::default());
        let admits = |credentials: &str| Box::pin(porter.admits(claim(&users, credentials), &visitor));
        assert_eq!(admits("ali:open sesame").await, Verdict::Right);
        let mut flood: Vec<_> = (0..10_000).map(|n| admits(&format!("ali:{n}"))).collect();
        let mut busy = 0;
        for _ in 0..2 {
            for guess in &mut flood {
                if let Poll::Ready(verdict) = glance(guess).await {
                    // a comparison may be over by the time that one looks
                    assert_ne!(verdict, Verdict::Right);
                    busy += usize::from(verdict == Verdict::Busy);
                    *guess = admits("ali:open barley");
                }
            }
        }
        assert!(busy > 0, "nobody was turned away");
        assert_eq!(glance(&mut admits("ali:open sesame")).await, Poll::Ready(Verdict::Right), "at once");
    }

    /// The waiters of a test by number, and what becomes of them.
    struct Street {
        waiters: Waiters,
        verdicts: BTreeMap<usize, oneshot::Receiver<bool>>,
    }

    impl Street {
        /// Nobody yet.
        fn new() -> Self {
            Self { waiters: Waiters::default(), verdicts: BTreeMap::new() }
        }

        fn comes(&mut self, number: usize, guesses: bool) {
            let comparison = claim(&users(4), &format!("ali:{number}")).comparison;
            let (verdict, outcome) = oneshot::channel();
            self.waiters.push(Waiting { comparison, verdict }, guesses);
            self.verdicts.insert(number, outcome);
        }

        fn next(&mut self) -> Option<usize> {
            let next = self.waiters.pop()?;
            Some(std::str::from_utf8(&next.comparison.password).unwrap().parse().unwrap())
        }

        fn turned_away(&mut self) -> Vec<usize> {
            let is_closed = |outcome: &mut oneshot::Receiver<bool>| {
                outcome.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
            };
            self.verdicts.iter_mut().filter_map(|(number, outcome)| is_closed(outcome).then_some(*number)).collect()
        }
    }

    #[test]
    fn newcomers_pass_guessers_and_none_of_them_waits_for_ever() {
        let mut street = Street::new();
        for number in 0..4 {
            street.comes(number, true);
        }
        for number in 4..8 {
            street.comes(number, false);
        }
        assert_eq!((0..6).map_while(|_| street.next()).collect::<Vec<_>>(), [7, 4, 6, 5, 0, 1]);
        street.comes(8, false);
        assert_eq!((0..4).map_while(|_| street.next()).collect::<Vec<_>>(), [8, 2, 3]);
        // two who come again and again, and one who was there before them
        street.comes(9, false);
        for number in 10..20 {
            street.comes(number, false);
            if street.next() == Some(9) {
                assert!(number <= 12, "{number}");
                return;
            }
        }
        panic!("the first never has a turn");
    }

    #[test]
    fn guessers_make_room_first() {
        let mut street = Street::new();
        for number in 0..WAITING {
            street.comes(number, number % 2 == 1);
        }
        street.comes(WAITING, false);
        street.comes(WAITING + 1, true);
        assert_eq!(street.turned_away(), [1, 3]);
        for number in 0..WAITING / 2 - 1 {
            street.comes(WAITING + 2 + number, false);
        }
        assert_eq!(street.turned_away().last(), Some(&(WAITING + 1)), "the last guesser");
        assert!(!street.turned_away().contains(&0));
        street.comes(WAITING * 2 + 2, false);
        assert!(street.turned_away().contains(&0), "the first newcomer");
    }

    #[test]
    fn the_end_turns_everybody_away() {
        let queue = Queue::default();
        let (verdict, mut outcome) = oneshot::channel();
        queue.push(Waiting { comparison: claim(&users(4), "ali:1").comparison, verdict }, false);
        queue.end();
        assert!(outcome.try_recv().is_err());
        assert!(queue.next().is_none());
    }

    #[tokio::test]
    async fn a_stranger_who_is_right_passes_those_who_guess() {
        const GUESSERS: usize = 100;
        let (users, porter) = (Arc::new(users(8)), Arc::new(Porter::start().unwrap()));
        let guesses = Arc::new(AtomicUsize::new(0));
        let guess = |number: usize| {
            let (users, porter, guesses) = (users.clone(), porter.clone(), guesses.clone());
            async move {
                let visitor = Activity::default();
                loop {
                    let claim = claim(&users, &format!("ali:{number}"));
                    assert_eq!(porter.admits(claim, &visitor).await, Verdict::Wrong);
                    guesses.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let crowd: Vec<_> = (0..GUESSERS).map(|number| tokio::spawn(guess(number))).collect();
        while guesses.load(Ordering::Relaxed) < GUESSERS {
            tokio::task::yield_now().await;
        }
        let before = guesses.load(Ordering::Relaxed);
        let verdict = porter.admits(claim(&users, "ali:open sesame"), &Activity::default()).await;
        assert_eq!(verdict, Verdict::Right);
        let passed = guesses.load(Ordering::Relaxed) - before;
        assert!(passed < GUESSERS / 10, "{passed} guesses came first");
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// One look at a future.
    async fn glance<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
    }
}
