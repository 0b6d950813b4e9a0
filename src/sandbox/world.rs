//! Everything that the sandbox knows: accounts and their balances, tokens, limits, faults, and what arrived.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::account::{Account, Figures};
use super::fault::Fault;
use super::keys::Keys;
use super::throttle::{Throttle, Window};
use super::token::Tokens;
use super::{Api, FaultFormat, Settings, cast};
use crate::clock::{BootTime, Now};

/// How many arrivals are remembered.
const MOST_ARRIVALS: usize = 20_000;

/// The name under which a fault of the login is set.
pub(super) const LOGIN: &str = "token";

/// The state of the sandbox.
pub(super) struct World {
    pub(super) keys: Keys,
    pub(super) accounts: Vec<Account>,
    pub(super) tokens: Tokens,
    pub(super) timeline: Timeline,
    pub(super) faults: BTreeMap<(Api, String), Fault>,
    pub(super) arrivals: VecDeque<Arrival>,
    /// Requests that no provider has a path for.
    pub(super) strays: u64,
    settings: Settings,
    desks: [Desk; Api::ALL.len()],
    references: u64,
    xml_is_next: bool,
}

/// Where the requests of one provider arrive.
#[derive(Debug)]
pub(super) struct Desk {
    throttle: Throttle,
    /// All that arrived.
    pub(super) requests: u64,
    /// Those that were over the limit.
    pub(super) throttled: u64,
    /// Broken rules, and how often.
    pub(super) violations: BTreeMap<&'static str, u64>,
}

/// One request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) api: Api,
    pub(super) endpoint: Endpoint,
    /// Whose balance was asked for, if the request got that far.
    pub(super) account: Option<&'static str>,
    /// Since the sandbox began.
    pub(super) at: Duration,
    pub(super) outcome: Outcome,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Balance,
    Token,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted,
    Throttled,
    /// It broke this rule.
    Refused(&'static str),
    /// It kept all rules and met a fault that was asked for.
    Faulty(String),
}

/// The time that passes for balances; it can stand still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    start: BootTime,
    /// What had passed when it last began to run.
    passed: Duration,
    /// When that was; `None` while it stands still.
    running_since: Option<BootTime>,
}

impl World {
    /// The world at its beginning.
    pub(super) fn new(settings: Settings, keys: Keys, start: BootTime) -> Self {
        Self {
            keys,
            accounts: cast::accounts(),
            tokens: Tokens::new(settings.seed, settings.token_lifetime),
            timeline: Timeline { start, passed: Duration::ZERO, running_since: settings.live.then_some(start) },
            faults: BTreeMap::new(),
            arrivals: VecDeque::new(),
            strays: 0,
            desks: Api::ALL.map(|api| Desk::new(settings.limits.of(api).to_vec())),
            settings,
            references: 0,
            xml_is_next: false,
        }
    }

    /// Counts a request. False if it is over the limit, which is logged.
    pub(super) fn arrive(&mut self, now: Now, api: Api, endpoint: Endpoint) -> bool {
        let desk = &mut self.desks[api as usize];
        desk.requests += 1;
        let within = desk.throttle.arrive(now.boot).is_none();
        if !within {
            desk.throttled += 1;
            self.log(now, api, endpoint, None, Outcome::Throttled);
        }
        within
    }

    /// Notes a request that breaks the rule `why`.
    pub(super) fn refuse(&mut self, now: Now, api: Api, endpoint: Endpoint, why: &'static str) {
        *self.desks[api as usize].violations.entry(why).or_default() += 1;
        self.log(now, api, endpoint, None, Outcome::Refused(why));
    }

    /// Notes a request that keeps all rules, and what it is told of `account`. The fault that it meets, if any.
    pub(super) fn grant(&mut self, now: Now, api: Api, endpoint: Endpoint, account: Option<usize>) -> Option<Fault> {
        let name = account.and_then(|index| self.accounts.get(index)).map(|account| account.name);
        let fault = self.faults.get(&(api, name.unwrap_or(LOGIN).to_owned())).cloned();
        let outcome = fault.as_ref().map_or(Outcome::Granted, |fault| Outcome::Faulty(fault.name()));
        self.log(now, api, endpoint, name, outcome);
        if let Some(index) = account {
            let figures = self.figures(index, now);
            if let Some(account) = self.accounts.get_mut(index) {
                account.requests += 1;
                if fault.as_ref().is_none_or(Fault::answers) {
                    account.reported = Some(figures);
                }
            }
        }
        fault
    }

