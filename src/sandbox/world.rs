//! Everything that the sandbox knows, and what it makes of a request: routing, limits, faults, the log.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::account::{Account, Figures};
use super::call::{Answer, Call, Refusal, json};
use super::fault::{Fault, REDIRECTED};
use super::keys::Keys;
use super::throttle::{Throttle, Window};
use super::token::Tokens;
use super::{Api, Settings, bridge, cast, control, dialog, payby, smilepayz};
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
    odd_fault: bool,
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
            odd_fault: false,
        }
    }

    /// What happens to a request.
    pub(super) fn answer(&mut self, call: &Call<'_>) -> Answer {
        let path = call.parts.uri.path();
        if path != REDIRECTED && path.starts_with(control::ROOT) {
            return Answer::Reply(control::answer(self, call));
        }
        let Some((api, endpoint)) = route(path) else {
            self.strays += 1;
            return Answer::Reply(json(StatusCode::NOT_FOUND, r#"{"message":"no provider has this path"}"#));
        };
        let desk = &mut self.desks[api as usize];
        desk.requests += 1;
        if desk.throttle.arrive(call.now.boot).is_some() {
            desk.throttled += 1;
            self.log(call.now, api, endpoint, None, Outcome::Throttled);
            return Answer::Reply(self.throttled(api, call.now));
        }
        let verdict = match (api, endpoint) {
            (Api::Dialog, Endpoint::Token) => dialog::token(self, call),
            (Api::Dialog, Endpoint::Balance) => dialog::balance(self, call),
            (Api::PayBy, _) => payby::answer(self, call),
            (Api::Bridge, _) => bridge::answer(self, call),
            (Api::Smilepayz, _) => smilepayz::answer(self, call),
        };
        match verdict {
            Ok(granted) => self.grant(call.now, api, endpoint, granted.account, granted.reply),
            Err(Refusal { why, reply }) => {
                *self.desks[api as usize].violations.entry(why).or_default() += 1;
                self.log(call.now, api, endpoint, None, Outcome::Refused(why));
                Answer::Reply(*reply)
            }
        }
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

    /// A fault of Dialog's gateway.
    pub(super) fn fault(&mut self, status: StatusCode, code: &str, why: &'static str) -> Refusal {
        self.odd_fault = !self.odd_fault;
        Refusal::new(why, dialog::fault(status, code, self.settings.fault_format, !self.odd_fault))
    }

    /// Where a provider's requests arrive.
    pub(super) const fn desk(&self, api: Api) -> &Desk {
        &self.desks[api as usize]
    }

    fn grant(
        &mut self,
        now: Now,
        api: Api,
        endpoint: Endpoint,
        account: Option<usize>,
        reply: Response<Bytes>,
    ) -> Answer {
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
        match fault {
            Some(fault) => fault.answer(api, &self.keys, reply),
            None => Answer::Reply(reply),
        }
    }

    fn throttled(&mut self, api: Api, now: Now) -> Response<Bytes> {
        match api {
            Api::Dialog => dialog::throttled(self),
            Api::PayBy => payby::throttled(self),
            Api::Bridge => bridge::throttled(),
            Api::Smilepayz => smilepayz::throttled(now),
        }
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

/// Which provider a path belongs to.
fn route(path: &str) -> Option<(Api, Endpoint)> {
    match path {
        dialog::TOKEN_PATH => Some((Api::Dialog, Endpoint::Token)),
        payby::PATH => Some((Api::PayBy, Endpoint::Balance)),
        bridge::PATH => Some((Api::Bridge, Endpoint::Balance)),
        smilepayz::PATH => Some((Api::Smilepayz, Endpoint::Balance)),
        path if path.starts_with(dialog::BALANCE_PATHS) => Some((Api::Dialog, Endpoint::Balance)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::sandbox::trial::Trial;
    use crate::sandbox::{FaultFormat, Limits};

    fn good(api: Api, trial: &Trial) -> Request<String> {
        match api {
            Api::Dialog => dialog::tests::login("grant_type=password"),
            Api::PayBy => payby::tests::good(trial),
            Api::Bridge => bridge::tests::good(),
            Api::Smilepayz => smilepayz::tests::good(),
        }
    }

    #[test]
    fn over_the_limit_each_provider_says_so_in_its_own_words() {
        let one = || vec![Window::new(1, Duration::from_secs(60))];
        let limits = Limits { dialog: one(), payby: one(), bridge: one(), smilepayz: one() };
        let settings = Settings { limits, fault_format: FaultFormat::Xml, live: false, ..Settings::default() };
        for (api, status, code) in [
            (Api::Dialog, 503, "<amt:code>900800</amt:code>"),
            (Api::PayBy, 200, r#""code":"402","msg":"RATE_LIMIT_REJECT""#),
            (Api::Bridge, 429, r#""response_code":"429""#),
            (Api::Smilepayz, 429, r#""code":"429""#),
        ] {
            let mut trial = Trial::with(settings.clone());
            let first = good(api, &trial);
            assert!(!trial.said(first).1.contains(code));
            // a refused request counts, and so does one that was throttled
            for wait in [1, 59] {
                trial.pass(Duration::from_secs(wait));
                let next = good(api, &trial);
                let reply = trial.send(next);
                assert_eq!(reply.status(), status);
                assert!(crate::sandbox::trial::text(&reply).contains(code), "{reply:?}");
                assert!(!reply.headers().contains_key("sign"));
            }
            assert_eq!((trial.world.desk(api).requests, trial.world.desk(api).throttled), (3, 2));
            let outcomes: Vec<_> = trial.world.arrivals.iter().map(|arrival| arrival.outcome.clone()).collect();
            assert_eq!(outcomes[1..], [Outcome::Throttled, Outcome::Throttled]);
            assert_eq!(trial.world.arrivals[2].at, Duration::from_secs(60));
        }
    }

    #[test]
    fn faults_replace_the_right_answer_only() {
        let mut trial = Trial::new();
        let set = |trial: &mut Trial, body: &str| trial.control("PUT", "/accounts/bridge/gh-operations", body);
        for (fault, expected) in [("hang", "Never"), ("drop", "Close"), ("slow:3", "Late(3s"), ("redirect", "302")] {
            assert_eq!(set(&mut trial, &format!(r#"{{"fault":"{fault}"}}"#)), serde_json::json!({}));
            let answer = trial.answer(bridge::tests::good());
            assert!(format!("{answer:?}").contains(expected), "{answer:?}");
            assert_eq!(trial.world.accounts[6].reported.is_some(), fault.starts_with("slow"));
            trial.world.accounts[6].reported = None;
            let stranger = Request::post(bridge::PATH).body(String::new()).unwrap();
            assert_eq!(trial.said(stranger).0, 401);
        }
        set(&mut trial, r#"{"fault":null}"#);
        assert_eq!(trial.said(bridge::tests::good()).0, 200);
    }

    #[test]
    fn the_log_is_bounded() {
        let mut trial = Trial::new();
        for _ in 0..MOST_ARRIVALS + 5 {
            let _ = trial.said(Request::post(bridge::PATH).body(String::new()).unwrap());
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
