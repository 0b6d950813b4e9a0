//! One account from its configuration to `/metrics`, as the exporter runs it: configuration, poller, HTTP, board,
//! exposition. Only the clock, the resolver and the authorities are a test's own.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balance_exporter::account::AccountId;
use balance_exporter::board::{AccountStatus, Board};
use balance_exporter::clock::{Clock, Now, SystemClock};
use balance_exporter::config::{SecretReader, load_text};
use balance_exporter::exposition::checker::{Exposition, check_accounts};
use balance_exporter::exposition::{Format, Telemetry, negotiate, render};
use balance_exporter::poller::{Edge, Fleet, Handle, Poller};
use balance_exporter::providers::Connection;
use balance_exporter::route::Route;
use balance_exporter::store::Store;
use balance_exporter::transport::{Authorities, HttpTransport, Settings, Transport};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::api::{Api, CANARIES, secrets};
use crate::certificates::Certificates;
use crate::server::{Behaviour, Server};

/// Nothing here takes longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// From one poll to the next.
pub(crate) const INTERVAL: Duration = Duration::from_secs(40);
/// The age at which a number is withdrawn.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(180);
/// Of the account that is looked at.
pub(crate) const ACCOUNT: &str = "account";

/// Stands still until it is moved, so that no poll begins by itself.
#[derive(Debug)]
pub(crate) struct Hand {
    start: Now,
    moved: Mutex<Duration>,
}

impl Hand {
    fn advance(&self, by: Duration) {
        *self.moved.lock().unwrap() += by;
    }
}

impl Clock for Hand {
    fn now(&self) -> Now {
        let moved = *self.moved.lock().unwrap();
        Now { boot: self.start.boot + moved, wall: self.start.wall + moved }
    }
}

/// What a resolver makes of a name.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Addresses(Vec<IpAddr>),
    Failure,
    Silence,
}

/// A resolver: every name is this machine, unless it is told otherwise.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<String, Answer>>);

impl Names {
    pub(crate) fn answer(&self, host: &str, answer: Answer) {
        self.0.lock().unwrap().insert(host.to_owned(), answer);
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let told = self.0.lock().unwrap().get(name.as_str()).cloned();
        Box::pin(async move {
            match told.unwrap_or(Answer::Addresses(vec![Ipv4Addr::LOCALHOST.into()])) {
                Answer::Addresses(addresses) => {
                    let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
                    Ok(addresses)
                }
                Answer::Failure => Err("no such name".into()),
                Answer::Silence => std::future::pending().await,
            }
        })
    }
}

/// What all scenes share.
pub(crate) struct World {
    pub(crate) names: Arc<Names>,
    pub(crate) certificates: Certificates,
    pub(crate) transport: Arc<dyn Transport>,
    /// Whether connections are used again.
    pub(crate) keep_alive: bool,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
    /// Names that were given out.
    hosts: AtomicUsize,
}

impl World {
    /// Keeps something alive as long as the scenes.
    pub(crate) fn keep(&self, thing: impl Any + Send) {
        self.kept.lock().unwrap().push(Box::new(thing));
    }

    pub(crate) fn new(keep_alive: bool) -> Self {
        let names = Arc::<Names>::default();
        let certificates = Certificates::new();
        let settings = Settings { authorities: Authorities::Only(vec![certificates.root()]), ..Settings::default() };
        let transport = HttpTransport::resolving(settings, names.clone()).unwrap();
        Self {
            names,
            certificates,
            transport: Arc::new(transport),
            keep_alive,
            kept: Mutex::default(),
            hosts: AtomicUsize::new(0),
        }
    }
}

/// How a scene is set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// Over TLS, by a name that the world's resolver knows.
    pub(crate) tls: bool,
    /// Over plain HTTP, by this name of this machine in place of its address.
    pub(crate) localhost: bool,
    /// More keys of the provider entry, each in a line.
    pub(crate) provider_keys: String,
    /// Keys of the provider entry in place of the API's usual ones.
    pub(crate) other_keys: Option<&'static str>,
    /// More keys of the account entry.
    pub(crate) account_keys: &'static str,
    /// Keys of the account entry in place of the API's usual ones.
    pub(crate) other_account: Option<&'static str>,
    /// Accounts beside the one that is looked at.
    pub(crate) others: usize,
    /// More secrets, by environment variable.
    pub(crate) secrets: BTreeMap<String, String>,
}

pub(crate) struct Scene {
    pub(crate) api: Api,
    pub(crate) server: Server,
    pub(crate) host: String,
    pub(crate) clock: Arc<Hand>,
    setting: Setting,
    keep_alive: bool,
    edge: Arc<Edge>,
    handle: Handle,
    polls: u64,
}

impl Scene {
    /// The provider behaves well, and the exporter knows it.
    pub(crate) async fn open(world: &World, api: Api, setting: Setting, behaviour: Behaviour) -> Result<Self, String> {
        let server = Server::start(behaviour).await;
        let host = match (setting.tls, setting.localhost) {
            // a port comes back, a name does not
            (true, _) => format!("p{}.provider.test", world.hosts.fetch_add(1, Ordering::SeqCst)),
            (false, true) => "localhost".to_owned(),
            (false, false) => "127.0.0.1".to_owned(),
        };
        let clock = Arc::new(Hand { start: SystemClock.now(), moved: Mutex::default() });
        let edge = Arc::new(Edge {
            store: Store::memory(),
            clock: clock.clone(),
            transport: world.transport.clone(),
            board: Arc::new(Board::default()),
            telemetry: Arc::new(Telemetry::new().map_err(|error| error.to_string())?),
        });
        let (handle, run) = Poller::new(edge.clone(), 1).start();
        tokio::spawn(run);
        let scene = Self { api, server, host, clock, setting, keep_alive: world.keep_alive, edge, handle, polls: 0 };
        scene.reload("20s").await?;
        Ok(scene)
    }

