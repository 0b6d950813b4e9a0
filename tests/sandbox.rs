//! The sandbox over a real socket, polled by the adapters with the configuration that it writes itself: two
//! implementations of every protocol that share no code have to agree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balance_exporter::account::Balance;
use balance_exporter::clock::{BootTime, Clock, Now};
use balance_exporter::document::Node;
use balance_exporter::providers::{
    Connection, Environment, Exchange, Login, LoginExchange, LoginStep, Provider, Reading, Renewal, Session, Site,
    Step, find,
};
use balance_exporter::sandbox::{Grant, Limits, Sandbox, Settings, Window};
use balance_exporter::secret::{Secret, Secrets, Source};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use serde_yaml::Value as Yaml;
use tokio::net::TcpListener;

/// Keys that every provider entry and every account entry can have; the rest is the API's.
const PROVIDER_KEYS: [&str; 8] = ["name", "api", "environment", "base_url", "rate_limit", "tls", "proxy", "accounts"];
const ACCOUNT_KEYS: [&str; 6] = ["name", "interval", "timeout", "stale_after", "thresholds", "labels"];

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Now {
        Now { boot: BootTime::from_boot(Duration::from_secs(100)), wall: "2026-11-21T12:00:00Z".parse().unwrap() }
    }
}

/// An account, and the means to poll it.
struct Configured {
    provider: String,
    name: String,
    poll: Arc<dyn Provider>,
    login: Option<Arc<dyn Login>>,
}

/// A served sandbox and a client that does what it is told and nothing more.
struct Bench {
    sandbox: Arc<Sandbox>,
    addr: SocketAddr,
    client: reqwest::Client,
}

impl Bench {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let sandbox = Arc::new(Sandbox::new(settings, Arc::new(Noon)).unwrap());
        tokio::spawn(Arc::clone(&sandbox).serve(listener, pending()));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { sandbox, addr, client }
    }

    async fn send(&self, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let request = self.client.request(parts.method, url).headers(parts.headers).body(body);
        let reply = request.send().await?;
        let mut received = Response::builder().status(reply.status());
        *received.headers_mut().unwrap() = reply.headers().clone();
        Ok(received.body(reply.bytes().await?).unwrap())
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let url = format!("http://{}/-/sandbox{path}", self.addr);
        let request = Request::builder().method(method).uri(url).body(Bytes::from(body.to_owned())).unwrap();
        serde_json::from_slice(self.send(request).await.unwrap().body()).unwrap()
    }

    /// Every account of the configuration that the sandbox writes.
    fn configured(&self) -> Vec<Configured> {
        let yaml: Yaml = serde_yaml::from_str(&self.sandbox.exporter_yaml(self.addr)).unwrap();
        let secrets = self.sandbox.secrets();
        let secret = |source: &Source| match source {
            Source::Env(name) => Secret::new(secrets[name].clone()),
            Source::File(_) | Source::Credential(_) => panic!("not from the environment: {source}"),
        };
        let mut all = Vec::new();
        for provider in yaml["providers"].as_sequence().unwrap() {
            let text = |key: &str| provider[key].as_str().unwrap();
            let site = Site { base_url: text("base_url").parse().unwrap(), environment: Environment::Sandbox };
            let accounts = provider["accounts"].as_sequence().unwrap();
            let nodes: Vec<_> = accounts.iter().map(|account| own(account, &ACCOUNT_KEYS)).collect();
            let settings = find(text("api")).unwrap().read(&site, &own(provider, &PROVIDER_KEYS), &nodes).unwrap();
            let secrets: Secrets = settings.secrets().into_iter().map(|(key, source)| (key, secret(source))).collect();
            let Connection { login, accounts: polled, .. } = settings.connect(&secrets).unwrap();
            for (account, poll) in accounts.iter().zip(polled) {
                let name = account["name"].as_str().unwrap().to_owned();
                all.push(Configured { provider: text("name").to_owned(), name, poll, login: login.clone() });
            }
        }
        all
    }

    async fn log_in(&self, login: &dyn Login, renew: Option<&Session>) -> Session {
        let mut replies = Vec::new();
        loop {
            match login.step(&LoginExchange { at: Noon.now().wall, renew, replies: &replies }).unwrap() {
                LoginStep::Send(request) => replies.push(self.send(request).await.unwrap()),
                LoginStep::Done(session) => return session,
            }
        }
    }

    async fn poll(&self, provider: &dyn Provider, session: Option<&Session>) -> Result<Reading, Option<Renewal>> {
        let mut replies = Vec::new();
        loop {
            let exchange = Exchange { at: Noon.now().wall, session, pinned: None, previous: None, replies: &replies };
            match provider.step(&exchange) {
                Ok(Step::Send(request)) => replies.push(self.send(request).await.unwrap()),
                Ok(Step::Done(reading)) => return Ok(reading),
                Ok(Step::SessionOver { renewal, .. }) => return Err(Some(renewal)),
                Err(failure) => panic!("{failure}"),
            }
        }
    }
}

