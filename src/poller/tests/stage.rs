//! A stage for the poller: time that jumps when everyone waits, providers that do what a reply tells them, and a
//! wire that remembers who sent what and when.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::account::{AccountId, Balance, Wallet};
use crate::board::{AccountStatus, ProviderStatus};
use crate::clock::{BootTime, Clock, Now};
use crate::config::Config;
use crate::exposition::checker::{Exposition, check_accounts};
use crate::exposition::{Format, Telemetry, render};
use crate::failure::{ErrorReason, Failure};
use crate::money::{Amount, Currency};
use crate::poller::{Edge, Fleet, Handle, Poller};
use crate::providers::{
    Connection, Exchange, Login, LoginExchange, LoginStep, Postmark, Provider, Reading, Renewal, Session, Step,
};
use crate::route::Route;
use crate::secret::Secret;
use crate::store::Store;
use crate::transport::{Outcome, Transport};

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The time of the runtime, as both clocks.
#[derive(Debug)]
pub(super) struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Now {
        let since = self.0.elapsed();
        let wall = Timestamp::from_second(1_800_000_000).unwrap() + since;
        Now { boot: BootTime::from_boot(secs(1_000_000) + since), wall }
    }
}

/// What a provider answers, and after how long. The fake adapters below do what it says.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) after: Duration,
    pub(super) says: String,
}

pub(super) fn reply(after: u64, says: &str) -> Reply {
    Reply { after: secs(after), says: says.to_owned() }
}

/// One request that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Since the beginning.
    pub(super) at: Duration,
    pub(super) path: String,
    pub(super) deadline: Duration,
}

#[derive(Debug)]
pub(super) struct Wire {
    clock: Arc<PausedClock>,
    sent: Mutex<Vec<Sent>>,
    scripts: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    otherwise: Mutex<BTreeMap<String, Reply>>,
}

impl Transport for Wire {
    fn along(&self, _: &Route) -> Option<Arc<dyn Transport>> {
        None
    }

    fn send(&self, request: Request<Bytes>, deadline: Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        let path = request.uri().path().to_owned();
        if let Some(signed) = request.headers().get("at") {
            let now = self.clock.now().wall.to_string();
            assert_eq!(signed.to_str().unwrap(), now, "a request is signed with the time at which it leaves");
        }
        self.sent.lock().unwrap().push(Sent { at: self.clock.0.elapsed(), path: path.clone(), deadline });
        let scripted = self.scripts.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
        let reply = scripted.or_else(|| self.otherwise.lock().unwrap().get(&path).cloned());
        let reply = reply.unwrap_or_else(|| reply_of(&path));
        Box::pin(async move {
            tokio::time::timeout(deadline, tokio::time::sleep(reply.after))
                .await
                .map_err(|_| Failure::new(ErrorReason::Timeout, "late"))?;
            Ok(Response::new(Bytes::from(reply.says)))
        })
    }
}

fn reply_of(path: &str) -> Reply {
    reply(1, if path == "/login" || path == "/refresh" { "token" } else { "balance 7" })
}

/// Does what the last reply says.
struct Puppet(String);

impl Provider for Puppet {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        let last = exchange.replies.last().map_or("more", |reply| std::str::from_utf8(reply.body()).unwrap());
        let (verb, rest) = last.split_once(' ').unwrap_or((last, ""));
        let over = |renewal| Step::SessionOver { renewal, failure: Failure::new(ErrorReason::Auth, "over") };
        match verb {
            "more" => {
                let mut request = Request::get(format!("/{}", self.0)).header("at", exchange.at.to_string());
                if let Some(session) = exchange.session {
                    request = request.header("token", session.token.expose());
                }
                Ok(Step::Send(request.body(Bytes::new()).unwrap()))
            }
            "balance" => Ok(Step::Done(holding(rest))),
            // with the postmark of the reply, after the word that the one before must have had
            "marked" => {
                let (before, now) = rest.split_once(' ').unwrap();
                let expected = (before != "none").then(|| Postmark::Word(before.to_owned()));
                assert_eq!(exchange.previous, expected.as_ref());
                Ok(Step::Done(holding("7").postmarked(now)))
            }
            "expired" => Ok(over(Renewal::Refresh)),
            "dead" => Ok(over(Renewal::LogIn)),
            "panic" => panic!("as the test wants"),
            // the same without a word
            "crash" => std::panic::resume_unwind(Box::new("as the test wants")),
            _ => Err(trouble(verb, rest)),
        }
    }
}

