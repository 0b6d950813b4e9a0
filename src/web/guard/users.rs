//! Who may come in: names and bcrypt hashes.
//!
//! A comparison is slow on purpose, so there is one at a time, on a thread of its own that gives way to others. Who was
//! right once is remembered and never waits again: a flood of wrong passwords does not keep Prometheus out. Who comes
//! for the first time is next: those who guess and wait for each answer do not form a queue before him.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Comparisons that may wait for the one that is under way. One more turns away the one that has waited for longest.
const WAITING: usize = 256;
/// How long anybody waits. Prometheus gives up after so long, too.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much the thread gives way to polls and scrapes.
const NICENESS: i32 = 5;
/// Most that are remembered. Only who knows a password fills it.
const REMEMBERED: usize = 1_024;
/// What a comparison may cost: at 14 one takes about a second.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// Salt and sum of a hash that no password has: compared with for names that nobody has, so that they take as long.
const NOBODY: &str = "balanceexporterbalancenobodyknowsapasswordforthisname";

/// A bcrypt hash. What it looks like is checked, since the library that compares is for sound ones.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hash(String);

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wanted = "expected a bcrypt hash, which begins with $2y$: htpasswd -nBC 10 NAME makes one";
        let rest =
            ["$2a$", "$2b$", "$2x$", "$2y$"].iter().find_map(|begins| text.strip_prefix(begins)).ok_or(wanted)?;
        let (cost, sum) = rest.split_once('$').ok_or(wanted)?;
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
        if cost.len() != 2 || !cost.bytes().all(|b| b.is_ascii_digit()) || sum.len() != NOBODY.len() || !plain(sum) {
            return Err(wanted);
        }
        // what the library cannot read would let nobody in, and quickly
        if text.parse::<bcrypt::HashParts>().is_err() {
            return Err(wanted);
        }
        match cost.parse() {
            Ok(cost) if COSTS.contains(&cost) => Ok(Self(text)),
            Ok(_) | Err(_) => Err("expected a hash of cost 4 to 14: more would take longer than a scrape may"),
        }
    }
}

impl Hash {
    fn cost(&self) -> u32 {
        self.0.get(4..6).and_then(|cost| cost.parse().ok()).unwrap_or_default()
    }
}

/// A hash that no password has.
fn nobodys(cost: u32) -> String {
    format!("$2b${cost:02}${NOBODY}")
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// The users of one web configuration.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, Hash>,
    /// Of the hash that takes longest.
    most_cost: u32,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, Hash>) -> Self {
        let most_cost = hashes.values().map(Hash::cost).max().unwrap_or(*COSTS.start());
        Self { hashes, most_cost }
    }

    /// True if everybody may come in.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// What a request has to be compared with, if it says who it is.
    pub(super) fn claim(&self, headers: &HeaderMap) -> Option<Claim> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
        let known = std::str::from_utf8(user).ok().and_then(|user| self.hashes.get(user));
        let (hash, cost) =
            known.map_or_else(|| (nobodys(self.most_cost), self.most_cost), |hash| (hash.0.clone(), hash.cost()));
        let key = key([user, hash.as_bytes(), password]);
        // a cost more takes twice as long, so each of these takes as long as all before it
        let padding = (cost..self.most_cost).map(nobodys).collect();
        let password = Zeroizing::new(password.to_vec());
        Some(Claim { key, is_known: known.is_some(), comparison: Comparison { hash, padding, password } })
    }
}

/// A name and a password that somebody has sent.
pub(super) struct Claim {
    key: [u8; 32],
    is_known: bool,
    comparison: Comparison,
}

/// What a password is compared with.
struct Comparison {
    hash: String,
    /// Compared with as well by who is wrong, so that being wrong takes equally long for every name.
    padding: Vec<String>,
    password: Zeroizing<Vec<u8>>,
}

impl Comparison {
    fn is_right(&self) -> bool {
        // an unreadable hash lets nobody in
        let compare = |hash: &String| bcrypt::verify(&*self.password, hash).unwrap_or(false);
        let is_right = compare(&self.hash);
        if !is_right {
            for hash in &self.padding {
                compare(hash);
            }
        }
        is_right
    }
}

