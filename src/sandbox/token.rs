//! The tokens of the Dialog sandbox: one at a time, each killed by the next.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::BootTime;

/// How many dead tokens are remembered, to be told from unknown ones.
const MOST_DEAD: usize = 64;

/// All tokens of the one application that the sandbox knows.
#[derive(Debug)]
pub(super) struct Tokens {
    lifetime: Duration,
    rng: Rng,
    current: Option<Token>,
    dead: VecDeque<String>,
}

#[derive(Debug)]
struct Token {
    access: String,
    refresh: Option<String>,
    expires: BootTime,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// Too old.
    Expired,
    /// Replaced by a younger one.
    Replaced,
    Unknown,
}

/// What a login hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) lifetime: Duration,
}

impl Tokens {
    /// No token yet; each will be good for `lifetime`.
    pub(super) fn new(seed: u64, lifetime: Duration) -> Self {
        Self { lifetime, rng: Rng::with_seed(seed), current: None, dead: VecDeque::new() }
    }

    /// A new token; whatever was there before is dead.
    pub(super) fn issue(&mut self, refreshable: bool, now: BootTime) -> Issued {
        let access = self.text();
        let refresh = refreshable.then(|| self.text());
        let token = Token { access: access.clone(), refresh: refresh.clone(), expires: now + self.lifetime };
        if let Some(old) = self.current.replace(token) {
            self.dead.push_front(old.access);
            self.dead.truncate(MOST_DEAD);
        }
        Issued { access, refresh, lifetime: self.lifetime }
    }

    /// A new token for the refresh token that came with the current one; each serves once.
    pub(super) fn refresh(&mut self, refresh: &str, now: BootTime) -> Option<Issued> {
        let valid = self.current.as_ref().and_then(|token| token.refresh.as_deref()) == Some(refresh);
        valid.then(|| self.issue(true, now))
    }

    /// What `access` is good for.
    pub(super) fn standing(&self, access: &str, now: BootTime) -> Standing {
        match &self.current {
            Some(token) if token.access == access && now < token.expires => Standing::Good,
            Some(token) if token.access == access => Standing::Expired,
            _ if self.dead.iter().any(|dead| dead == access) => Standing::Replaced,
            _ => Standing::Unknown,
        }
    }

    /// Ends the life of the current token; it can still be refreshed.
    pub(super) fn expire(&mut self, now: BootTime) {
        if let Some(token) = &mut self.current {
            token.expires = token.expires.min(now);
        }
    }

    fn text(&mut self) -> String {
        format!("{:032x}", self.rng.u128(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> BootTime {
        BootTime::from_boot(Duration::from_secs(secs))
    }

    #[test]
    fn a_token_lives_until_it_is_replaced_or_too_old() {
        let mut tokens = Tokens::new(1, Duration::from_secs(60));
        let first = tokens.issue(false, at(0));
        assert_eq!(tokens.standing(&first.access, at(59)), Standing::Good);
        assert_eq!(tokens.standing(&first.access, at(60)), Standing::Expired);
        let second = tokens.issue(false, at(60));
        assert_eq!(tokens.standing(&first.access, at(60)), Standing::Replaced);
        assert_eq!(tokens.standing(&second.access, at(60)), Standing::Good);
        assert_eq!(tokens.standing("made up", at(60)), Standing::Unknown);
        tokens.expire(at(61));
        assert_eq!(tokens.standing(&second.access, at(61)), Standing::Expired);
    }

    #[test]
    fn a_refresh_token_serves_once_and_outlives_its_token() {
        let mut tokens = Tokens::new(1, Duration::from_secs(60));
        let first = tokens.issue(true, at(0));
        let refresh = first.refresh.unwrap();
        let second = tokens.refresh(&refresh, at(100)).unwrap();
        assert_eq!(tokens.refresh(&refresh, at(100)), None);
        assert!(tokens.refresh(&second.refresh.unwrap(), at(100)).is_some());
        tokens.issue(false, at(101));
        assert_eq!(tokens.refresh("", at(101)), None);
    }

    #[test]
    fn the_memory_of_dead_tokens_is_bounded() {
        let mut tokens = Tokens::new(1, Duration::from_secs(60));
        let first = tokens.issue(false, at(0));
        for _ in 0..=MOST_DEAD {
            tokens.issue(false, at(0));
        }
        assert_eq!(tokens.dead.len(), MOST_DEAD);
        assert_eq!(tokens.standing(&first.access, at(0)), Standing::Unknown);
    }
}