/// All wallets hold the same.
fn holding(amount: &str) -> Reading {
    let balance = |wallet| {
        let mut balance = Balance::empty(Wallet::new(wallet), Currency::parse("GHS").unwrap());
        balance.available = Some(Amount::parse(amount).unwrap());
        balance
    };
    Reading::pretended(["payout", "collection", "sms"].map(balance).into(), Vec::new())
}

fn trouble(verb: &str, rest: &str) -> Failure {
    match verb {
        "slower" => Failure::new(ErrorReason::RateLimited, "slower").retry_after(rest.parse().ok().map(secs)),
        "refused" => Failure::new(ErrorReason::Auth, "refused"),
        _ => panic!("unknown reply {verb}"),
    }
}

struct PuppetLogin;

impl Login for PuppetLogin {
    fn step(&self, exchange: &LoginExchange<'_>) -> Result<LoginStep, Failure> {
        let path = if exchange.renew.is_some() { "/refresh" } else { "/login" };
        let last = exchange.replies.last().map_or("more", |reply| std::str::from_utf8(reply.body()).unwrap());
        let (verb, rest) = last.split_once(' ').unwrap_or((last, ""));
        match verb {
            "more" => Ok(LoginStep::Send(Request::get(path).body(Bytes::new()).unwrap())),
            "token" => {
                let refresh = Some(Secret::new("refresh"));
                Ok(LoginStep::Done(Session { token: Secret::new("token"), refresh, lifetime: secs(3600) }))
            }
            _ => Err(trouble(verb, rest)),
        }
    }
}

/// A provider entry in the making.
pub(super) struct Entry {
    pub(super) name: &'static str,
    /// Requests and seconds.
    pub(super) rate: (u32, u64),
    pub(super) login: bool,
    /// Seconds.
    pub(super) interval: u64,
    pub(super) hold_jump_over: Option<u32>,
    /// Names, and what they ask for.
    pub(super) accounts: Vec<(String, u32)>,
}

impl Entry {
    /// Accounts that are polled every minute and have a limit that nobody meets.
    pub(super) fn new(name: &'static str, accounts: &[&str]) -> Self {
        let accounts = accounts.iter().map(|account| ((*account).to_owned(), 1)).collect();
        Self { name, rate: (1000, 1), login: false, interval: 60, hold_jump_over: None, accounts }
    }
}

/// The entries as a configuration with puppets behind it.
pub(super) fn fleet(entries: &[Entry]) -> Fleet {
    let mut text = "providers:".to_owned();
    for Entry { name, rate: (requests, per), interval, hold_jump_over, accounts, .. } in entries {
        write!(
            text,
            "
  - name: {name}
    api: bridge
    username: {name}
    password: {{ file: password }}
    rate_limit: {{ requests: {requests}, per: {per}s }}
    accounts:"
        )
        .unwrap();
        for (account, asks) in accounts {
            let stale_after = interval * 3 + 60;
            write!(
                text,
                "
      - name: {account}
        service_id: {asks}
        currency: GHS
        interval: {interval}s
        stale_after: {stale_after}s"
            )
            .unwrap();
            if let Some(factor) = hold_jump_over {
                write!(text, "\n        hold_jump_over: {factor}").unwrap();
            }
        }
    }
    if entries.is_empty() {
        text.push_str(" []");
    }
    let config = Config::parse(&text).unwrap();
    let fleet = config.providers.into_iter().zip(entries).map(|(provider, entry)| {
        let puppet = |(name, _): &(String, u32)| Arc::new(Puppet(name.clone())) as Arc<dyn Provider>;
        let login = entry.login.then(|| Arc::new(PuppetLogin) as Arc<dyn Login>);
        (provider, Connection { login, accounts: entry.accounts.iter().map(puppet).collect(), route: Route::default() })
    });
    fleet.collect()
}

