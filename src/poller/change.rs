//! Other accounts, settings and secrets while polls go on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::gate::Gate;
use super::handle::Changes;
use super::walk::{Link, Sessions};
use super::{Poll, Poller, Target};
use crate::account::AccountId;
use crate::board::AccountStatus;
use crate::clock::{BootTime, Now};
use crate::config::{AccountConfig, Change, ProviderConfig};
use crate::failure::ErrorReason;
use crate::providers::{Connection, Login};
use crate::schedule::Plan;
use crate::session::SessionKeeper;

/// A refused account is polled after this at the latest, when it comes back.
const MOST_RESUMED: Duration = Duration::from_secs(15 * 60);

impl Poller {
    /// Polls what is handed over from now on. Whoever is not concerned by it cannot tell.
    pub(super) fn change(&mut self, changes: Changes) {
        let now = self.edge.clock.now();
        let size = changes.iter().map(|(provider, _)| provider.accounts.len()).sum();
        let mut links = BTreeMap::new();
        let mut statuses = Vec::new();
        let mut gone = BTreeSet::new();
        let mut targets = Vec::new();
        for (provider, change) in changes {
            let name = provider.name.clone();
            let new_gate = || Arc::new(Gate::new(name.clone(), provider.quota.clone(), self.edge.clone()));
            let gate = self.gates.entry(name.clone()).or_insert_with(new_gate).clone();
            gate.set_quota(provider.quota.clone());
            statuses.push(gate.status());
            self.edge.telemetry.know_provider(&name);
            let known = self.links.get(&name);
            let (link, touched, connection) = match (change, known) {
                (Change::Nothing, Some((_, link))) => (link.clone(), 0..0, None),
                (Change::Nothing, None) => {
                    tracing::error!(provider = %name, "{name} is to be polled as before, but was not; this is a bug");
                    continue;
                }
                (Change::Accounts(connection), Some((before, link))) => {
                    let (touched, left) = difference(&before.accounts, &provider.accounts);
                    gone.extend(before.accounts[left].iter().map(|config| config.id.clone()));
                    (link.clone(), touched, Some(connection))
                }
                (Change::Everything(connection) | Change::Accounts(connection), known) => {
                    let before = known.map(|(before, _)| &before.accounts[..]).unwrap_or_default();
                    gone.extend(before.iter().map(|config| config.id.clone()));
                    let (sessions, secrets) = self.sessions(&provider);
                    let link = Arc::new(self.edge.link(&provider, &connection, sessions, secrets));
                    (link, 0..provider.accounts.len(), Some(connection))
                }
            };
            let adapters = connection.map(|connection| connection.accounts).unwrap_or_default();
            let adapters = adapters.into_iter().skip(touched.start);
            for (config, adapter) in provider.accounts[touched].iter().zip(adapters) {
                gone.remove(&config.id);
                targets.push(Target { config: config.clone(), adapter, link: link.clone(), gate: gate.clone() });
            }
            links.insert(name, (provider, link));
        }
        let stays = |(name, (provider, _)): &(&Arc<str>, &(Arc<ProviderConfig>, Arc<Link>))| {
            let before = self.links.get(*name).map(|(before, _)| before);
            before.is_some_and(|before| before.same_connection(provider) && before.same_way(provider))
        };
        let staying: HashSet<_> = links.iter().filter(stays).map(|(name, _)| name.clone()).collect();
        for (name, (provider, link)) in self.links.iter().filter(|(name, _)| !links.contains_key(*name)) {
            gone.extend(provider.accounts.iter().map(|config| config.id.clone()));
            self.edge.telemetry.forget_provider(name);
            let sessions = Arc::downgrade(&link.sessions);
            self.left.insert(name.clone(), (provider.clone(), sessions, link.secrets));
        }
        self.left.retain(|name, (_, sessions, _)| !links.contains_key(name) && sessions.strong_count() > 0);
        self.links = links;

        let touched: Vec<_> = targets.iter().map(|target| target.config.clone()).collect();
        self.edge.board.change(statuses, &gone, &touched);
        for id in &gone {
            self.schedule.remove(id);
            self.targets.remove(id);
            self.journal.forget(id);
        }
        let mut asks_anew = Vec::new();
        for (config, target) in touched.iter().zip(targets) {
            let plan = Plan { interval: config.interval, stale_after: config.stale_after };
            self.schedule.set(&config.id, plan, size, now.boot);
            match self.targets.insert(config.id.clone(), Arc::new(target)) {
                None => self.resume(&config.id, &now),
                Some(before) if before.config.asks != config.asks => asks_anew.push(&config.id),
                Some(_) => {}
            }
        }
        // the nodes of a tree that is filled in order are half full; a fleet is taken in once, and stays
        if 2 * touched.len() > self.targets.len() {
            self.targets = mem::take(&mut self.targets).into_iter().collect();
            self.schedule.pack();
        }
        for id in asks_anew {
            self.schedule.expedite(id, now.boot);
        }
        for Poll { config, superseded, .. } in self.under_way.values() {
            let target = self.targets.get(&config.id).filter(|_| staying.contains(&config.id.provider));
            if target.is_none_or(|target| target.config.asks != config.asks) {
                superseded.notify_one();
            }
        }
        // a provider that left keeps its gate until nobody is on the way to it and what was sent through it counts
        // no more
        let links = &self.links;
        self.gates
            .retain(|name, gate| links.contains_key(name) || Arc::strong_count(gate) > 1 || !gate.is_idle(now.boot));
        for config in &touched {
            self.show_next(&config.id, now);
        }
    }