/// Each part with its length, so that no two triples are hashed alike.
fn key(parts: [&[u8]; 3]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

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

/// Who waits for a comparison.
#[derive(Default)]
struct Queue {
    waiting: Mutex<(VecDeque<Waiting>, bool)>,
    bell: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Waiting>, bool)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one at the end, which is where the next is taken from.
    fn push(&self, new: Waiting) {
        let (waiting, _) = &mut *self.lock();
        if waiting.len() >= WAITING {
            waiting.pop_front();
        }
        waiting.push_back(new);
        self.bell.notify_one();
    }

    /// The one who came last; none if it is all over.
    ///
    /// In the order of their coming a newcomer would wait for everybody who guesses. This way only for those who come
    /// while one comparison is under way; and who guesses and waits for the answer does not.
    fn next(&self) -> Option<Waiting> {
        let is_idle = |(waiting, is_over): &mut (VecDeque<_>, bool)| waiting.is_empty() && !*is_over;
        let mut queue = self.bell.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        queue.0.pop_back()
    }

    fn end(&self) {
        *self.lock() = (VecDeque::new(), true);
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

    pub(super) async fn admits(&self, claim: Claim) -> Verdict {
        let Claim { key, is_known, comparison } = claim;
        if self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Verdict::Right;
        }
        let (verdict, is_right) = oneshot::channel();
        self.queue.push(Waiting { comparison, verdict });
        let Ok(Ok(is_right)) = timeout(PATIENCE, is_right).await else { return Verdict::Busy };
        if !is_right || !is_known {
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
    use http::HeaderValue;

    use super::*;

    crate::secret::never_shown!(Hash, Users, Claim, Comparison, Waiting, Porter);

    fn users(cost: u32) -> Users {
        let hash = bcrypt::hash("open sesame", cost).unwrap();
        Users::new(BTreeMap::from([("ali".to_owned(), Hash::try_from(hash).unwrap())]))
    }

    fn headers(credentials: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

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
            let claim = users.claim(&headers(credentials)).unwrap();
            assert_eq!(porter.admits(claim).await, expected, "{credentials:?}");
        }
        assert_eq!(porter.right.lock().unwrap().len(), 1, "only who was right is remembered");
    }

    #[test]
    fn what_is_no_credential_makes_no_claim() {
        let users = users(4);
        for value in
            ["", "Basic", "Basic ", "Basic !!!!", "Basic YWxp", "Bearer YWxpOmE=", "YWxpOmE=", "Basic  YWxpOmE="]
        {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            assert!(users.claim(&headers).is_none(), "{value}");
        }
        assert!(users.claim(&HeaderMap::new()).is_none());
        let spelt = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("bAsIc YWxpOmE="))]);
        assert!(users.claim(&spelt).is_some());
    }

    #[test]
    fn a_hash_must_be_one() {
        let sound = bcrypt::hash("x", 4).unwrap();
        for (hash, expected) in [
            (sound.clone(), true),
            (sound.replacen("$2b$", "$2y$", 1), true),
            (sound.replacen("$04$", "$14$", 1), true),
            (sound.replacen("$04$", "$15$", 1), false),
            (sound.replacen("$04$", "$31$", 1), false),
            (sound.replacen("$04$", "$03$", 1), false),
            (sound.replacen("$04$", "$+4$", 1), false),
            (sound.replacen("$2b$", "$1$", 1), false),
            (sound[..59].to_owned(), false),
            (format!("{sound}x"), false),
            (format!("{}\u{e9}", &sound[..58]), false),
            (format!("{} ", &sound[..59]), false),
            (format!("{}h", &sound[..59]), false),
            ("open sesame".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(Hash::try_from(hash.clone()).is_ok(), expected, "{hash}");
        }
    }

    #[test]
    fn being_wrong_takes_as_long_for_every_name() {
        let hash = |cost| Hash::try_from(bcrypt::hash("open sesame", cost).unwrap()).unwrap();
        let hashes = [("ali", hash(4)), ("cassim", hash(7)), ("morgiana", hash(5))];
        let users = Users::new(hashes.into_iter().map(|(name, hash)| (name.to_owned(), hash)).collect());
        for name in ["ali", "cassim", "morgiana", "nobody", ""] {
            let Comparison { hash, padding, password } =
                users.claim(&headers(&format!("{name}:x"))).unwrap().comparison;
            let cost = |hash: &String| hash.parse::<bcrypt::HashParts>().unwrap().get_cost();
            let rounds: u32 = padding.iter().chain([&hash]).map(|hash| 1 << cost(hash)).sum();
            assert_eq!(rounds, 1 << 7, "{name}");
            for hash in padding.iter().chain([&hash]) {
                assert_eq!(bcrypt::verify(&*password, hash).ok(), Some(false), "it is compared in earnest");
            }
        }
        let right = users.claim(&headers("ali:open sesame")).unwrap();
        assert!(right.comparison.is_right());
    }

    #[test]
    fn no_two_claims_look_alike() {
        assert_ne!(key([b"a", b"bc", b"d"]), key([b"ab", b"c", b"d"]));
        assert_ne!(key([b"", b"a", b""]), key([b"a", b"", b""]));
    }

    #[tokio::test]
    async fn who_was_right_does_not_wait_behind_a_flood() {
        let (users, porter) = (users(4), Porter::start().unwrap());
        let claim = |credentials: &str| users.claim(&headers(credentials)).unwrap();
        assert_eq!(porter.admits(claim("ali:open sesame")).await, Verdict::Right);
        let mut flood: Vec<_> = (0..10_000).map(|n| Box::pin(porter.admits(claim(&format!("ali:{n}"))))).collect();
        let mut busy = 0;
        for _ in 0..2 {
            for guess in &mut flood {
                if let std::task::Poll::Ready(verdict) = glance(guess).await {
                    // a comparison may be over by the time that one looks
                    assert_ne!(verdict, Verdict::Right);
                    busy += usize::from(verdict == Verdict::Busy);
                    *guess = Box::pin(porter.admits(claim("ali:open barley")));
                }
            }
        }
        assert!(busy > 0, "nobody was turned away");
        let mut honest = Box::pin(porter.admits(claim("ali:open sesame")));
        assert_eq!(glance(&mut honest).await, std::task::Poll::Ready(Verdict::Right), "at once");
    }

    #[test]
    fn who_comes_last_is_next() {
        let users = users(4);
        let queue = Queue::default();
        let wait = |number: usize| {
            let claim = users.claim(&headers(&format!("ali:{number}"))).unwrap();
            let (verdict, outcome) = oneshot::channel();
            queue.push(Waiting { comparison: claim.comparison, verdict });
            outcome
        };
        let mut outcomes: Vec<_> = (0..WAITING + 2).map(wait).collect();
        let turned_away: Vec<_> = outcomes.iter_mut().filter_map(|outcome| outcome.try_recv().err()).collect();
        let is_closed = |error: &&oneshot::error::TryRecvError| **error == oneshot::error::TryRecvError::Closed;
        assert_eq!(turned_away.iter().filter(is_closed).count(), 2);
        for number in [WAITING + 1, WAITING, WAITING - 1] {
            assert_eq!(*queue.next().unwrap().comparison.password, number.to_string().into_bytes());
        }
        queue.end();
        assert!(queue.next().is_none());
    }

    #[tokio::test]
    async fn a_stranger_who_is_right_passes_those_who_guess() {
        const GUESSERS: usize = 100;
        let (users, porter) = (users(8), Arc::new(Porter::start().unwrap()));
        let users = Arc::new(users);
        let guesses = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let guess = |number: usize| {
            let (users, porter, guesses) = (users.clone(), porter.clone(), guesses.clone());
            async move {
                loop {
                    let claim = users.claim(&headers(&format!("ali:{number}"))).unwrap();
                    assert_eq!(porter.admits(claim).await, Verdict::Wrong);
                    guesses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        };
        let crowd: Vec<_> = (0..GUESSERS).map(|number| tokio::spawn(guess(number))).collect();
        while guesses.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let before = guesses.load(std::sync::atomic::Ordering::Relaxed);
        let claim = users.claim(&headers("ali:open sesame")).unwrap();
        assert_eq!(porter.admits(claim).await, Verdict::Right);
        let passed = guesses.load(std::sync::atomic::Ordering::Relaxed) - before;
        assert!(passed < GUESSERS / 4, "{passed} guesses came first");
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// One look at a future.
    async fn glance<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
    }
}
