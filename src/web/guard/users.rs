//! Who may come in: names and bcrypt hashes.
//!
//! A comparison is slow on purpose, so there is one at a time, on a thread of its own, and few may wait for it. Who was
//! right once is remembered and never waits again: a flood of wrong passwords does not keep Prometheus out.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// Comparisons that may wait for the one that is under way.
const WAITING: usize = 8;
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
    fn cost(&self) -> &str {
        self.0.get(4..6).unwrap_or_default()
    }
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
    nobody: String,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, Hash>) -> Self {
        let cost = hashes.values().map(Hash::cost).max().unwrap_or("04");
        let nobody = format!("$2b${cost}${NOBODY}");
        Self { hashes, nobody }
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
        let hash = known.map_or(&self.nobody, |hash| &hash.0).clone();
        let key = key([user, hash.as_bytes(), password]);
        Some(Claim { key, hash, password: Zeroizing::new(password.to_vec()), is_known: known.is_some() })
    }
}

/// A name and a password that somebody has sent.
pub(super) struct Claim {
    key: [u8; 32],
    hash: String,
    password: Zeroizing<Vec<u8>>,
    is_known: bool,
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

struct Comparison {
    hash: String,
    password: Zeroizing<Vec<u8>>,
    verdict: oneshot::Sender<bool>,
}

/// Compares passwords, and remembers who was right.
#[derive(Debug)]
pub(super) struct Porter {
    queue: mpsc::Sender<Comparison>,
    right: Mutex<HashSet<[u8; 32]>>,
}

impl Porter {
    /// Starts its thread, which ends with it.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, mut waiting) = mpsc::channel::<Comparison>(WAITING);
        thread::Builder::new().name("passwords".to_owned()).spawn(move || {
            while let Some(Comparison { hash, password, verdict }) = waiting.blocking_recv() {
                // whoever has hung up need not be compared with
                if !verdict.is_closed() {
                    // an unreadable hash lets nobody in
                    let _ = verdict.send(bcrypt::verify(&*password, &hash).unwrap_or(false));
                }
            }
        })?;
        Ok(Self { queue, right: Mutex::default() })
    }

    pub(super) async fn admits(&self, claim: Claim) -> Verdict {
        let Claim { key, hash, password, is_known } = claim;
        if self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Verdict::Right;
        }
        let (verdict, is_right) = oneshot::channel();
        if self.queue.try_send(Comparison { hash, password, verdict }).is_err() {
            return Verdict::Busy;
        }
        if !is_right.await.unwrap_or(false) || !is_known {
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

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
    fn nobody_costs_as_much_as_somebody() {
        let users = users(6);
        let parts: bcrypt::HashParts = users.nobody.parse().unwrap();
        assert_eq!(parts.get_cost(), 6);
        assert_eq!(bcrypt::verify("anything", &users.nobody).ok(), Some(false), "it is compared in earnest");
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
        for guess in &mut flood {
            if let std::task::Poll::Ready(verdict) = glance(guess).await {
                // a comparison may be over by the time that one looks
                assert_ne!(verdict, Verdict::Right);
                busy += usize::from(verdict == Verdict::Busy);
            }
        }
        assert!(busy > 0, "nobody was turned away");
        let mut honest = Box::pin(porter.admits(claim("ali:open sesame")));
        assert_eq!(glance(&mut honest).await, std::task::Poll::Ready(Verdict::Right), "at once");
    }

    /// One look at a future.
    async fn glance<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
    }
}
