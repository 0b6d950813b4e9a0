//! Keeps the daemon on the configuration that is in force: reloads, and secrets that change.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Origin;
use super::watch::Watch;
use crate::board::Board;
use crate::clock::Clock;
use crate::config::{Loaded, ProviderConfig, Stamp};
use crate::exposition::Telemetry;
use crate::poller::{Fleet, Handle};
use crate::providers::Connection;
use crate::service::ServiceManager;
use crate::web;

/// A provider entry in force, and the stamps of its secrets as they were taken in.
pub(super) struct LiveProvider {
    config: Arc<ProviderConfig>,
    stamps: Vec<Option<Stamp>>,
}

/// What the app keeps of a configuration, and what it hands to the poller.
pub(super) fn taken_apart(loaded: Loaded) -> (Vec<LiveProvider>, Fleet) {
    let providers = loaded.config.providers.into_iter().zip(loaded.connections).zip(loaded.stamps);
    providers
        .map(|((config, connection), stamps)| {
            let config = Arc::new(config);
            (LiveProvider { config: config.clone(), stamps }, (config, connection))
        })
        .unzip()
}

/// The entries whose secrets were replaced together with the configuration, with their new connections.
fn with_other_secrets(before: &[LiveProvider], after: &[LiveProvider], fleet: &Fleet) -> Vec<(Arc<str>, Connection)> {
    let known: HashMap<_, _> = before.iter().map(|provider| (&provider.config.name, provider)).collect();
    let others = after
        .iter()
        .zip(fleet)
        .filter(|(after, _)| known.get(&after.config.name).is_some_and(|before| before.stamps != after.stamps));
    others.map(|(_, (config, connection))| (config.name.clone(), connection.clone())).collect()
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
    pub(super) live: Vec<LiveProvider>,
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
        let origin = self.origin.clone();
        let loaded = tokio::task::spawn_blocking(move || origin.load()).await;
        let now = self.clock.now().wall;
        let refused = match loaded {
            Ok(Ok(loaded)) if loaded.config.state != self.place => {
                "state.file is not what it was at the start: restart to move the state".to_owned()
            }
            Ok(Ok(loaded)) => {
                self.board.hide_amounts(loaded.config.hide_amounts);
                self.board.tell_every_reason(loaded.config.every_reason);
                let (live, fleet) = taken_apart(loaded);
                let with_others = with_other_secrets(&self.live, &live, &fleet);
                self.live = live;
                self.poller.configure(fleet).await;
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
        for provider in &mut self.live {
            let LiveProvider { config, stamps: known } = provider;
            let stamps = secrets.stamps(config);
            if stamps == *known {
                continue;
            }
            *known = stamps;
            let name = &config.name;
            match config.connect(&secrets) {
                Ok(connection) => {
                    self.poller.reconnect(name.clone(), connection).await;
                    tracing::info!(provider = %name, "the secrets of {name} have changed and are in use");
                }
                Err(problems) => {
                    let why = problems.first().map(|problem| format!("{}: {}", problem.path, problem.message));
                    let why = why.unwrap_or_default();
                    tracing::error!(provider = %name, "the secrets of {name} have changed but cannot be used, the old ones stay: {why}");
                }
            }
        }
    }
}
