//! The login state of one connection: which session is good, and when it is worth asking for another.
//!
//! Pure: the gate runs the login and says how it went. All accounts of the connection share what stands here, so a
//! hundred accounts that find the session dead cost one login, and a refused login is not repeated a hundred times.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::BootTime;
use crate::failure::{ErrorReason, Failure};
use crate::providers::{Renewal, Session};
use crate::schedule::{LOCKOUT_GUARD, REFUSALS_BEFORE_GUARD};

/// After a failed login nobody tries again for this long; refusals double it, and soon the credentials are guarded.
const LEAST_HOLD: Duration = Duration::from_secs(5);

/// What a request that needs a session is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    /// Use this one.
    Use(Held),
    /// Obtain one first; refresh this one if there is one.
    Obtain(Option<Arc<Session>>),
    /// The last login failed a moment ago: fail with the same failure, without a request.
    Refused(Failure),
}

/// A session, numbered so that it can be declared over only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The session.
    pub session: Arc<Session>,
    /// When it ends.
    pub expires: BootTime,
    number: u64,
}

/// Which secrets a login is made with, and what they are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Counts how often they were replaced: a refusal of others says nothing about these.
    pub secrets: u32,
    /// They serve once, so that a session can only be renewed with what the last one left.
    pub once: bool,
}

/// The login state.
#[derive(Clone, Debug, Default)]
pub struct SessionKeeper {
    held: Option<Held>,
    over: Option<Renewal>,
    hold: Option<(BootTime, Failure)>,
    refusals: u32,
    /// Which secrets were refused.
    refused: u32,
    obtained: u64,
}

impl SessionKeeper {
    /// What a request at `now` is to do.
    pub fn want(&self, now: BootTime, terms: Terms) -> Want {
        match &self.held {
            Some(held) if self.over.is_none() && now < held.expires => return Want::Use(held.clone()),
            Some(_) | None => {}
        }
        if let Some((until, failure)) = &self.hold
            && now < *until
            && self.refused == terms.secrets
        {
            return Want::Refused(failure.clone());
        }
        Want::Obtain(match self.over {
            Some(Renewal::LogIn) if !terms.once => None,
            // expired by our own clock, or by the provider's word
            Some(Renewal::Refresh | Renewal::LogIn) | None => {
                self.held.as_ref().map(|held| held.session.clone()).filter(|session| session.refresh.is_some())
            }
        })
    }

    /// A login that was begun at `asked` brought this.
    pub fn obtained(&mut self, session: Session, asked: BootTime) -> Held {
        self.obtained += 1;
        let held = Held { expires: asked + session.lifetime, session: Arc::new(session), number: self.obtained };
        *self = Self { held: Some(held.clone()), obtained: self.obtained, ..Self::default() };
        held
    }

    /// A login with these secrets failed.
    pub fn failed(&mut self, failure: &Failure, now: BootTime, terms: Terms) {
        if self.refused != terms.secrets {
            (self.refused, self.refusals) = (terms.secrets, 0);
        }
        let hold = if failure.reason == ErrorReason::Auth {
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals >= REFUSALS_BEFORE_GUARD { LOCKOUT_GUARD } else { LEAST_HOLD * (1 << self.refusals) }
        } else {
            LEAST_HOLD
        };
        let until = now + hold.max(failure.retry_after.unwrap_or_default());
        self.hold = Some((until, failure.clone()));
    }

