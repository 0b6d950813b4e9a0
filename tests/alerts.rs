//! The alert rules against the program and the runbooks: names that exist, and a page for each alert.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use balance_exporter::exposition::catalogue::{Kind, METRICS};
use serde_yaml::Value;

const FILES: [&str; 2] = ["deploy/prometheus/rules.yml", "deploy/prometheus/alerts.yml"];

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The rules of all files.
fn rules() -> Vec<Value> {
    let documents = FILES.map(|name| serde_yaml::from_str::<Value>(&read(name)).unwrap());
    let groups = documents.iter().flat_map(|document| document["groups"].as_sequence().unwrap());
    groups.flat_map(|group| group["rules"].as_sequence().unwrap()).cloned().collect()
}

/// What every rule that has `key` says there.
fn said(rules: &[Value], key: &str) -> BTreeSet<String> {
    rules.iter().filter_map(|rule| rule[key].as_str()).map(str::to_owned).collect()
}

#[test]
fn every_series_that_is_asked_for_exists() {
    let rules = rules();
    let mut known = said(&rules, "record");
    for metric in METRICS {
        known.insert(metric.name.to_owned());
        if metric.kind == Kind::Histogram {
            known.extend(["_bucket", "_count", "_sum"].map(|suffix| format!("{}{suffix}", metric.name)));
        }
    }
    for rule in &rules {
        let expr = rule["expr"].as_str().unwrap();
        let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for word in words.filter(|word| word.starts_with("balance")) {
            // the name of the scrape job
            assert!(known.contains(word) || word == "balances", "there is no {word}: {expr}");
        }
    }
}

#[test]
fn no_expression_is_an_alias() {
    for name in FILES {
        // Prometheus takes the alias's name for the name of a metric, and the alert never fires
        let alias = read(name).lines().find(|line| line.trim_start().starts_with("expr: *")).map(str::to_owned);
        assert_eq!(alias, None, "{name}");
    }
}

#[test]
fn every_alert_has_its_runbook_and_its_row() {
    let rules = rules();
    let alerts = said(&rules, "alert");
    let list = read("docs/alerting.md");
    for rule in rules.iter().filter(|rule| rule["alert"].is_string()) {
        let alert = rule["alert"].as_str().unwrap();
        let path = format!("docs/runbooks/{alert}.md");
        assert_eq!(rule["annotations"]["runbook_url"].as_str(), Some(path.as_str()));
        assert!(read(&path).starts_with(&format!("# {alert}\n")), "{path} is about something else");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let row = list.lines().find(|line| line.starts_with(&format!("| [{alert}](runbooks/{alert}.md) |")));
        assert!(row.is_some_and(|row| row.contains(severity)), "docs/alerting.md: {alert} is {severity}");
    }
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks")).unwrap();
    let pages: BTreeSet<_> =
        pages.map(|page| page.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(pages, alerts);
}

#[test]
fn every_recorded_series_is_told_of() {
    let list = read("docs/alerting.md");
    for name in said(&rules(), "record") {
        // a row names the first window in full and the others by their ends
        let (series, window) = name.rsplit_once(':').unwrap();
        let told = |line: &str| line.contains(&format!("`{series}:")) && line.contains(&format!(":{window}`"));
        assert!(list.lines().any(told), "docs/alerting.md does not tell of {name}");
    }
}
