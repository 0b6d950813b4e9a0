//! A provider entry that is polled, and what a later look at the configuration changes about it.

use std::sync::Arc;

use super::{ProviderConfig, SecretReader, Stamp};
use crate::document::Problem;
use crate::providers::Connection;
use crate::secret::Seal;

/// A provider entry in force, with what tells whether its secrets have changed.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The entry.
    pub config: Arc<ProviderConfig>,
    /// Of the files of its secrets, from before they were read.
    stamps: Vec<Option<Stamp>>,
    seal: Seal,
}

/// What becomes of an entry.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is the very one that was in force before, with the same secrets.
    Nothing,
    /// Accounts have come, gone or changed. Those that have not are the very ones of before, and the way to the provider
    /// and all secrets are the same.
    Accounts(Connection),
    /// It is new, or anything else has changed.
    Everything(Connection),
}

impl Change {
    /// The connection that there is now, unless it is still the one of before.
    pub fn connection(self) -> Option<Connection> {
        match self {
            Self::Nothing => None,
            Self::Accounts(connection) | Self::Everything(connection) => Some(connection),
        }
    }
}

impl InForce {
    /// Reads the secrets of an entry and connects. `before` are those in force.
    pub(super) fn take(
        mut config: Arc<ProviderConfig>,
        before: &[Self],
        secrets: &SecretReader,
    ) -> Result<(Self, Change), Vec<Problem>> {
        // what changes while it is read is seen at the next look
        let stamps = secrets.stamps(&config);
        let unlocked = config.unlock(secrets)?;
        let seal = unlocked.seal();
        let known = before.iter().find(|known| known.config.name == config.name);
        let is_same = |known: &Self| Arc::ptr_eq(&known.config, &config) && known.seal == seal;
        if known.is_some_and(is_same) {
            return Ok((Self { config, stamps, seal }, Change::Nothing));
        }
        // unless it is the one in force, nobody else has it yet
        if let (Some(known), Some(config)) = (known, Arc::get_mut(&mut config)) {
            config.share(&known.config);
        }
        let connection = config.connect_with(&unlocked)?;
        let goes_on = |known: &Self| {
            known.seal == seal && known.config.same_connection(&config) && known.config.same_way(&config)
        };
        let change =
            if known.is_some_and(goes_on) { Change::Accounts(connection) } else { Change::Everything(connection) };
        Ok((Self { config, stamps, seal }, change))
    }

    /// True if it is an entry of these, `before`, and its secrets were replaced together with the configuration.
    pub fn has_other_secrets(&self, before: &[Self]) -> bool {
        before.iter().any(|known| known.config.name == self.config.name && known.seal != self.seal)
    }

    /// Connects anew if a file of a secret has changed since the last look.
    pub fn look(&mut self, secrets: &SecretReader) -> Option<Result<Connection, Vec<Problem>>> {
        let stamps = secrets.stamps(&self.config);
        if stamps == self.stamps {
            return None;
        }
        self.stamps = stamps;
        let connected = self.config.unlock(secrets).and_then(|unlocked| {
            let connection = self.config.connect_with(&unlocked)?;
            self.seal = unlocked.seal();
            Ok(connection)
        });
        Some(connected)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::reload_text;

    const P: &str = "  - name: p
    api: bridge
    username: p
    password: { env: P }
    accounts:
      - { name: a, service_id: 1, currency: GHS }
      - { name: b, service_id: 2, currency: GHS }
";
    const Q: &str = "  - name: q
    api: bridge
    username: q
    password: { env: Q }
    accounts:
      - { name: c, service_id: 3, currency: GHS }
";

    fn load(entries: &[&str], password: &str, before: &[InForce]) -> Result<Vec<(InForce, Change)>, String> {
        let text = format!("defaults: {{ interval: 1m }}\nproviders:\n{}", entries.concat());
        let variables = [("P", password), ("Q", "q")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = SecretReader::with_environment(BTreeMap::from(variables));
        reload_text("f", &text, &secrets, before).map(|loaded| loaded.entries).map_err(|refused| refused.to_string())
    }

    fn first() -> Vec<InForce> {
        let entries = load(&[P, Q], "p", &[]).unwrap();
        assert!(entries.iter().all(|(_, change)| matches!(change, Change::Everything(_))));
        entries.into_iter().map(|(entry, _)| entry).collect()
    }

    #[test]
    fn what_is_the_same_is_not_even_read_again() {
        let before = first();
        for entries in [[P, Q], [Q, P]] {
            for (entry, change) in load(&entries, "p", &before).unwrap() {
                assert!(matches!(change, Change::Nothing), "{change:?}");
                assert!(before.iter().any(|known| Arc::ptr_eq(&known.config, &entry.config)));
            }
        }
        let (entry, change) = load(&[P], "p", &before).unwrap().remove(0);
        assert!(matches!(change, Change::Nothing) && Arc::ptr_eq(&entry.config, &before[0].config));
    }

    #[test]
    fn an_account_that_changes_leaves_the_others_as_they_are() {
        let before = first();
        let other = P.replace("name: b", "interval: 2m, name: b");
        let entries = load(&[&other, Q], "p", &before).unwrap();
        let [(p, Change::Accounts(connection)), (_, Change::Nothing)] = &entries[..] else { panic!("{entries:?}") };
        let is_same = |account: usize| Arc::ptr_eq(&p.config.accounts[account], &before[0].config.accounts[account]);
        assert!(is_same(0) && !is_same(1));
        assert_eq!((connection.accounts.len(), p.config.accounts[1].interval.as_secs()), (2, 120));
    }

    #[test]
    fn another_secret_or_another_user_changes_everything() {
        let before = first();
        for (text, password) in [(P, "other"), (&*P.replace("username: p", "username: o"), "p")] {
            let entries = load(&[text, Q], password, &before).unwrap();
            assert!(matches!(entries[..], [(_, Change::Everything(_)), (_, Change::Nothing)]), "{entries:?}");
            assert_eq!(entries[0].0.has_other_secrets(&before), password == "other");
            assert!(!entries[1].0.has_other_secrets(&before) && !entries[0].0.has_other_secrets(&[]));
        }
        // what holds for all is no part of an entry's text
        let text = format!("defaults: {{ interval: 2m }}\nproviders:\n{P}{Q}");
        let config = crate::config::Config::parse_after(&text, &[before[0].config.clone()]).unwrap();
        assert_eq!(config.providers[0].accounts[0].interval.as_secs(), 120);
    }

    #[test]
    fn what_does_not_go_together_is_refused_as_ever() {
        let before = first();
        for (entries, why) in [
            ([P, P], "providers[0] has this name"),
            ([P, &*Q.replace("name: c", "name: a")], "providers[0].accounts[0] has this name"),
            (
                [P, &*P.replace("- name: p", "- name: o").replace("name: a", "name: x").replace("name: b", "name: y")],
                "the same connection as providers[0]",
            ),
            ([P, &*Q.replace("GHS", "XXX")], "expected a currency code"),
            ([P, &*Q.replace("env: Q", "env: R")], "providers[1].password: the environment variable is not set"),
        ] {
            let refused = load(&entries, "p", &before).unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
            assert_eq!(refused, load(&entries, "p", &[]).unwrap_err());
        }
        let refused = load(&[&Q.replace("name: c", "name: a"), P], "p", &before).unwrap_err();
        assert!(refused.contains("providers[0].accounts[0] has this name"), "{refused}");
        // and an entry that has moved is told where it is now
        let refused = load(&[Q, P], "", &before).unwrap_err();
        assert!(refused.contains("providers[1].password"), "{refused}");
    }
}