    /// The provider says that this session is over. If another has been obtained meanwhile, that one stays.
    pub fn over(&mut self, held: &Held, renewal: Renewal) {
        if self.held.as_ref().is_some_and(|current| current.number == held.number) {
            self.over = Some(renewal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const TERMS: Terms = Terms { secrets: 0, once: false };

    fn at(secs: u64) -> BootTime {
        BootTime::from_boot(Duration::from_secs(secs))
    }

    fn session(token: &str, refresh: Option<&str>) -> Session {
        Session { token: Secret::new(token), refresh: refresh.map(Secret::new), lifetime: Duration::from_secs(3600) }
    }

    fn refused() -> Failure {
        Failure::new(ErrorReason::Auth, "refused")
    }

    #[test]
    fn a_session_is_used_until_it_expires_and_is_then_refreshed() {
        let mut keeper = SessionKeeper::default();
        assert_eq!(keeper.want(at(0), TERMS), Want::Obtain(None));
        let held = keeper.obtained(session("a", Some("r")), at(10));
        assert_eq!(keeper.want(at(3_609), TERMS), Want::Use(held.clone()));
        assert_eq!(keeper.want(at(3_610), TERMS), Want::Obtain(Some(held.session)));
    }

    #[test]
    fn the_provider_ends_a_session_early() {
        let mut keeper = SessionKeeper::default();
        let held = keeper.obtained(session("a", Some("r")), at(0));
        keeper.over(&held, Renewal::Refresh);
        assert_eq!(keeper.want(at(1), TERMS), Want::Obtain(Some(held.session.clone())));
        keeper.over(&held, Renewal::LogIn);
        assert_eq!(keeper.want(at(1), TERMS), Want::Obtain(None));
        let without = keeper.obtained(session("b", None), at(0));
        keeper.over(&without, Renewal::Refresh);
        assert_eq!(keeper.want(at(1), TERMS), Want::Obtain(None));
    }

    #[test]
    fn only_the_current_session_can_be_over() {
        let mut keeper = SessionKeeper::default();
        let first = keeper.obtained(session("a", None), at(0));
        let second = keeper.obtained(session("b", None), at(1));
        keeper.over(&first, Renewal::LogIn);
        assert_eq!(keeper.want(at(2), TERMS), Want::Use(second));
    }

    #[test]
    fn a_refused_login_is_shared_and_not_repeated() {
        let mut keeper = SessionKeeper::default();
        let mut now = at(0);
        for hold in [10, 20, 300, 300, 300] {
            assert_eq!(keeper.want(now, TERMS), Want::Obtain(None));
            keeper.failed(&refused(), now, TERMS);
            assert_eq!(keeper.want(now + Duration::from_secs(hold - 1), TERMS), Want::Refused(refused()));
            now = now + Duration::from_secs(hold);
        }
        keeper.obtained(session("a", None), now);
        keeper.failed(&refused(), now, TERMS);
        assert!(matches!(keeper.want(now, TERMS), Want::Use(_)), "a good session survives a failed login");
        let mut keeper = SessionKeeper::default();
        keeper.failed(
            &Failure::new(ErrorReason::Timeout, "late").retry_after(Some(Duration::from_secs(60))),
            at(0),
            TERMS,
        );
        assert!(matches!(keeper.want(at(59), TERMS), Want::Refused(_)));
        assert_eq!(keeper.want(at(60), TERMS), Want::Obtain(None));
    }

    #[test]
    fn a_secret_that_serves_once_is_not_handed_in_again() {
        let terms = Terms { once: true, ..TERMS };
        let mut keeper = SessionKeeper::default();
        assert_eq!(keeper.want(at(0), terms), Want::Obtain(None));
        let held = keeper.obtained(session("a", Some("r")), at(0));
        keeper.over(&held, Renewal::LogIn);
        assert_eq!(keeper.want(at(1), terms), Want::Obtain(Some(held.session)), "what the session left is better");
    }

    #[test]
    fn other_secrets_are_not_refused_yet() {
        let mut keeper = SessionKeeper::default();
        for _ in 0..3 {
            keeper.failed(&refused(), at(0), TERMS);
        }
        assert!(matches!(keeper.want(at(299), TERMS), Want::Refused(_)));
        let others = Terms { secrets: 1, ..TERMS };
        assert_eq!(keeper.want(at(1), others), Want::Obtain(None));
        keeper.failed(&refused(), at(1), others);
        assert!(matches!(keeper.want(at(10), others), Want::Refused(_)));
        assert_eq!(keeper.want(at(11), others), Want::Obtain(None), "they begin anew");
    }
}
