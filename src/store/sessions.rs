//! Tokens that a provider has replaced. The configuration has only the first one, which was spent by its use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::clock::{BootTime, Now};
use crate::providers::Session;
use crate::secret::Secret;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    origin: Origin,
    providers: BTreeMap<String, Saved>,
}

/// A session as the file has it, which is the one place where its tokens are written.
#[derive(Clone, Serialize, Deserialize)]
struct Saved {
    /// The settings that it was obtained with.
    settings: String,
    token: Hidden,
    refresh: Option<Hidden>,
    /// Milliseconds since boot.
    obtained: u64,
    lifetime_ms: u64,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Saved")
    }
}

/// A secret that this file can be written with, and nothing else.
#[derive(Clone)]
struct Hidden(Secret);

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// The last session of each provider that can be refreshed.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(BTreeMap<String, (String, Session, BootTime)>);

impl Sessions {
    /// As they were when the file was written. What was obtained before this boot has expired, for all we know; it
    /// can be refreshed all the same.
    pub(super) fn open(written: Option<Written>, boot: &str, now: &Now) -> Self {
        let Some(Written { origin, providers }) = written else { return Self::default() };
        let sessions = providers.into_iter().map(|(name, saved)| {
            let same_boot = origin.is_of(boot);
            let obtained = BootTime::from_boot(Duration::from_millis(saved.obtained)).min(now.boot);
            let session = Session {
                token: saved.token.0,
                refresh: saved.refresh.map(|refresh| refresh.0),
                lifetime: if same_boot { Duration::from_millis(saved.lifetime_ms) } else { Duration::ZERO },
            };
            (name, (saved.settings, session, if same_boot { obtained } else { BootTime::default() }))
        });
        Self(sessions.collect())
    }

    /// The provider's session, and when it was asked for, if it was obtained with these settings.
    pub(super) fn of(&self, provider: &str, settings: &str) -> Option<(Session, BootTime)> {
        let (with, session, obtained) = self.0.get(provider)?;
        (with == settings).then(|| (session.clone(), *obtained))
    }

    /// Remembers these, too, but none instead of one that is remembered.
    pub(super) fn adopt(&mut self, others: Self) {
        for (provider, session) in others.0 {
            self.0.entry(provider).or_insert(session);
        }
    }

    /// Remembers this one instead.
    pub(super) fn keep(&mut self, provider: &Arc<str>, settings: &str, session: &Session, obtained: BootTime) {
        self.0.insert(provider.to_string(), (settings.to_owned(), session.clone(), obtained));
    }

    /// What the file is to say.
    pub(super) fn written(&self, boot: &str, now: &Now) -> Written {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let providers = self.0.iter().map(|(name, (settings, session, obtained))| {
            let saved = Saved {
                settings: settings.clone(),
                token: Hidden(session.token.clone()),
                refresh: session.refresh.clone().map(Hidden),
                obtained: millis(obtained.since_boot()),
                lifetime_ms: millis(session.lifetime),
            };
            (name.clone(), saved)
        });
        Written { origin: Origin::new(boot, now), providers: providers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn now(secs: u64) -> Now {
        Now {
            boot: BootTime::from_boot(Duration::from_secs(secs)),
            wall: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }

    fn session() -> Session {
        let lifetime = Duration::from_secs(3_600);
        Session { token: Secret::new("access"), refresh: Some(Secret::new("refresh")), lifetime }
    }

    #[test]
    fn a_session_survives_if_the_settings_are_the_same() {
        let mut sessions = Sessions::default();
        sessions.keep(&"p".into(), "as configured", &session(), now(100).boot);
        let written = serde_json::to_vec(&sessions.written("b1", &now(200))).unwrap();
        let open = |boot| Sessions::open(Some(serde_json::from_slice(&written).unwrap()), boot, &now(300));
        assert_eq!(open("b1").of("p", "as configured"), Some((session(), now(100).boot)));
        assert_eq!(open("b1").of("p", "otherwise"), None);
        assert_eq!(open("b1").of("q", "as configured"), None);
        let (after_a_reboot, _) = open("b2").of("p", "as configured").unwrap();
        assert_eq!((after_a_reboot.refresh, after_a_reboot.lifetime), (session().refresh, Duration::ZERO));
    }

    #[test]
    fn debug_shows_no_token() {
        let mut sessions = Sessions::default();
        sessions.keep(&"p".into(), "s", &session(), now(100).boot);
        let shown = format!("{sessions:?} {:?}", sessions.written("b", &now(1)));
        assert!(!shown.contains("access") && !shown.contains("refresh\""), "{shown}");
    }
}
