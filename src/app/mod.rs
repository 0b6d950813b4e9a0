//! The running daemon: reads the configuration, starts the poller and the web side, reloads, and stops.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::account::AccountId;
use crate::board::{AccountStatus, Board};
use crate::clock::Clock;
use crate::config::{Config, Refused};
use crate::exposition::Telemetry;
use crate::poller::{self, Edge, Poller};
use crate::service::ServiceManager;
use crate::store::{Locked, Place, Store, SystemDisk, boot_id};
use crate::transport::Transport;
use crate::web;

mod ending;
mod keeper;
mod origin;
mod watch;

use ending::{Stops, end};
use keeper::{Keeper, taken_apart};
pub use origin::Origin;
use watch::Watch;

/// How often the files of secrets are looked at.
const SECRETS_LOOK: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted; the kernel may allow fewer.
const BACKLOG: u32 = 4_096;
/// Bytes of each connection that the kernel may hold until they are read.
const SEND_BUFFER: u32 = 128 << 10;

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
    /// How often the configuration's file is looked at; if it has changed, it is read again.
    pub auto_reload: Option<Duration>,
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
        let bind = |address| listen(address).map_err(failed(&format!("listen on {address}")));
        match self {
            Self::At(addresses) => addresses.into_iter().map(bind).collect(),
            Self::Passed(listeners) => Ok(listeners),
        }
    }
}

/// Listens there, with a long queue: a flood of connections must not make a scraper's wait for another try. What is
/// sent and not read waits in little memory of the kernel, which connections inherit.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// What the web side may take. A quarter of the file descriptors at most, so that polls and the state never lack one.
fn limits(scrapes: usize) -> web::Limits {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = limit.map_or(usize::MAX, |limit| usize::try_from(limit / 4).unwrap_or(usize::MAX));
    let defaults = web::Limits::default();
    web::Limits { scrapes, connections: defaults.connections.min(share.max(4)), ..defaults }
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
        let watch = Watch::new(self.origin.stamp());
        let loaded = self.origin.reload(&[]).map_err(AppError::Config)?;
        let listeners = self.doors.open()?;
        let mut stops = Stops::listen()?;
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
        let mut polling = std::pin::pin!(poller::spawn(polling).map_err(failed("start the thread that polls"))?);
        let place = loaded.config.state.clone();
        recall(&store, &loaded.config, &board);
        let (live, changes) = taken_apart(loaded.entries);
        poller.change(changes).await;
        telemetry.config_reloaded(true, self.clock.now().wall);

        let (asked, mut reloads) = mpsc::channel(1);
        let reloader = self.lifecycle.then(|| Arc::new(ReloadByChannel(asked.clone())) as Arc<dyn web::Reloader>);
        let guard = Arc::new(self.guard);
        let page = self.paths.page();
        let scheme = guard.scheme();
        let prompter = self.lifecycle.then(|| Arc::new(PromptByHandle(poller.clone())) as Arc<dyn web::Prompter>);
        let state =
            web::State::new(board.clone(), telemetry.clone(), self.clock.clone(), self.paths, guard.clone(), reloader);
        let state = state.with_prompter(prompter);
        let server =
            web::spawn(listeners, Arc::new(state), limits(self.max_requests)).map_err(failed("start the web side"))?;
        let pages: Vec<_> = server.addresses().iter().map(|address| format!("{scheme}://{address}{page}")).collect();
        announce(&pages);
        for page in &pages {
            tracing::info!("serving on {page}");
        }

        let manager = Arc::new(self.manager);
        let watched = [poller.pulse().clone(), server.pulse().clone()];
        let mut keeper = Keeper {
            origin: self.origin,
            watch,
            place,
            live,
            poller,
            board: board.clone(),
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
        let mut look_at_config = self.auto_reload.map(tokio::time::interval);
        loop {
            tokio::select! {
                () = stops.recv() => break,
                _ = hang_up.recv() => drop(keeper.reload().await),
                Some(reply) = reloads.recv() => {
                    let outcome: oneshot::Sender<_> = reply;
                    // whoever asked may have gone; the reload stands all the same
                    let _ = outcome.send(keeper.reload().await);
                }
                () = &mut following => {}
                () = tick(&mut look_at_config) => keeper.reload_if_changed().await,
                _ = look.tick() => {
                    keeper.take_new_secrets().await;
                    keeper.take_new_web_config();
                }
                // a daemon that polls no more or answers no more must not look alive
                () = &mut polling => return Err(AppError::Runtime("the poller has stopped unexpectedly".to_owned())),
                () = server.ended() => return Err(AppError::Runtime("the web side has stopped unexpectedly".to_owned())),
            }
        }
        watching.abort();
        manager.stopping();
        tracing::info!("stopping: no new polls, waiting for those under way");
        tokio::select! {
            () = end(&keeper, &store, &board, server) => {}
            () = stops.recv() => tracing::warn!("a second signal: stopping at once"),
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

/// Lets the board know whether amounts are hidden, and what an earlier run knew of the accounts that are configured.
fn recall(store: &Store, config: &Config, board: &Board) {
    board.hide_amounts(config.hide_amounts);
    board.tell_every_reason(config.every_reason);
    let Some(recalled) = store.recalled() else { return };
    let configured = config.providers.iter().flat_map(|provider| &provider.accounts);
    let known = configured.filter_map(|config| {
        let memory = recalled.accounts.get(&config.id)?;
        Some(AccountStatus::recalled(config.clone(), memory, recalled.since))
    });
    board.recall(known.collect(), recalled.providers);
}

/// The next tick, if there is any.
async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
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

/// Asks the poller for a poll.
#[derive(Debug)]
struct PromptByHandle(poller::Handle);

impl web::Prompter for PromptByHandle {
    fn prompt(&self, id: AccountId) -> web::Prompting<'_> {
        Box::pin(self.0.poll_now(id))
    }
}
