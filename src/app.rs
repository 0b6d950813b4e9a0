//! The running daemon: reads the configuration, starts the poller and the web side, reloads, and stops.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::board::{AccountStatus, Board};
use crate::clock::Clock;
use crate::config::{Loaded, ProviderConfig, Refused, SecretReader, Stamp};
use crate::exposition::Telemetry;
use crate::poller::{Edge, Fleet, Handle, Poller};
use crate::service::ServiceManager;
use crate::store::{Locked, Place, Store, SystemDisk, boot_id};
use crate::transport::Transport;
use crate::web;

/// How long polls under way may take to end after a signal to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the files of secrets are looked at.
const SECRETS_LOOK: Duration = Duration::from_secs(2);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file, read again at each reload; relative secrets start at its directory.
    File(PathBuf),
    /// A text that stays as it is, with its secrets: the demo's.
    Text {
        /// What messages call it.
        name: String,
        /// The configuration.
        text: String,
        /// Its secrets.
        secrets: SecretReader,
    },
}

impl Origin {
    /// Reads everything; all or nothing.
    pub fn load(&self) -> Result<Loaded, Refused> {
        match self {
            Self::File(path) => crate::config::load(path, &self.secrets()),
            Self::Text { name, text, secrets } => crate::config::load_text(name, text, secrets),
        }
    }

    /// Where relative paths of the configuration start.
    fn directory(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new(".")).to_owned(),
            Self::Text { .. } => PathBuf::new(),
        }
    }

    /// What reads its secrets.
    pub fn secrets(&self) -> SecretReader {
        match self {
            Self::File(_) => SecretReader::system(self.directory()),
            Self::Text { secrets, .. } => secrets.clone(),
        }
    }
}

/// What a daemon needs to start.
pub struct App {
    /// Where the configuration comes from.
    pub origin: Origin,
    /// Where to serve.
    pub doors: Doors,
    /// Under which paths.
    pub paths: web::Paths,
    /// Who may come in.
    pub guard: web::Guard,
    /// Scrapes that are answered at once; 0 is as many as there are.
    pub max_requests: usize,
    /// Whether a reload may be asked for over HTTP.
    pub lifecycle: bool,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What carries requests.
    pub transport: Arc<dyn Transport>,
    /// Who wants to know how it goes.
    pub manager: ServiceManager,
}

/// Where to serve.
#[derive(Debug)]
pub enum Doors {
    /// On these addresses.
    At(Vec<SocketAddr>),
    /// On sockets that somebody else has opened.
    Passed(Vec<TcpListener>),
}

impl Doors {
    fn open(self) -> Result<Vec<TcpListener>, AppError> {
        let bind = |address| TcpListener::bind(address).map_err(failed(&format!("listen on {address}")));
        match self {
            Self::At(addresses) => addresses.into_iter().map(bind).collect(),
            Self::Passed(listeners) => Ok(listeners),
        }
    }
}

