//! The real binary, polling the sandbox over real sockets, told what to do by signals and over HTTP.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::future::pending;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use balance_exporter::clock::SystemClock;
use balance_exporter::exposition::Format;
use balance_exporter::exposition::checker::{Exposition, check_accounts};
use balance_exporter::sandbox::{Sandbox, Settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Attempts, a tenth of a second apart, before something that should happen has not happened.
const ATTEMPTS: u32 = 300;

/// The sandbox on a thread of its own, its configuration in a directory, and an exporter that polls it.
struct Stage {
    sandbox: SocketAddr,
    directory: TempDir,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn set() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let settings = Settings { live: false, ..Settings::default() };
        let sandbox = Arc::new(Sandbox::new(settings, Arc::new(SystemClock)).unwrap());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        sandbox.write_to(directory.path(), address).unwrap();
        runtime.spawn(sandbox.serve(listener, pending()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sandbox: address, directory, client, runtime }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("exporter.yaml")
    }

    fn exporter(&self) -> Exporter {
        self.exporter_with(&["--web.enable-lifecycle"])
    }

    fn exporter_with(&self, flags: &[&str]) -> Exporter {
        let config = self.config();
        Exporter::start(&[&["--config.file", config.to_str().unwrap()], flags].concat())
    }

    /// Whether the last reload was accepted.
    fn reloaded(&self, exporter: &Exporter) -> Option<bool> {
        let (_, text) = self.get(&exporter.url("/metrics"));
        let metric = "balance_exporter_config_last_reload_successful ";
        text.lines().find_map(|line| line.strip_prefix(metric)).map(|value| value == "1")
    }

    fn get(&self, url: &str) -> (u16, String) {
        self.runtime.block_on(async {
            let reply = self.client.get(url).send().await.unwrap();
            (reply.status().as_u16(), reply.text().await.unwrap())
        })
    }

    fn post(&self, url: &str) -> (u16, String) {
        self.runtime.block_on(async {
            let reply = self.client.post(url).send().await.unwrap();
            (reply.status().as_u16(), reply.text().await.unwrap())
        })
    }

    /// Sets a balance or a fault of a sandbox account.
    fn control(&self, account: &str, body: &Value) {
        let url = format!("http://{}/-/sandbox/accounts/{account}", self.sandbox);
        let status = self
            .runtime
            .block_on(async { self.client.put(url).body(body.to_string()).send().await.unwrap().status().as_u16() });
        assert_eq!(status, 200, "{account} {body}");
    }

    fn accounts(&self) -> Vec<Value> {
        let (_, state) = self.get(&format!("http://{}/-/sandbox", self.sandbox));
        let state: Value = serde_json::from_str(&state).unwrap();
        state["accounts"].as_array().unwrap().clone()
    }

    /// The metrics, through the checker that wants every account's series.
    fn scrape(&self, exporter: &Exporter) -> Exposition {
        let (status, text) = self.get(&exporter.url("/metrics"));
        assert_eq!(status, 200);
        let accounts = self.accounts();
        let names: Vec<_> =
            accounts.iter().map(|a| (a["provider"].as_str().unwrap(), a["account"].as_str().unwrap())).collect();
        check_accounts(&text, Format::Text, &names).unwrap()
    }

    fn until(&self, what: &str, mut happens: impl FnMut(&Self) -> bool) {
        for _ in 0..ATTEMPTS {
            if happens(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} did not happen");
    }

    fn until_ready(&self, exporter: &Exporter) {
        self.until("being ready", |stage| stage.get(&exporter.url("/-/ready")).0 == 200);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        binary().args(arguments).args(["--config.file", config.to_str().unwrap()]).output().unwrap()
    }
}

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_balance-exporter"))
}

/// A running exporter. It is killed if a test fails before it is stopped.
struct Exporter {
    child: Child,
    address: String,
    log: Receiver<String>,
}

impl Exporter {
    fn start(arguments: &[&str]) -> Self {
        let mut child = binary()
            .args(arguments)
            .args(["--web.listen-address", "127.0.0.1:0", "--log.format", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let address = log
            .iter()
            .inspect(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "not one JSON object: {line}"))
            .find_map(|line| Some(line.split_once("serving on http://")?.1.split('/').next()?.to_owned()))
            .expect("the exporter says where it serves");
        Self { child, address, log }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it as a service manager does; its exit status and the rest of its log.
    fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        (status, self.log.iter().collect())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // it has ended already if the test went well
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_balance_is_served_exactly_as_the_provider_said_it() {
    let stage = Stage::set();
    let exporter = stage.exporter();
    stage.until_ready(&exporter);
    let metrics = stage.scrape(&exporter);
    let mut compared = 0;
    for account in stage.accounts() {
        let name = account["account"].as_str().unwrap();
        for figures in account["last_reported"].as_array().unwrap() {
            let wallet = figures["wallet"].as_str().unwrap();
            for (figure, metric) in [("available", "balance_available_amount"), ("amount", "balance_amount")] {
                let Some(said) = figures[figure].as_str() else { continue };
                let shown = metrics.value(metric, &[("account", name), ("wallet", wallet)]);
                let equal = shown.is_some_and(|shown| shown.parse::<f64>() == said.parse::<f64>());
                assert!(equal, "{metric} of {name}/{wallet}: {shown:?} is served, {said} was said");
                compared += 1;
            }
        }
    }
    assert!(compared >= 12, "{compared} figures compared");
    let (status, log) = exporter.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.iter().any(|line| line.contains("stopped")), "{log:?}");
}

#[test]
fn a_failing_account_keeps_its_number_and_says_why() {
    let stage = Stage::set();
    let exporter = stage.exporter();
    stage.until_ready(&exporter);
    let account = [("account", "gh-operations")];
    let wallet = [("account", "gh-operations"), ("wallet", "payout")];
    let before = stage.scrape(&exporter).value("balance_available_amount", &wallet).unwrap().to_owned();
    stage.control("bridge/gh-operations", &json!({ "fault": "redirect" }));
    stage.until("a failed poll", |stage| stage.scrape(&exporter).value("balance_poll_success", &account) == Some("0"));
    let failing = stage.scrape(&exporter);
    let reason = [("account", "gh-operations"), ("reason", "redirect")];
    assert_ne!(failing.value("balance_poll_failures_total", &reason), Some("0"));
    assert_eq!(failing.value("balance_available_amount", &wallet), Some(before.as_str()));
    assert_eq!(failing.value("balance_fresh", &account), Some("1"));
    stage.control("bridge/gh-operations", &json!({ "fault": null, "balances": { "payout": "12.34" } }));
    stage.until("the new balance", |stage| {
        stage.scrape(&exporter).value("balance_available_amount", &wallet) == Some("12.34")
    });
}

#[test]
fn a_reload_is_all_or_nothing() {
    let stage = Stage::set();
    let exporter = stage.exporter();
    stage.until_ready(&exporter);
    let good = fs::read_to_string(stage.config()).unwrap();
    let polls = |stage: &Stage| {
        let metrics = stage.scrape(&exporter);
        metrics.value("balance_polls_total", &[("account", "pe-payin")]).unwrap().parse::<u64>().unwrap()
    };
    let polls_before = polls(&stage);

    fs::write(stage.config(), good.replacen("interval: 15s", "intervall: 15s", 1)).unwrap();
    let (status, why) = stage.post(&exporter.url("/-/reload"));
    assert_eq!(status, 500);
    assert!(why.contains("exporter.yaml:2:") && why.contains("did you mean `interval`?"), "{why}");
    assert_eq!(stage.reloaded(&exporter), Some(false));
    assert!(polls(&stage) >= polls_before, "the accounts and their counters are still there");

    fs::write(stage.config(), good.replace("team: treasury", "team: vault")).unwrap();
    exporter.signal(Signal::HUP);
    stage.until("the reload", |stage| stage.reloaded(&exporter) == Some(true));
    let metrics = stage.scrape(&exporter);
    assert!(metrics.value("balance_fresh", &[("account", "uae-settlement"), ("team", "vault")]) == Some("1"));
    assert!(polls(&stage) >= polls_before, "a label changes nothing else");

    fs::write(stage.config(), "providers: []\n").unwrap();
    assert_eq!(stage.post(&exporter.url("/-/reload")).0, 200);
    let (_, text) = stage.get(&exporter.url("/metrics"));
    assert!(!text.contains("account="), "an account that has left has no series");
    assert_eq!(stage.get(&exporter.url("/-/ready")).0, 200);
}

#[test]
fn a_changed_configuration_is_taken_in_by_itself_if_that_is_wanted() {
    let stage = Stage::set();
    let exporter = stage.exporter_with(&["--config.enable-auto-reload", "--config.auto-reload-interval", "1s"]);
    let unasked = stage.exporter();
    stage.until_ready(&exporter);
    stage.until_ready(&unasked);
    let good = fs::read_to_string(stage.config()).unwrap();
    fs::write(stage.config(), good.replacen("interval: 15s", "intervall: 15s", 1)).unwrap();
    stage.until("the refusal", |stage| stage.reloaded(&exporter) == Some(false));
    // put in place the way editors and Kubernetes do it
    let new = stage.directory.path().join("new.yaml");
    fs::write(&new, good.replace("team: treasury", "team: vault")).unwrap();
    fs::rename(new, stage.config()).unwrap();
    stage.until("the reload", |stage| stage.reloaded(&exporter) == Some(true));
    let vault = [("account", "uae-settlement"), ("team", "vault")];
    assert_eq!(stage.scrape(&exporter).value("balance_fresh", &vault), Some("1"));
    assert_eq!(stage.scrape(&unasked).value("balance_fresh", &vault), None, "it was not asked to");
    let refusals = exporter.log.try_iter().filter(|line| line.contains("refused")).count();
    assert_eq!(refusals, 1, "what is wrong is told once, not at every look");
}

#[test]
fn a_secret_is_taken_in_when_its_file_changes() {
    let stage = Stage::set();
    let password = stage.directory.path().join("bridge.password");
    let right = fs::read_to_string(&password).unwrap();
    fs::write(&password, "not-the-password").unwrap();
    let exporter = stage.exporter();
    stage.until_ready(&exporter);
    let account = [("account", "gh-operations")];
    let metrics = stage.scrape(&exporter);
    let refused = [("account", "gh-operations"), ("reason", "auth")];
    assert_ne!(metrics.value("balance_poll_failures_total", &refused), Some("0"));
    fs::write(&password, right).unwrap();
    stage.until("a good poll with the new password", |stage| {
        stage.scrape(&exporter).value("balance_poll_success", &account) == Some("1")
    });
}

#[test]
fn one_poll_tells_everything_but_secrets() {
    let stage = Stage::set();
    let table = stage.run(&["poll", "uae-settlement"]);
    assert_eq!(table.status.code(), Some(0));
    let shown = String::from_utf8(table.stdout).unwrap();
    assert!(shown.starts_with("payby/uae-settlement: read at ") && shown.contains("AED"), "{shown}");

    let answer = stage.run(&["poll", "gh-operations", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["balances"][0]["wallet"], "payout");
    assert!(answer["balances"][0]["available"].is_string());

    let metrics = stage.run(&["poll", "lk-reload-pool", "--format", "metrics"]);
    let text = String::from_utf8(metrics.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("balance_amount{provider=\"dialog\",account=\"lk-reload-pool\"")));

    for account in ["lk-reload-pool", "uae-settlement", "gh-operations", "pe-payout"] {
        let traced = stage.run(&["poll", account, "--trace"]);
        let shown = String::from_utf8(traced.stdout).unwrap();
        assert!(shown.contains("--- request 1") && shown.contains("--- reply 1"), "{shown}");
        for hidden in secrets(stage.directory.path()) {
            assert!(!shown.contains(&hidden), "{account}: a secret is shown");
        }
        assert!(!shown.contains("/947"), "a subscriber's number is shown: {shown}");
    }

    stage.control("payby/uae-settlement", &json!({ "fault": "drop" }));
    let failed = stage.run(&["poll", "uae-settlement"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8(failed.stdout).unwrap().contains("no balance"));
    let unknown = stage.run(&["poll", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn check_says_what_will_be_polled() {
    let stage = Stage::set();
    let checked = stage.run(&["check"]);
    assert_eq!(checked.status.code(), Some(0));
    let report = String::from_utf8(checked.stdout).unwrap();
    for expected in
        ["4 providers, 12 accounts, nothing wrong", "secret   private_key", "private RSA key", "requests per 1m"]
    {
        assert!(report.contains(expected), "{expected} is missing from\n{report}");
    }
    let explained = stage.run(&["check", "--explain"]);
    let explanation = String::from_utf8(explained.stdout).unwrap();
    assert!(explanation.contains("the settings in force") && explanation.contains(" line "), "{explanation}");
    for hidden in secrets(stage.directory.path()) {
        assert!(!report.contains(&hidden) && !explanation.contains(&hidden), "a secret is shown");
    }
    fs::remove_file(stage.directory.path().join("bridge.password")).unwrap();
    let elsewhere = stage.run(&["check"]);
    assert_eq!(elsewhere.status.code(), Some(0), "a configuration can be checked where its secrets are not");
    assert!(String::from_utf8(elsewhere.stdout).unwrap().contains("the exporter will not start"));
    fs::write(stage.directory.path().join("bridge.password"), "").unwrap();
    assert_eq!(stage.run(&["check"]).status.code(), Some(2), "a secret that is here must be usable");
    fs::remove_file(stage.directory.path().join("bridge.password")).unwrap();
    let refused = stage.run(&["check", "--require-secrets"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("providers[2].password"));
}

#[test]
fn the_demo_needs_nothing() {
    let stage = Stage::set();
    let demo = Exporter::start(&["demo"]);
    stage.until_ready(&demo);
    let (status, text) = stage.get(&demo.url("/metrics"));
    assert_eq!(status, 200);
    for provider in ["dialog", "payby", "bridge", "smilepayz"] {
        let fresh = format!("balance_fresh{{provider=\"{provider}\"");
        assert!(text.lines().any(|line| line.starts_with(&fresh) && line.ends_with(" 1")), "{provider}");
    }
    assert_eq!(demo.stop().0.code(), Some(0));
}

/// Every secret of the configuration, a PEM line by line.
fn secrets(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // public keys are no secrets, and the configuration has none
        if path.extension().is_some_and(|ending| ending == "yaml") || path.to_string_lossy().contains(".pub.") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        lines.extend(text.lines().filter(|line| line.len() > 8 && !line.starts_with("-----")).map(str::to_owned));
    }
    assert!(lines.len() > 10);
    lines
}
