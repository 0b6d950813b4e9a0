//! What of an account outlives the process, in plain texts and numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AccountStatus, Flow, Snapshot};
use crate::account::{AccountId, Balance, Wallet};
use crate::clock::{BootTime, Now};
use crate::config::AccountConfig;
use crate::failure::{ErrorReason, Failure};
use crate::money::{Amount, Currency};
use crate::providers::{Postmark, Reading};
use crate::schedule::Streak;

/// An account as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    provider: String,
    account: String,
    /// Whose number it is: the fingerprint of what the account asked.
    asks: String,
    reading: Option<ReadingMemory>,
    identity: Option<String>,
    postmark: Option<PostmarkMemory>,
    last_poll: Option<Timestamp>,
    last_success: Option<Timestamp>,
    next_poll: Option<Timestamp>,
    poll_success: bool,
    last_failure: Option<(Timestamp, String, String)>,
    /// Not in files from before it was kept.
    #[serde(default)]
    streak: Streak,
    polls: u64,
    failures: BTreeMap<String, u64>,
    readings_held: u64,
    repeated_replies: u64,
    flows: Vec<FlowMemory>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadingMemory {
    balances: Vec<BalanceMemory>,
    taken: Timestamp,
    /// The same on the boot clock, in milliseconds.
    taken_boot_ms: u64,
    /// If it is from before that boot: how old it was then.
    age_at_boot_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BalanceMemory {
    wallet: String,
    currency: String,
    amount: Option<String>,
    available: Option<String>,
    frozen: Option<String>,
    credit_limit: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PostmarkMemory {
    Time(Timestamp),
    Word(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FlowMemory {
    wallet: String,
    currency: String,
    outflow: String,
    inflow: String,
    last: String,
}

/// How the clocks of a memory relate to those of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It was written since this machine booted: both clocks go on.
    ThisBoot,
    /// It was written before the machine booted: only the wall clock goes on.
    EarlierBoot {
        /// The clocks of then.
        written: Now,
        /// The clocks of now.
        read: Now,
    },
    /// It was written before the machine booted, and in the future of the wall clock: nobody knows how old it is.
    Unknown,
}

impl AccountStatus {
    /// What is to be remembered of it.
    pub fn memory(&self) -> Memory {
        let AccountId { provider, account } = &self.config.id;
        Memory {
            provider: provider.to_string(),
            account: account.to_string(),
            asks: self.config.asks.fingerprint(),
            reading: self.snapshot.as_deref().map(ReadingMemory::of),
            identity: self.identity.as_deref().map(str::to_owned),
            postmark: self.postmark.as_deref().map(|postmark| match postmark {
                Postmark::Time(time) => PostmarkMemory::Time(*time),
                Postmark::Word(word) => PostmarkMemory::Word(word.clone()),
            }),
            last_poll: self.last_poll,
            last_success: self.last_success,
            next_poll: self.next_poll,
            poll_success: self.poll_success,
            last_failure: self
                .last_failure
                .as_deref()
                .map(|(at, failure)| (*at, failure.reason.as_str().to_owned(), failure.detail.clone())),
            streak: self.streak,
            polls: self.polls,
            failures: self.failures.iter().map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect(),
            readings_held: self.readings_held,
            repeated_replies: self.repeated_replies,
            flows: self.flows.iter().map(FlowMemory::of).collect(),
        }
    }

    /// The account as it was remembered. If it asks for something else by now, only its counters go on.
    pub fn recalled(config: Arc<AccountConfig>, memory: &Memory, since: Since) -> Self {
        let mut status = Self::new(config);
        status.polls = memory.polls;
        status.readings_held = memory.readings_held;
        status.repeated_replies = memory.repeated_replies;
        let failures = |reason: ErrorReason| Some((reason, *memory.failures.get(reason.as_str())?));
        status.failures = ErrorReason::ALL.into_iter().filter_map(failures).collect();
        if memory.asks != status.config.asks.fingerprint() {
            return status;
        }
        status.identity = memory.identity.as_deref().map(Into::into);
        status.postmark = memory.postmark.as_ref().map(|postmark| {
            Arc::new(match postmark {
                PostmarkMemory::Time(time) => Postmark::Time(*time),
                PostmarkMemory::Word(word) => Postmark::Word(word.clone()),
            })
        });
        status.last_poll = memory.last_poll;
        status.last_success = memory.last_success;
        status.next_poll = memory.next_poll;
        status.poll_success = memory.poll_success;
        status.streak = memory.streak;
        status.last_failure = memory.last_failure.as_ref().and_then(|(at, reason, detail)| {
            let reason = ErrorReason::ALL.into_iter().find(|known| known.as_str() == reason)?;
            Some(Box::new((*at, Failure::new(reason, detail.clone()))))
        });
        let config = status.config.clone();
        status.flows = memory.flows.iter().filter_map(|flow| flow.flow(&config)).collect();
        let reading = memory.reading.as_ref().and_then(|reading| reading.snapshot(&config, since));
        status.snapshot = reading.map(Arc::new);
        status
    }
}

impl Memory {
    /// Whose it is.
    pub fn id(&self) -> AccountId {
        AccountId { provider: self.provider.as_str().into(), account: self.account.as_str().into() }
    }
}

impl ReadingMemory {
    fn of(snapshot: &Snapshot) -> Self {
        let taken = snapshot.taken();
        Self {
            balances: snapshot.reading().balances().iter().map(BalanceMemory::of).collect(),
            taken: taken.wall,
            // rounded down: it may look older than it is, never younger
            taken_boot_ms: u64::try_from(taken.boot.since_boot().as_millis()).unwrap_or_default(),
            age_at_boot_ms: u64::try_from(snapshot.age_at_boot().as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        }
    }

    fn snapshot(&self, config: &AccountConfig, since: Since) -> Option<Snapshot> {
        let millis = std::time::Duration::from_millis;
        let (boot, age_at_boot) = (BootTime::from_boot(millis(self.taken_boot_ms)), millis(self.age_at_boot_ms));
        let (taken, age_at_boot) = match since {
            Since::ThisBoot => (Now { boot, wall: self.taken }, age_at_boot),
            Since::EarlierBoot { written, read } => {
                // it was as old as its own boot clock said: the other one may have been set back after it was taken
                let taken = written.wall_at(boot).checked_sub(age_at_boot).ok()?.min(self.taken);
                let taken = Now { boot: BootTime::default(), wall: taken };
                (taken, read.age_of(&taken).saturating_sub(read.boot.since_boot()))
            }
            Since::Unknown => return None,
        };
        let balances: Option<Vec<_>> = self.balances.iter().map(|balance| balance.balance(config)).collect();
        let reading = Reading::recalled(balances?)?;
        Some(Snapshot::of(config, reading, taken).ok()?.aged(age_at_boot))
    }
}

impl BalanceMemory {
    fn of(balance: &Balance) -> Self {
        let text = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
        Self {
            wallet: balance.wallet.to_string(),
            currency: balance.currency.as_str().to_owned(),
            amount: text(balance.amount),
            available: text(balance.available),
            frozen: text(balance.frozen),
            credit_limit: text(balance.credit_limit),
        }
    }

    fn balance(&self, config: &AccountConfig) -> Option<Balance> {
        // a figure that cannot be read makes the whole reading worthless
        let figure = |text: &Option<String>| text.as_deref().map(Amount::recalled).transpose().ok();
        Some(Balance {
            amount: figure(&self.amount)?,
            available: figure(&self.available)?,
            frozen: figure(&self.frozen)?,
            credit_limit: figure(&self.credit_limit)?,
            ..Balance::empty(wallet(config, &self.wallet)?, Currency::parse(&self.currency)?)
        })
    }
}

impl FlowMemory {
    fn of(flow: &Flow) -> Self {
        Self {
            wallet: flow.wallet.to_string(),
            currency: flow.currency.as_str().to_owned(),
            outflow: flow.outflow.to_string(),
            inflow: flow.inflow.to_string(),
            last: flow.last.to_string(),
        }
    }

    fn flow(&self, config: &AccountConfig) -> Option<Flow> {
        Some(Flow {
            wallet: wallet(config, &self.wallet)?,
            currency: Currency::parse(&self.currency)?,
            outflow: Amount::recalled(&self.outflow).ok()?,
            inflow: Amount::recalled(&self.inflow).ok()?,
            last: Amount::recalled(&self.last).ok()?,
        })
    }
}

/// A wallet of the account by its name.
fn wallet(config: &AccountConfig, name: &str) -> Option<Wallet> {
    config.wallets.iter().map(|(wallet, _)| *wallet).find(|wallet| wallet.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::sample::{at, board};

    #[test]
    fn what_is_remembered_is_what_was() {
        for status in board().view().accounts {
            let again = AccountStatus::recalled(status.config.clone(), &status.memory(), Since::ThisBoot);
            assert_eq!(again.memory(), status.memory());
            for reason in ErrorReason::ALL {
                assert_eq!(again.failures(reason), status.failures(reason), "{reason}");
            }
            assert_eq!(again.fresh(&at(100)).is_some(), status.fresh(&at(100)).is_some());
        }
    }
}