/// Why the daemon ended, or did not begin.
#[derive(Debug)]
pub enum AppError {
    /// The configuration or a secret of it is unusable.
    Config(Refused),
    /// Another exporter uses the same state.
    Locked(Locked),
    /// Something outside failed: what was being done, and why.
    Runtime(String),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(refused) => refused.fmt(f),
            Self::Locked(locked) => locked.fmt(f),
            Self::Runtime(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for AppError {}

fn failed<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> AppError {
    move |error| AppError::Runtime(format!("cannot {what}: {error}"))
}

impl App {
    /// Runs until a signal says stop. `announce` is called once it serves, with the addresses of its pages.
    pub async fn run(self, announce: impl FnOnce(&[String])) -> Result<(), AppError> {
        let loaded = self.origin.load().map_err(AppError::Config)?;
        let listeners = self.doors.open()?;
        let mut terminate = on_signal(SignalKind::terminate())?;
        let mut interrupt = on_signal(SignalKind::interrupt())?;
        let mut hang_up = on_signal(SignalKind::hangup())?;

        let board = Arc::new(Board::default());
        let telemetry = Arc::new(Telemetry::new().map_err(failed("set up the exporter's own metrics"))?);
        let store = opened(&self.origin, loaded.config.state.as_deref(), &self.clock, &telemetry)?;
        let edge = Edge {
            store: store.clone(),
            clock: self.clock.clone(),
            transport: self.transport.clone(),
            board: board.clone(),
            telemetry: telemetry.clone(),
        };
        let (poller, polling) = Poller::new(Arc::new(edge), seed()).start();
        let mut polling = tokio::spawn(polling);
        let place = loaded.config.state.clone();
        recall(&store, &loaded, &board);
        let (live, fleet) = taken_apart(loaded, &self.origin.secrets());
        poller.configure(fleet).await;
        telemetry.config_reloaded(true, self.clock.now().wall);

        let (asked, mut reloads) = mpsc::channel(1);
        let reloader = self.lifecycle.then(|| Arc::new(ReloadByChannel(asked.clone())) as Arc<dyn web::Reloader>);
        let guard = Arc::new(self.guard);
        let page = self.paths.page();
        let scheme = guard.scheme();
        let state =
            web::State::new(board.clone(), telemetry.clone(), self.clock.clone(), self.paths, guard.clone(), reloader);
        let limits = web::Limits { scrapes: self.max_requests, ..web::Limits::default() };
        let server = web::spawn(listeners, Arc::new(state), limits).map_err(failed("start the web side"))?;
        let pages: Vec<_> = server.addresses().iter().map(|address| format!("{scheme}://{address}{page}")).collect();
        announce(&pages);
        for page in &pages {
            tracing::info!("serving on {page}");
        }

        let manager = Arc::new(self.manager);
        let watched = [poller.pulse().clone(), server.pulse().clone()];
        let mut keeper = Keeper {
            origin: self.origin,
            place,
            live,
            poller,
            telemetry,
            clock: self.clock,
            guard,
            manager: manager.clone(),
        };
        let mut following = std::pin::pin!(store.follow(&board));
        manager.ready(&keeper.status());
        let watching = tokio::spawn({
            let manager = manager.clone();
            async move { manager.watch(&watched).await }
        });
        let mut look = tokio::time::interval(SECRETS_LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => drop(keeper.reload().await),
                Some(reply) = reloads.recv() => {
                    let outcome: oneshot::Sender<_> = reply;
                    // whoever asked may have gone; the reload stands all the same
                    let _ = outcome.send(keeper.reload().await);
                }
                () = &mut following => {}
                _ = look.tick() => {
                    keeper.take_new_secrets().await;
                    keeper.take_new_web_config();
                }
                // a daemon that polls no more or answers no more must not look alive
                _ = &mut polling => return Err(AppError::Runtime("the poller has stopped unexpectedly".to_owned())),
                () = server.ended() => return Err(AppError::Runtime("the web side has stopped unexpectedly".to_owned())),
            }
        }
        watching.abort();
        manager.stopping();
        tracing::info!("stopping: no new polls, waiting for those under way");
        let drained = async {
            // scrapes are answered until the last poll is in
            keeper.poller.stop(DRAIN).await;
            store.close(&board).await;
            server.stop().await;
        };
        tokio::select! {
            () = drained => {}
            _ = terminate.recv() => tracing::warn!("a second signal: stopping at once"),
            _ = interrupt.recv() => tracing::warn!("a second signal: stopping at once"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// What is remembered of earlier runs, if the configuration says where.
fn opened(
    origin: &Origin,
    file: Option<&Path>,
    clock: &Arc<dyn Clock>,
    telemetry: &Arc<Telemetry>,
) -> Result<Store, AppError> {
    let Some(file) = file else { return Ok(Store::memory()) };
    let telemetry = telemetry.clone();
    let place = Place {
        path: origin.directory().join(file),
        disk: Arc::new(SystemDisk),
        clock: clock.clone(),
        boot: boot_id(),
    };
    Store::open(place, Box::new(move |written| telemetry.state_written(written))).map_err(AppError::Locked)
}

/// Lets the board know what an earlier run knew of the accounts that are configured.
fn recall(store: &Store, loaded: &Loaded, board: &Board) {
    let Some(recalled) = store.recalled() else { return };
    let configured = loaded.config.providers.iter().flat_map(|provider| &provider.accounts);
    let known = configured.filter_map(|config| {
        let memory = recalled.accounts.get(&config.id)?;
        Some(AccountStatus::recalled(config.clone(), memory, recalled.since))
    });
    board.recall(known.collect(), recalled.providers);
}

fn on_signal(kind: SignalKind) -> Result<Signal, AppError> {
    signal(kind).map_err(failed("listen for signals"))
}

/// The one place where chance comes from.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn seed() -> u64 {
    fastrand::u64(..)
}

/// Asks the app's own loop for a reload, so that there is one at a time.
#[derive(Debug)]
struct ReloadByChannel(mpsc::Sender<oneshot::Sender<Result<(), String>>>);

impl web::Reloader for ReloadByChannel {
    fn reload(&self) -> web::Reloading<'_> {
        Box::pin(async {
            let (reply, outcome) = oneshot::channel();
            let gone = || "the exporter is stopping".to_owned();
            self.0.send(reply).await.map_err(|_| gone())?;
            outcome.await.map_err(|_| gone())?
        })
    }
}

/// A provider entry in force, and the stamps of its secrets as they were taken in.
struct LiveProvider {
    config: Arc<ProviderConfig>,
    stamps: Vec<Option<Stamp>>,
}

/// What the app keeps of a configuration, and what it hands to the poller.
fn taken_apart(loaded: Loaded, secrets: &SecretReader) -> (Vec<LiveProvider>, Fleet) {
    let providers = loaded.config.providers.into_iter().zip(loaded.connections);
    providers
        .map(|(config, connection)| {
            let config = Arc::new(config);
            let live = LiveProvider { config: config.clone(), stamps: stamps(&config, secrets) };
            (live, (config, connection))
        })
        .unzip()
}

fn stamps(config: &ProviderConfig, secrets: &SecretReader) -> Vec<Option<Stamp>> {
    config.secrets().into_iter().map(|(_, source)| secrets.stamp(source)).collect()
}

/// For the log, whatever its form: the sketch of the place is for whoever asked.
fn one_line(refused: &str) -> String {
    refused.lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("; ")
}

/// Keeps the poller on the configuration that is in force.
struct Keeper {
    origin: Origin,
    /// Of the state, as configured.
    place: Option<PathBuf>,
    live: Vec<LiveProvider>,
    poller: Handle,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    guard: Arc<web::Guard>,
    manager: Arc<ServiceManager>,
}

impl Keeper {
    /// Reads the configuration again. If it is refused, nothing changes. The service manager is told.
    async fn reload(&mut self) -> Result<(), String> {
        self.manager.reloading(crate::clock::monotonic());
        self.take_new_web_config();
        let outcome = self.read_again().await;
        let refused = if outcome.is_err() { "; the configuration was read again and refused" } else { "" };
        self.manager.ready(&format!("{}{refused}", self.status()));
        outcome
    }

    /// What is done, in a sentence.
    fn status(&self) -> String {
        let accounts: usize = self.live.iter().map(|provider| provider.config.accounts.len()).sum();
        format!("polling {accounts} accounts of {} provider entries", self.live.len())
    }

    async fn read_again(&mut self) -> Result<(), String> {
        let origin = self.origin.clone();
        let loaded = tokio::task::spawn_blocking(move || origin.load()).await;
        let now = self.clock.now().wall;
        let refused = match loaded {
            Ok(Ok(loaded)) if loaded.config.state != self.place => {
                "state.file is not what it was at the start: restart to move the state".to_owned()
            }
            Ok(Ok(loaded)) => {
                let (live, fleet) = taken_apart(loaded, &self.origin.secrets());
                self.live = live;
                self.poller.configure(fleet).await;
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
    fn take_new_web_config(&self) {
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
    async fn take_new_secrets(&mut self) {
        let secrets = self.origin.secrets();
        for provider in &mut self.live {
            let LiveProvider { config, stamps: known } = provider;
            let stamps = stamps(config, &secrets);
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
