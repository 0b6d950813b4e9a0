//! What is known of the accounts, as the file has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::account::AccountId;
use crate::board::{Counts, Memory, Since, View};
use crate::clock::Now;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    origin: Origin,
    accounts: Vec<Memory>,
    providers: BTreeMap<String, Counts>,
}

/// What an earlier run knew.
#[derive(Debug)]
pub struct Recalled {
    /// By account, the last known of each.
    pub accounts: BTreeMap<AccountId, Memory>,
    /// The counters of each provider.
    pub providers: BTreeMap<Arc<str>, Counts>,
    /// How its times are to be read.
    pub since: Since,
}

impl Written {
    pub(super) fn new(boot: &str, now: &Now, look: &View) -> Self {
        Self {
            origin: Origin::new(boot, now),
            accounts: look.accounts.iter().map(|status| status.memory()).collect(),
            providers: look.providers.iter().map(|status| (status.name.to_string(), status.counts)).collect(),
        }
    }
}

impl Recalled {
    pub(super) fn of(written: Option<Written>, boot: &str, now: &Now) -> Self {
        let Some(Written { origin, accounts, providers }) = written else {
            return Self { accounts: BTreeMap::new(), providers: BTreeMap::new(), since: Since::Unknown };
        };
        let since = if origin.is_of(boot) {
            Since::ThisBoot
        } else {
            let written = origin.now().filter(|written| written.wall <= now.wall);
            written.map_or(Since::Unknown, |written| Since::EarlierBoot { written, read: *now })
        };
        Self {
            accounts: accounts.into_iter().map(|memory| (memory.id(), memory)).collect(),
            providers: providers.into_iter().map(|(name, counts)| (name.into(), counts)).collect(),
            since,
        }
    }
}