/// An entry without the keys that all APIs share.
fn own(entry: &Yaml, shared: &[&str]) -> Node {
    let mapping = entry.as_mapping().unwrap().iter().filter(|(key, _)| !shared.contains(&key.as_str().unwrap()));
    Node::new(Yaml::Mapping(mapping.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// A balance as the sandbox writes what it answered.
fn written(balance: &Balance) -> Value {
    let mut object = json!({"wallet": balance.wallet.as_str(), "currency": balance.currency.as_str()});
    for (name, figure) in [
        ("amount", balance.amount),
        ("available", balance.available),
        ("frozen", balance.frozen),
        ("credit_limit", balance.credit_limit),
    ] {
        if let Some(figure) = figure {
            object[name] = json!(figure.to_string());
        }
    }
    object
}

#[tokio::test]
async fn every_configured_account_is_read_to_the_last_digit() {
    let bench = Bench::start(Settings { live: false, ..Settings::default() }).await;
    let mut sessions = std::collections::BTreeMap::new();
    for Configured { provider, name, poll, login } in bench.configured() {
        if let (Some(login), false) = (&login, sessions.contains_key(&provider)) {
            sessions.insert(provider.clone(), bench.log_in(&**login, None).await);
        }
        let reading = bench.poll(&*poll, sessions.get(&provider)).await.unwrap();
        let state = bench.control("GET", "", "").await;
        let told = state["accounts"].as_array().unwrap().iter().find(|told| told["account"] == *name).unwrap();
        assert_eq!(told["provider"], *provider);
        let read: Vec<_> = reading.balances().iter().map(written).collect();
        assert_eq!(told["last_reported"], json!(read), "{provider}/{name}");
    }
    let state = bench.control("GET", "", "").await;
    for (name, provider) in state["providers"].as_object().unwrap() {
        assert_eq!(provider["violations"], json!({}), "{name}");
    }
}

#[tokio::test]
async fn sessions_end_and_are_renewed() {
    for grant in [Grant::ClientCredentials, Grant::Password] {
        let bench = Bench::start(Settings { grant, live: false, ..Settings::default() }).await;
        let Configured { poll, login, .. } = bench.configured().remove(0);
        let login = login.unwrap();
        let first = bench.log_in(&*login, None).await;
        assert_eq!((first.lifetime.as_secs(), first.refresh.is_some()), (3600, grant == Grant::Password));
        bench.poll(&*poll, Some(&first)).await.unwrap();
        bench.control("POST", "/tokens/expire", "").await;
        assert_eq!(bench.poll(&*poll, Some(&first)).await, Err(Some(Renewal::Refresh)));
        let second = bench.log_in(&*login, Some(&first)).await;
        bench.poll(&*poll, Some(&second)).await.unwrap();
        assert_eq!(bench.poll(&*poll, Some(&first)).await, Err(Some(Renewal::LogIn)));
    }
}

#[tokio::test]
async fn trouble_is_real_trouble_on_the_socket() {
    let limits = Limits { bridge: vec![Window::new(3, Duration::from_secs(60))], ..Limits::default() };
    let bench = Bench::start(Settings { limits, ..Settings::default() }).await;
    let url = format!("http://{}/get_account_balance", bench.addr);
    let ask = || {
        let body = r#"{"service_id":4101,"request_time":"2026-11-21 12:00"}"#;
        let request = Request::post(&url).header("content-type", "application/json");
        let basic = "Basic c2FuZGJveC1icmlkZ2U6c2FuZGJveDpicmlkZ2U9cGFzc3dvcmQ=";
        bench.send(request.header("authorization", basic).body(Bytes::from_static(body.as_bytes())).unwrap())
    };
    bench.control("PUT", "/accounts/bridge/gh-operations", r#"{"fault":"redirect"}"#).await;
    assert_eq!(ask().await.unwrap().status(), 302);
    bench.control("PUT", "/accounts/bridge/gh-operations", r#"{"fault":"drop"}"#).await;
    assert!(ask().await.unwrap_err().is_request());
    bench.control("PUT", "/accounts/bridge/gh-operations", r#"{"fault":null}"#).await;
    assert_eq!(ask().await.unwrap().status(), 200);
    assert_eq!(ask().await.unwrap().status(), 429);
    let outcomes = bench.control("GET", "/arrivals", "").await;
    let outcomes: Vec<_> = outcomes["arrivals"].as_array().unwrap().iter().map(|arrival| &arrival["outcome"]).collect();
    assert_eq!(outcomes, ["fault: redirect", "fault: drop", "granted", "throttled"]);

    let too_long = Request::post(&url).body(Bytes::from(vec![b' '; 64 * 1024 + 1])).unwrap();
    assert_eq!(bench.send(too_long).await.unwrap().status(), 413);
    let nowhere = Request::get(format!("http://{}/metrics", bench.addr)).body(Bytes::new()).unwrap();
    assert_eq!(bench.send(nowhere).await.unwrap().status(), 404);
}

#[tokio::test]
async fn shutting_down_ends_the_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sandbox = Arc::new(Sandbox::new(Settings::default(), Arc::new(Noon)).unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(sandbox.serve(listener, async move {
        let _ = stopped.await;
    }));
    let control = |path: &str| format!("http://{addr}/-/sandbox{path}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let hang = client.put(control("/accounts/bridge/gh-operations")).body(r#"{"fault":"hang"}"#);
    assert_eq!(hang.send().await.unwrap().status(), 200);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(client.get(control("")).send().await.is_err());
}