    /// An account has come that may have been polled before.
    fn resume(&mut self, id: &AccountId, now: &Now) {
        let Some(status) = self.edge.board.account(id) else { return };
        self.schedule.resume(id, status.streak, was_refused(&status));
        if let Some(due) = resumed(&status, now) {
            self.schedule.postpone(id, due);
        }
    }

    /// The login state goes as well, unless a token in it is all that there is: a refusal of the old secrets says
    /// nothing about the new ones.
    pub(super) fn reconnect(&mut self, name: &str, connection: Connection) {
        let now = self.edge.clock.now();
        let Some((provider, link)) = self.links.get_mut(name) else { return };
        let begins_with =
            |login: &Option<Arc<dyn Login>>| login.as_ref().and_then(|login| login.begins_with().cloned());
        let token = begins_with(&connection.login);
        let sessions = if token.is_some() && token == begins_with(&link.login) {
            link.sessions.clone()
        } else {
            link.sessions.replaced.store(true, Ordering::Relaxed);
            Arc::default()
        };
        *link = Arc::new(self.edge.link(provider, &connection, sessions, link.secrets + 1));
        for (config, adapter) in provider.accounts.iter().zip(connection.accounts) {
            let Some(target) = self.targets.get_mut(&config.id) else { continue };
            let (config, gate) = (config.clone(), target.gate.clone());
            *target = Arc::new(Target { config, adapter, link: link.clone(), gate });
            self.schedule.retry(&target.config.id, now.boot);
        }
        for Poll { superseded, .. } in self.under_way.values().filter(|poll| &*poll.config.id.provider == name) {
            superseded.notify_one();
        }
        for id in self.targets.keys().filter(|id| &*id.provider == name) {
            self.show_next(id, now);
        }
    }

    /// The sessions of a provider entry that logs in as before, be it before a restart; else none. And how often its
    /// secrets were replaced.
    fn sessions(&self, provider: &ProviderConfig) -> (Arc<Sessions>, u32) {
        let live = self.links.get(&provider.name).map(|(before, link)| (before, link.sessions.clone(), link.secrets));
        let left = || {
            let (before, sessions, secrets) = self.left.get(&provider.name)?;
            Some((before, sessions.upgrade()?, *secrets))
        };
        match live.or_else(left) {
            Some((before, sessions, secrets)) if before.same_connection(provider) => (sessions, secrets),
            Some((_, sessions, _)) => {
                sessions.replaced.store(true, Ordering::Relaxed);
                Default::default()
            }
            None => {
                let kept = self.edge.store.session(&provider.name, &provider.fingerprint());
                let mut keeper = SessionKeeper::default();
                if let Some((session, asked)) = kept {
                    keeper.obtained(session, asked);
                }
                (Arc::new(Sessions { keeper: keeper.into(), replaced: false.into() }), 0)
            }
        }
    }
}

/// The places between which two lists are not the same: in the new one, and in the one before.
fn difference(before: &[Arc<AccountConfig>], now: &[Arc<AccountConfig>]) -> (Range<usize>, Range<usize>) {
    let is_same = |(one, other): &(&Arc<AccountConfig>, &Arc<AccountConfig>)| Arc::ptr_eq(one, other);
    let first = before.iter().zip(now).take_while(is_same).count();
    let rest = before[first..].iter().rev().zip(now[first..].iter().rev());
    let last = rest.take_while(is_same).count();
    (first..now.len() - last, first..before.len() - last)
}

/// When an account is due that was polled before it came: when it was due then. Nobody knows what the wall clock did
/// meanwhile, and so it is never later than the next poll could have been.
fn resumed(status: &AccountStatus, now: &Now) -> Option<BootTime> {
    let longest = if status.poll_success {
        status.config.interval
    } else if was_refused(status) {
        // whoever is refused must not try again because of a restart, or the credentials may be locked
        MOST_RESUMED
    } else {
        // what it failed for may be mended
        return None;
    };
    Some(now.boot_at(status.next_poll?).min(now.boot + longest))
}

/// True if the provider refused the credentials at the last poll.
fn was_refused(status: &AccountStatus) -> bool {
    !status.poll_success
        && status.last_failure.as_deref().is_some_and(|(_, failure)| failure.reason == ErrorReason::Auth)
}
