//! Pretend providers over real HTTP, as strict as the real ones: for the demo, for trying things out, and for
//! end-to-end tests.
//!
//! One listener serves all four providers by path. The sandbox shares no code with the adapters that talk to
//! it: it verifies signatures with another library and reads requests by itself, so that a mistake on one side
//! is not repeated on the other. It keeps each provider's rules (signatures, clocks, logins, limits) and logs
//! every request that breaks one. `/-/sandbox` shows its state and takes orders.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::clock::Clock;

mod account;
mod bridge;
mod call;
mod cast;
mod control;
mod dialog;
mod drift;
mod exporter;
mod fault;
mod keys;
mod payby;
mod router;
mod server;
mod smilepayz;
mod throttle;
mod token;
#[cfg(test)]
mod trial;
mod world;

pub use keys::BadKey;
pub use throttle::Window;

use keys::Keys;
use world::World;

/// The providers that the sandbox pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// Dialog's gateway.
    Dialog,
    /// PayBy's gateway.
    PayBy,
    /// Bridge AGW.
    Bridge,
    /// Smilepayz's gateway.
    Smilepayz,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dialog, Self::PayBy, Self::Bridge, Self::Smilepayz];

    /// What `api:` says in a configuration; it is the provider's name in the matching one too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dialog => "dialog",
            Self::PayBy => "payby",
            Self::Bridge => "bridge",
            Self::Smilepayz => "smilepayz",
        }
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.name() == name)
    }
}

/// How the sandbox behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides every balance and every token.
    pub seed: u64,
    /// How long a Dialog token is good for.
    pub token_lifetime: Duration,
    /// In which form Dialog's gateway reports faults.
    pub fault_format: FaultFormat,
    /// How often each provider lets itself be asked.
    pub limits: Limits,
    /// Whether balances move.
    pub live: bool,
    /// How the matching configuration logs in to Dialog.
    pub grant: Grant,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            token_lifetime: Duration::from_secs(60 * 60),
            fault_format: FaultFormat::Alternating,
            limits: Limits::default(),
            live: true,
            grant: Grant::ClientCredentials,
        }
    }
}

/// The forms that Dialog's gateway has for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultFormat {
    /// Always JSON.
    Json,
    /// Always XML.
    Xml,
    /// One after the other, JSON first.
    Alternating,
}

/// The logins that Dialog offers to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The application alone; no refresh token.
    ClientCredentials,
    /// The application and a user; with a refresh token.
    Password,
}

/// How often each provider lets itself be asked: all windows of a provider hold at once, none is no limit.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Dialog's, logins included.
    pub dialog: Vec<Window>,
    /// PayBy's.
    pub payby: Vec<Window>,
    /// Bridge's.
    pub bridge: Vec<Window>,
    /// Smilepayz's.
    pub smilepayz: Vec<Window>,
}

impl Default for Limits {
    fn default() -> Self {
        let sixty = || vec![Window::new(60, Duration::from_secs(60))];
        Self {
            dialog: sixty(),
            payby: sixty(),
            bridge: vec![Window::new(100, Duration::from_secs(60)), Window::new(20, Duration::from_secs(1))],
            smilepayz: sixty(),
        }
    }
}

impl Limits {
    fn of(&self, api: Api) -> &[Window] {
        match api {
            Api::Dialog => &self.dialog,
            Api::PayBy => &self.payby,
            Api::Bridge => &self.bridge,
            Api::Smilepayz => &self.smilepayz,
        }
    }
}

/// All four providers.
pub struct Sandbox {
    world: Mutex<World>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    keys: Keys,
}

impl Sandbox {
    /// A sandbox with fresh keys, whose time begins now.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, BadKey> {
        Ok(Self::with_keys(settings, clock, Keys::generate()?))
    }

    /// Serves until `shutdown` completes; then every connection is closed. Fails only if the listener does.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        server::serve(self, listener, shutdown).await
    }

    fn with_keys(settings: Settings, clock: Arc<dyn Clock>, keys: Keys) -> Self {
        let world = World::new(settings.clone(), keys.clone(), clock.now().boot);
        Self { world: Mutex::new(world), clock, settings, keys }
    }

    /// A panic while the world was locked is no reason to stop answering.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Whether control is allowed from there: from this machine only.
fn may_control(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    /// Which files of this folder each of them uses, tests left out.
    fn uses() -> BTreeMap<String, BTreeSet<String>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox");
        let texts: BTreeMap<_, _> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
            })
            .filter(|(name, _)| !["mod", "trial"].contains(&name.as_str()))
            .collect();
        let uses = |text: &str| {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let paths = code.split("super::").skip(1).flat_map(|path| match path.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
                None => vec![path],
            });
            let first = |path: &str| path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
            paths.map(first).filter(|name| texts.contains_key(name)).collect()
        };
        texts.iter().map(|(name, text)| (name.clone(), uses(text))).collect()
    }

    #[test]
    fn no_file_uses_one_that_uses_it() {
        let mut left = uses();
        assert!(left["router"].is_superset(&["bridge", "payby", "world"].map(str::to_owned).into()), "{left:?}");
        while !left.is_empty() {
            let before = left.len();
            let above: BTreeSet<_> = left.keys().cloned().collect();
            left.retain(|_, uses| !uses.is_disjoint(&above));
            assert!(left.len() < before, "these use each other: {left:?}");
        }
    }
}