    /// What the provider says of an account now.
    pub(super) fn figures(&self, account: usize, now: Now) -> Vec<Figures> {
        let elapsed = self.timeline.elapsed(now.boot);
        self.accounts.get(account).map(|account| account.figures(self.settings.seed, elapsed)).unwrap_or_default()
    }

    /// A number that no reply had before.
    pub(super) const fn next_reference(&mut self) -> u64 {
        self.references += 1;
        self.references
    }

    /// Whether a fault of Dialog's gateway is in XML this time.
    pub(super) const fn takes_xml(&mut self) -> bool {
        match self.settings.fault_format {
            FaultFormat::Json => false,
            FaultFormat::Xml => true,
            FaultFormat::Alternating => {
                self.xml_is_next = !self.xml_is_next;
                !self.xml_is_next
            }
        }
    }

    /// Where a provider's requests arrive.
    pub(super) const fn desk(&self, api: Api) -> &Desk {
        &self.desks[api as usize]
    }

    fn log(&mut self, now: Now, api: Api, endpoint: Endpoint, account: Option<&'static str>, outcome: Outcome) {
        if self.arrivals.len() == MOST_ARRIVALS {
            self.arrivals.pop_front();
        }
        let at = now.boot.since(self.timeline.start);
        self.arrivals.push_back(Arrival { api, endpoint, account, at, outcome });
    }
}

impl Desk {
    fn new(windows: Vec<Window>) -> Self {
        Self { throttle: Throttle::new(windows), requests: 0, throttled: 0, violations: BTreeMap::new() }
    }

    /// The limit that holds.
    pub(super) fn windows(&self) -> &[Window] {
        self.throttle.windows()
    }
}

impl Endpoint {
    /// For the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Token => "token",
        }
    }
}

impl Outcome {
    /// For the log.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Granted => "granted".to_owned(),
            Self::Throttled => "throttled".to_owned(),
            Self::Refused(why) => format!("refused: {why}"),
            Self::Faulty(name) => format!("fault: {name}"),
        }
    }
}

impl Timeline {
    /// What has passed for balances.
    pub(super) fn elapsed(&self, now: BootTime) -> Duration {
        self.running_since.map_or(self.passed, |since| self.passed.saturating_add(now.since(since)))
    }

    /// True while time passes.
    pub(super) const fn is_live(&self) -> bool {
        self.running_since.is_some()
    }

    /// Lets time pass, or stand still.
    pub(super) fn set_live(&mut self, live: bool, now: BootTime) {
        self.passed = self.elapsed(now);
        self.running_since = live.then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::sandbox::bridge::PATH;
    use crate::sandbox::trial::Trial;

    #[test]
    fn the_log_is_bounded() {
        let mut trial = Trial::new();
        for _ in 0..MOST_ARRIVALS + 5 {
            let _ = trial.said(Request::post(PATH).body(String::new()).unwrap());
        }
        assert_eq!(trial.world.arrivals.len(), MOST_ARRIVALS);
        assert_eq!(trial.world.desk(Api::Bridge).violations["user or password"], MOST_ARRIVALS as u64 + 5);
    }

    #[test]
    fn time_stands_still_and_goes_on() {
        let at = |secs| BootTime::from_boot(Duration::from_secs(secs));
        let mut timeline = Timeline { start: at(10), passed: Duration::ZERO, running_since: Some(at(10)) };
        timeline.set_live(false, at(15));
        assert_eq!(timeline.elapsed(at(100)).as_secs(), 5);
        timeline.set_live(true, at(100));
        timeline.set_live(true, at(101));
        assert_eq!(timeline.elapsed(at(102)).as_secs(), 7);
    }
}
