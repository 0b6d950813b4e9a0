//! Names looked up, with the phase noted.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::phase::{Phase, note};

/// The name that is this machine's, and must stay so: http is spoken to it.
const THIS_MACHINE: &str = "localhost";

/// Asks somebody, and notes how far that has got.
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Resolve>);

impl Resolver {
    pub(super) fn new(names: Arc<dyn Resolve>) -> Self {
        Self(names)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let local = name.as_str().eq_ignore_ascii_case(THIS_MACHINE);
        let found = self.0.resolve(name);
        Box::pin(async move {
            note(Phase::Resolve);
            let addresses = found.await.map_err(|_| NotResolved)?;
            let addresses: Vec<SocketAddr> = addresses.filter(|address| !local || address.ip().is_loopback()).collect();
            if addresses.is_empty() {
                return Err(NotResolved.into());
            }
            note(Phase::Connect);
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// Asks the operating system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(found.collect::<Vec<_>>().into_iter());
            Ok(addresses)
        })
    }
}

/// The name has no address, as far as the resolver knows.
#[derive(Debug)]
pub(super) struct NotResolved;

impl fmt::Display for NotResolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address")
    }
}

impl StdError for NotResolved {}