    /// Takes in the configuration with this timeout.
    pub(crate) async fn reload(&self, timeout: &str) -> Result<(), String> {
        let fleet = self.fleet(timeout)?;
        self.handle.configure(fleet).await;
        Ok(())
    }

    /// Takes in these secrets, as when their files have changed.
    pub(crate) async fn renew(&mut self, secrets: BTreeMap<String, String>) -> Result<(), String> {
        self.setting.secrets = secrets;
        for (provider, connection) in self.fleet("20s")? {
            self.handle.reconnect(provider.name.clone(), connection).await;
        }
        Ok(())
    }

    fn fleet(&self, timeout: &str) -> Result<Fleet, String> {
        let mut environment = secrets();
        environment.extend(self.setting.secrets.clone());
        let reader = SecretReader::with_environment(environment);
        let loaded = load_text("exporter.yaml", &self.yaml(timeout), &reader).map_err(|refused| refused.to_string())?;
        Ok(loaded.config.providers.into_iter().zip(loaded.connections).collect())
    }

    fn yaml(&self, timeout: &str) -> String {
        let Self { api, setting, .. } = self;
        let scheme = if setting.tls { "https" } else { "http" };
        let keys = [setting.other_keys.unwrap_or(api.provider_keys()), &setting.provider_keys].join("\n");
        let keys: Vec<_> = keys.lines().map(|line| format!("    {line}\n")).collect();
        let account = setting.other_account.unwrap_or(api.account_keys());
        let mut text = format!(
            "defaults: {{ interval: {}s, timeout: {timeout}, stale_after: {}s }}\nproviders:\n  - name: {name}\n    \
             api: {name}\n    base_url: {scheme}://{}:{}\n    rate_limit: {{ requests: 100000, per: 1m }}\n    keep_alive: {}\n{}    \
             accounts:\n      - {{ name: {ACCOUNT}, {account}{} }}\n",
            INTERVAL.as_secs(),
            STALE_AFTER.as_secs(),
            self.host,
            self.server.address.port(),
            self.keep_alive,
            keys.concat(),
            setting.account_keys,
            name = api.name(),
        );
        for other in 1..=setting.others {
            text += &format!("      - {{ name: account-{other}, encrypted_msisdn: 'x{other}' }}\n");
        }
        text
    }

    /// The names of all accounts.
    fn accounts(&self) -> Vec<String> {
        let others = (1..=self.setting.others).map(|other| format!("account-{other}"));
        std::iter::once(ACCOUNT.to_owned()).chain(others).collect()
    }

    /// Lets the next poll of every account begin and end.
    pub(crate) async fn poll(&mut self) -> Result<Arc<AccountStatus>, String> {
        // the first ones are spread over a second
        self.clock.advance(if self.polls == 0 { Duration::from_secs(3) } else { INTERVAL + Duration::from_secs(1) });
        self.polls += 1;
        // whatever the poller is told, it looks at the clock
        let nobody = Connection { login: None, accounts: Vec::new(), route: Route::default() };
        self.handle.reconnect("nobody".into(), nobody).await;
        let ended = async {
            for account in self.accounts() {
                while self.status(&account).is_none_or(|status| status.polls < self.polls) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.map_err(|_| "the poll does not end".to_owned())?;
        let status = self.status(ACCOUNT).ok_or("the account is gone")?;
        if status.polls != self.polls {
            return Err(format!("{} polls instead of {}", status.polls, self.polls));
        }
        Ok(status)
    }

    fn status(&self, account: &str) -> Option<Arc<AccountStatus>> {
        self.edge.board.account(&AccountId { provider: self.api.name().into(), account: account.into() })
    }

    /// Moves the clock only: what is shown grows older.
    pub(crate) fn age(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// What Prometheus would be told now. It is read strictly, and tells no secret.
    pub(crate) fn scrape(&self) -> Result<Exposition, String> {
        let format: Format = negotiate(None);
        let text = render(&self.edge.board.view(), &self.edge.telemetry.gather(), self.clock.now(), format);
        no_secret("the scrape", &text)?;
        let accounts = self.accounts();
        let accounts: Vec<_> = accounts.iter().map(|account| (self.api.name(), account.as_str())).collect();
        check_accounts(&text, format, &accounts)
    }

    /// The number of the account that is looked at, if it is told.
    pub(crate) fn figure<'a>(&self, scrape: &'a Exposition) -> Option<&'a str> {
        let labels = [("account", ACCOUNT), ("wallet", self.api.wallet())];
        scrape.value("balance_available_amount", &labels)
    }

    /// A value about the account or its provider.
    pub(crate) fn value<'a>(&self, scrape: &'a Exposition, name: &str) -> Option<&'a str> {
        let about_account = scrape.value(name, &[("account", ACCOUNT)]);
        about_account.or_else(|| scrape.value(name, &[("provider", self.api.name())]))
    }
}

/// All that the scrape says of amounts, which must be nothing once the number is withdrawn.
pub(crate) fn amounts(scrape: &Exposition) -> usize {
    let names = ["balance_amount", "balance_available_amount", "balance_frozen_amount", "balance_credit_limit_amount"];
    names
        .iter()
        .map(|name| scrape.samples(name).filter(|sample| sample.label("account") == Some(ACCOUNT)).count())
        .sum()
}

pub(crate) fn no_secret(what: &str, text: &str) -> Result<(), String> {
    match CANARIES.iter().find(|canary| text.contains(**canary)) {
        Some(canary) => Err(format!("{canary} stands in {what}: {text}")),
        None => Ok(()),
    }
}
