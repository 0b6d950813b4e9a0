//! Outputs that the documents show: each is made again with the sandbox and compared.
//!
//! A block whose line before is `<!-- shown: PROVIDER/ACCOUNT FAULT -->` shows a command and what it prints while the
//! sandbox has that fault. Three faults are of the way there: `dns`, `connect` and `tls`.

use std::fmt::Write;
use std::fs;
use std::future::pending;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use balance_exporter::clock::SystemClock;
use balance_exporter::failure::ErrorReason;
use balance_exporter::sandbox::{Sandbox, Settings};
use serde_json::json;
use tempfile::TempDir;

use super::document::{blocks, documents, headings, read};
use super::shell::{commands, ours, typed};

/// The sandbox on a thread of its own, and its configuration in a directory.
struct Stage {
    address: SocketAddr,
    directory: TempDir,
    runtime: tokio::runtime::Runtime,
}

/// Where the documents say that the sandbox is, and its configuration.
const SHOWN_ADDRESS: &str = "127.0.0.1:10921";
const SHOWN_CONFIG: &str = "/tmp/sandbox/exporter.yaml";

impl Stage {
    fn set() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sandbox = Sandbox::new(Settings { live: false, ..Settings::default() }, Arc::new(SystemClock)).unwrap();
        let sandbox = Arc::new(sandbox);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        sandbox.write_to(directory.path(), address).unwrap();
        let file = directory.path().join("exporter.yaml");
        // one second is enough to see that nothing comes
        let yaml = fs::read_to_string(&file).unwrap().replace("timeout: 5s", "timeout: 1s");
        fs::write(&file, yaml).unwrap();
        runtime.spawn(sandbox.serve(listener, pending()));
        Self { address, directory, runtime }
    }

    fn order(&self, account: &str, fault: Option<&str>) {
        let url = format!("http://{}/-/sandbox/accounts/{account}", self.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let order = client.put(url).body(json!({ "fault": fault }).to_string()).send();
        let status = self.runtime.block_on(order).unwrap().status();
        assert!(status.is_success(), "{account} {fault:?}: {status}");
    }

    /// The configuration with another base address, for trouble on the way.
    fn config(&self, base: &str) -> String {
        let yaml = fs::read_to_string(self.directory.path().join("exporter.yaml")).unwrap();
        let file = self.directory.path().join("elsewhere.yaml");
        fs::write(&file, yaml.replace(&format!("http://{}", self.address), base)).unwrap();
        file.display().to_string()
    }

    /// What the program prints, with the fault in force.
    fn run(&self, arguments: &[String], account: &str, fault: &str) -> String {
        let config = match fault {
            "dns" => self.config("https://provider.invalid"),
            "connect" => self.config(&format!("http://{}", nobody())),
            "tls" => self.config(&format!("https://{}", self.address)),
            _ => {
                self.order(account, Some(fault));
                self.config(&format!("http://{}", self.address))
            }
        };
        let arguments = arguments.iter().map(|word| if word == SHOWN_CONFIG { &config } else { word });
        let output = Command::new(env!("CARGO_BIN_EXE_balance-exporter")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{account} {fault}: {}", String::from_utf8_lossy(&output.stderr));
        if !["dns", "connect", "tls"].contains(&fault) {
            self.order(account, None);
        }
        String::from_utf8(output.stdout).unwrap().replace(&self.address.to_string(), SHOWN_ADDRESS)
    }
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Without what differs from one run to the next: times, and what a name server says of a name that does not exist.
fn steady(output: &str) -> String {
    let line = |line: &str| {
        let line = line.split_once(", after ").map_or(line, |(before, _)| before);
        let line = line.split_once("\"request_time\":").map_or(line, |(before, _)| before);
        let line = if line.starts_with("date: ") { "date:" } else { line };
        line.replace(
            "gave up after 5s: the provider's name was not resolved",
            "the host name of the provider has no address",
        )
    };
    output.trim_end().lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn every_output_that_is_shown_is_what_the_program_prints() {
    let stage = Stage::set();
    let (mut differences, mut reasons, mut compared) = (String::new(), Vec::new(), 0);
    for document in documents() {
        for block in blocks(&document.text) {
            let Some(mark) = block.before.strip_prefix("<!-- shown: ") else { continue };
            let (account, fault) = mark.strip_suffix(" -->").and_then(|mark| mark.split_once(' ')).unwrap();
            let (_, expected) = block.text.split_once('\n').unwrap();
            let words = commands(&typed(&block.text)[0]).remove(0);
            let printed = stage.run(ours(&words).unwrap(), account, fault);
            compared += 1;
            reasons.extend(ErrorReason::ALL.into_iter().filter(|r| printed.contains(&format!("  reason   {r}: "))));
            if steady(&printed) != steady(expected) {
                let shown = typed(&block.text).remove(0);
                writeln!(differences, "{}: {mark}\n{shown}\n{printed}", document.name).unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "the program prints:\n\n{differences}");
    for reason in ErrorReason::ALL.into_iter().filter(|reason| *reason != ErrorReason::Internal) {
        assert!(reasons.contains(&reason), "no document shows the output for {reason}");
    }
    assert!(compared >= ErrorReason::ALL.len(), "{compared}");
}

#[test]
fn every_reason_has_its_section_and_every_section_its_reason() {
    let text = read("docs/troubleshooting.md");
    let sections = headings(&text).into_iter().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
    let reasons: Vec<_> = ErrorReason::ALL.iter().map(|reason| reason.as_str()).collect();
    let mut sections: Vec<_> = sections.collect();
    sections.sort_by_key(|name| reasons.iter().position(|reason| reason == name));
    assert_eq!(sections, reasons);
}

#[test]
fn an_output_is_shown_in_the_section_of_its_reason() {
    let text = read("docs/troubleshooting.md");
    for section in text.split("\n## `").skip(1) {
        let reason = section.split('`').next().unwrap();
        for line in section.lines().filter_map(|line| line.strip_prefix("  reason   ")) {
            assert!(line.starts_with(&format!("{reason}: ")), "the section {reason} shows {line:?}");
        }
    }
}

#[test]
fn a_line_of_the_log_ends_with_the_remedy_of_its_reason() {
    let mut seen = 0;
    for document in documents() {
        for line in document.text.lines().filter(|line| line.contains(" cannot be read: ")) {
            let reason = line.split("reason=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let reason = ErrorReason::ALL.into_iter().find(|known| known.as_str() == reason);
            let remedy = reason.map(ErrorReason::remedy).unwrap_or_default();
            assert!(!remedy.is_empty() && line.contains(&format!("; {remedy} provider=")), "{}: {line}", document.name);
            seen += 1;
        }
    }
    assert!(seen > 0, "no document shows a line of the log");
}
