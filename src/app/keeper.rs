//! Keeps the daemon on the configuration that is in force: reloads, and secrets that change.

use std::path::PathBuf;
use std::sync::Arc;

use super::Origin;
use super::watch::Watch;
use crate::board::Board;
use crate::clock::Clock;
use crate::config::{Change, InForce};
use crate::document::Problem;
use crate::exposition::Telemetry;
use crate::poller::{Changes, Handle};
use crate::providers::Connection;
use crate::service::ServiceManager;
use crate::web;

/// What the app keeps of a configuration, and what it hands to the poller.
pub(super) fn taken_apart(entries: Vec<(InForce, Change)>) -> (Vec<InForce>, Changes) {
    let both = |(entry, change): (InForce, Change)| (entry.clone(), (entry.config, change));
    entries.into_iter().map(both).unzip()
}

/// The entries whose secrets were replaced together with the configuration, with their new connections.
fn with_other_secrets(before: &[InForce], after: &[(InForce, Change)]) -> Vec<(Arc<str>, Connection)> {
    let others = after.iter().filter(|(entry, _)| entry.has_other_secrets(before));
    others.filter_map(|(entry, change)| Some((entry.config.name.clone(), change.clone().connection()?))).collect()
}

/// For the log, whatever its form: the sketch of the place is for whoever asked.
fn one_line(refused: &str) -> String {
    refused.lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("; ")
}

/// Keeps the poller on the configuration that is in force.
pub(super) struct Keeper {
    pub(super) origin: Origin,
    /// Of the configuration's file.
    pub(super) watch: Watch,
    /// Of the state, as configured.
    pub(super) place: Option<PathBuf>,
    pub(super) live: Vec<InForce>,
    pub(super) poller: Handle,
    pub(super) board: Arc<Board>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) guard: Arc<web::Guard>,
    pub(super) manager: Arc<ServiceManager>,
}

impl Keeper {
    /// Reads the configuration again if its file has changed.
    pub(super) async fn reload_if_changed(&mut self) {
        if self.watch.look(self.origin.stamp()) {
            // what comes of it is in the log and in the metrics
            let _ = self.reload().await;
        }
    }

    /// Reads the configuration again. If it is refused, nothing changes. The service manager is told.
    pub(super) async fn reload(&mut self) -> Result<(), String> {
        self.manager.reloading(crate::clock::monotonic());
        self.take_new_web_config();
        let outcome = self.read_again().await;
        // whoever knows how it went must not be told how the one before went
        self.board.outdate();
        let refused = if outcome.is_err() { "; the configuration was read again and refused" } else { "" };
        self.manager.ready(&format!("{}{refused}", self.status()));
        outcome
    }

    /// What is done, in a sentence.
    pub(super) fn status(&self) -> String {
        let accounts: usize = self.live.iter().map(|provider| provider.config.accounts.len()).sum();
        format!("polling {accounts} accounts of {} provider entries", self.live.len())
    }

    async fn read_again(&mut self) -> Result<(), String> {
        self.watch = Watch::new(self.origin.stamp());
        let (origin, live) = (self.origin.clone(), self.live.clone());
        let loaded = tokio::task::spawn_blocking(move || origin.reload(&live)).await;
        let now = self.clock.now().wall;
        let refused = match loaded {
            Ok(Ok(loaded)) if loaded.config.state != self.place => {
                "state.file is not what it was at the start: restart to move the state".to_owned()
            }
            Ok(Ok(loaded)) => {
                self.board.hide_amounts(loaded.config.hide_amounts);
                self.board.tell_every_reason(loaded.config.every_reason);
                let with_others = with_other_secrets(&self.live, &loaded.entries);
                let (live, changes) = taken_apart(loaded.entries);
                self.live = live;
                self.poller.change(changes).await;
                for (provider, connection) in with_others {
                    self.poller.reconnect(provider, connection).await;
                }
                self.telemetry.config_reloaded(true, now);
                tracing::info!("the configuration was read again and is in force");
                return Ok(());
            }
            Ok(Err(refused)) => refused.to_string(),
            Err(_) => "reading the configuration panicked; this is a bug".to_owned(),
        };
        self.telemetry.config_reloaded(false, now);
        let why = one_line(&refused);
        tracing::error!("the configuration was read again and refused, the one before stays in force: {why}");
        Err(refused)
    }

    /// Takes in the web configuration if it has changed.
    pub(super) fn take_new_web_config(&self) {
        match self.guard.look() {
            web::Look::Unchanged => {}
            web::Look::Taken => {
                self.telemetry.web_config_read(true);
                tracing::info!("the web configuration has changed and is in force");
            }
            web::Look::Refused(why) => {
                self.telemetry.web_config_read(false);
                let why = one_line(&why);
                tracing::error!(
                    "the web configuration has changed but cannot be used, the one before stays in force: {why}"
                );
            }
        }
    }

    /// Takes in secrets whose files have changed. A provider whose new secrets are unusable keeps the old ones.
    pub(super) async fn take_new_secrets(&mut self) {
        let secrets = self.origin.secrets();
        for (place, provider) in self.live.iter_mut().enumerate() {
            let Some(connected) = provider.look(&secrets) else { continue };
            let name = &provider.config.name;
            match connected {
                Ok(connection) => {
                    self.poller.reconnect(name.clone(), connection).await;
                    tracing::info!(provider = %name, "the secrets of {name} have changed and are in use");
                }
                Err(problems) => {
                    let told = |problem: &Problem| format!("providers[{place}].{}: {}", problem.path, problem.message);
                    let why = problems.first().map(told).unwrap_or_default();
                    tracing::error!(provider = %name, "the secrets of {name} have changed but cannot be used, the old ones stay: {why}");
                }
            }
        }
    }
}
