//! The system's resolver, with the phase noted.

use std::error::Error as StdError;
use std::fmt;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::phase::{Phase, note};

/// Asks the operating system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            note(Phase::Resolve);
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NotResolved)?;
            let addresses: Vec<_> = found.collect();
            if addresses.is_empty() {
                return Err(NotResolved.into());
            }
            note(Phase::Connect);
            let addresses: Addrs = Box::new(addresses.into_iter());
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
