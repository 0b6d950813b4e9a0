//! The web side: `/metrics`, health, reload and a page for people.
//!
//! It runs on a thread and a runtime of its own, so that nothing a provider does delays a scrape. It reads the
//! board and writes nothing; a request can choose neither a URL nor a credential, and its body is never read. All
//! that it can bring about, if that is allowed at all, is a reload, and a poll that takes its place behind the limit.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::account::AccountId;
use crate::board::{Board, View};
use crate::clock::{Clock, Now};
use crate::exposition::{Coding, Format, Galley, Telemetry, Typesetter};
use crate::schedule::NotNow;
use crate::service::Pulse;

mod activity;
mod answer;
mod api;
mod body;
mod crowd;
mod deadline;
mod edition;
mod encoding;
mod guard;
mod page;
mod path;
mod server;
mod told;

pub use guard::{Guard, Look};
pub use path::Paths;

/// What the answers are made from.
#[derive(Debug)]
pub struct State {
    board: Arc<Board>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    paths: Paths,
    guard: Arc<Guard>,
    press: edition::Press,
    reloader: Option<Arc<dyn Reloader>>,
    typesetter: Typesetter,
    prompter: Option<Arc<dyn Prompter>>,
    /// Once ready, always ready.
    ready: AtomicBool,
}

/// Has the configuration read again.
pub trait Reloader: Send + Sync + std::fmt::Debug {
    /// Resolves when the new configuration is in force, or with the reason why the one before stays, rendered for
    /// people and without secrets. It is awaited on the web side's thread: the work belongs elsewhere.
    fn reload(&self) -> Reloading<'_>;
}

/// A reload that is under way.
pub type Reloading<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Has accounts polled before their time.
pub trait Prompter: Send + Sync + std::fmt::Debug {
    /// Resolves when it is decided, not when the poll is over.
    fn prompt(&self, id: AccountId) -> Prompting<'_>;
}

/// A wish for a poll that is being considered.
pub type Prompting<'a> = Pin<Box<dyn Future<Output = Result<(), NotNow>> + Send + 'a>>;

/// How much of this machine strangers may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Scrapes that are being answered. One more closes the one whose reader has taken nothing for longest; 0 is as
    /// many as there are connections.
    pub scrapes: usize,
    /// Open connections. One more closes the one that has not got on for longest.
    pub connections: usize,
    /// From an open connection, or the end of an answer, to the end of the next request's headers.
    pub header_read: Duration,
    /// From the first byte of an answer to its last; also how long a reload is waited for.
    pub answer: Duration,
    /// For answers that are on their way when the server stops.
    pub drain: Duration,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Number of a request's headers.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            scrapes: 0,
            connections: 256,
            header_read: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            header_bytes: 16 * 1024,
            headers: 64,
        }
    }
}

/// A server that runs. Dropping it stops the server too, without waiting for it.
#[derive(Debug)]
pub struct Handle {
    stop: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
    pulse: Pulse,
}

/// Serves on `listeners` until the handle says stop. The board should know its accounts by now, or the server is
/// ready before they are.
pub fn spawn(listeners: Vec<TcpListener>, state: Arc<State>, limits: Limits) -> io::Result<Handle> {
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let (pulse, heart) = crate::service::pulse();
    let (stop, stopping) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listeners = {
        let _inside = runtime.enter();
        let taken_over = listeners.into_iter().map(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        taken_over.collect::<io::Result<Vec<_>>>()?
    };
    thread::Builder::new()
        .name("web".to_owned())
        .spawn(move || runtime.block_on(server::run(listeners, state, limits, stopping, heart)))?;
    Ok(Handle { stop, addresses, pulse })
}

impl Handle {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Tells whether its thread still does its work.
    pub const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Resolves when the server has ended, which it does only if it is told to or breaks.
    pub async fn ended(&self) {
        self.stop.closed().await;
    }

    /// Takes no more connections, lets answers that are on their way arrive within [`Limits::drain`], and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.ended().await;
    }
}

impl State {
    /// Without a `reloader` a reload over HTTP is refused.
    pub fn new(
        board: Arc<Board>,
        telemetry: Arc<Telemetry>,
        clock: Arc<dyn Clock>,
        paths: Paths,
        guard: Arc<Guard>,
        reloader: Option<Arc<dyn Reloader>>,
    ) -> Self {
        Self {
            board,
            telemetry,
            clock,
            paths,
            guard,
            press: edition::Press::default(),
            reloader,
            prompter: None,
            typesetter: Typesetter::default(),
            ready: AtomicBool::new(false),
        }
    }

    /// Lets polls be asked for over HTTP; without a `prompter` they are refused.
    #[must_use]
    pub fn with_prompter(self, prompter: Option<Arc<dyn Prompter>>) -> Self {
        Self { prompter, ..self }
    }

    /// The board as it is now. That every account has been tried is noted whenever someone looks, so that
    /// accounts which a reload brings later do not take it back.
    fn view(&self) -> View {
        let view = self.board.view();
        if view.accounts.iter().all(|status| status.attempted()) {
            self.ready.store(true, Ordering::Relaxed);
        }
        view
    }

    /// The body of a scrape as the board is now; `None` if compression fails, which it has no reason to.
    fn galley(&self, format: Format, coding: Coding, now: Now) -> Option<Galley> {
        if !self.is_ready() {
            self.view();
        }
        self.typesetter.set(&self.board, &self.telemetry.gather(), now, format, coding)
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
