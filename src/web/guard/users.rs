//! Who may come in: names and bcrypt hashes.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

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
    /// What it is remembered by, if it was right.
    pub(super) key: [u8; 32],
    /// False if nobody has this name, however the comparison ends.
    pub(super) is_known: bool,
    pub(super) comparison: Comparison,
}

/// What a password is compared with.
pub(super) struct Comparison {
    hash: String,
    /// Compared with as well by who is wrong, so that being wrong takes equally long for every name.
    padding: Vec<String>,
    pub(super) password: Zeroizing<Vec<u8>>,
}

impl Comparison {
    /// Compares, which takes as long as the hash wants.
    pub(super) fn is_right(&self) -> bool {
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

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderValue;

    use super::*;

    crate::secret::never_shown!(Hash, Users, Claim, Comparison);

    /// One user, `ali:open sesame`, with a hash of this cost.
    pub(in crate::web::guard) fn users(cost: u32) -> Users {
        let hash = bcrypt::hash("open sesame", cost).unwrap();
        Users::new(BTreeMap::from([("ali".to_owned(), Hash::try_from(hash).unwrap())]))
    }

    fn headers(credentials: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    /// The claim of somebody who sends `NAME:PASSWORD`.
    pub(in crate::web::guard) fn claim(users: &Users, credentials: &str) -> Claim {
        users.claim(&headers(credentials)).unwrap()
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
}
