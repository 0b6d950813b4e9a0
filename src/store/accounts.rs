//! What is known of the accounts, as the file has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::origin::Origin;
use crate::account::AccountId;
use crate::board::{AccountStatus, Counts, Memory, Since, View};
use crate::clock::Now;

/// The content of the file.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    origin: Origin,
    accounts: Vec<Memory>,
    providers: BTreeMap<String, Counts>,
}

/// The same on its way into the file, one account after the other: all of them at once would be several times the file.
#[derive(Serialize)]
pub(super) struct Content<'a> {
    origin: Origin,
    #[serde(serialize_with = "memories")]
    accounts: &'a [Arc<AccountStatus>],
    providers: BTreeMap<&'a str, Counts>,
}

fn memories<S: Serializer>(accounts: &[Arc<AccountStatus>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(accounts.iter().map(|status| status.memory()))
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

impl<'a> Content<'a> {
    pub(super) fn new(boot: &str, now: &Now, look: &'a View) -> Self {
        Self {
            origin: Origin::new(boot, now),
            accounts: &look.accounts,
            providers: look.providers.iter().map(|status| (&*status.name, status.counts)).collect(),
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