pub(super) struct Stage {
    pub(super) edge: Arc<Edge>,
    wire: Arc<Wire>,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "the beginning of the time that this clock tells")]
    pub(super) fn new() -> Self {
        let clock = Arc::new(PausedClock(Instant::now()));
        let wire = Arc::new(Wire {
            clock: clock.clone(),
            sent: Mutex::default(),
            scripts: Mutex::default(),
            otherwise: Mutex::default(),
        });
        let edge = Arc::new(Edge {
            store: Store::memory(),
            clock,
            transport: wire.clone(),
            board: Arc::default(),
            telemetry: Arc::new(Telemetry::new().unwrap()),
        });
        Self { edge, wire }
    }

    /// A poller of these, under way.
    pub(super) async fn play(&self, entries: &[Entry]) -> Handle {
        self.begin(entries).await.0
    }

    /// The same, and the task that it runs in.
    pub(super) async fn begin(&self, entries: &[Entry]) -> (Handle, JoinHandle<()>) {
        let (handle, run) = Poller::new(self.edge.clone(), 1).start();
        let task = tokio::spawn(run);
        handle.configure(fleet(entries)).await;
        (handle, task)
    }

    /// A scrape of accounts at a provider `p`, strictly read.
    pub(super) fn scrape(&self, accounts: &[&str]) -> Exposition {
        let Edge { board, telemetry, clock, .. } = &*self.edge;
        telemetry.config_reloaded(true, Timestamp::UNIX_EPOCH);
        let text = render(&board.view(), &telemetry.gather(), clock.now(), Format::Text);
        let accounts: Vec<_> = accounts.iter().map(|account| ("p", *account)).collect();
        check_accounts(&text, Format::Text, &accounts).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
    }

    /// What is answered at this path, in order; then as before.
    pub(super) fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.wire.scripts.lock().unwrap().insert(path.to_owned(), replies.into_iter().collect());
    }

    /// What is answered at this path from now on.
    pub(super) fn always(&self, path: &str, reply: Reply) {
        self.wire.otherwise.lock().unwrap().insert(path.to_owned(), reply);
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.wire.sent.lock().unwrap().clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.path).collect()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.paths().iter().filter(|sent| *sent == path).count()
    }

    /// The seconds at which requests left, rounded down.
    pub(super) fn seconds(&self, path: &str) -> Vec<u64> {
        self.sent().iter().filter(|sent| sent.path == path).map(|sent| sent.at.as_secs()).collect()
    }

    pub(super) fn account(&self, provider: &str, account: &str) -> Arc<AccountStatus> {
        self.edge.board.account(&AccountId { provider: provider.into(), account: account.into() }).unwrap()
    }

    pub(super) fn provider(&self, name: &str) -> Arc<ProviderStatus> {
        self.edge.board.view().providers.into_iter().find(|provider| &*provider.name == name).unwrap()
    }

    /// How long from now on nothing is sent to the provider, in seconds, rounded up.
    pub(super) fn pause(&self, provider: &str) -> u64 {
        let now = self.edge.clock.now();
        let until = self.provider(provider).limiter.lock().unwrap().paused_until(now.boot);
        until.map_or(0, |until| until.since(now.boot).as_millis().div_ceil(1000).try_into().unwrap())
    }
}

/// Lets everyone do what they can do at this time.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
