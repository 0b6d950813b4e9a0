//! The documents against the program: generated tables, examples, commands, outputs, flags, links and names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use balance_exporter::config::Config;
use balance_exporter::exposition::catalogue::{Kind, METRICS};
use balance_exporter::{cli, reference};

#[path = "documents/document.rs"]
mod document;
#[path = "documents/provider_pages.rs"]
mod provider_pages;
#[path = "documents/shell.rs"]
mod shell;
#[path = "documents/shown.rs"]
mod shown;

use document::{Block, Document, ROOT, anchor_of, blocks, documents, files, headings, links, read, spans, words};

#[test]
fn generated_parts_are_up_to_date() {
    let mut marked = 0;
    for Document { name, text } in documents() {
        if text.contains("\n<!-- generated: ") {
            marked += 1;
            let remedy = "run: balance-exporter reference --update FILE";
            assert!(
                reference::update(&text, &cli::command()).as_ref() == Ok(&text),
                "{name} is not up to date; {remedy}"
            );
        }
    }
    assert!(marked > 0, "no document has a generated part");
    assert_eq!(read("README.md").matches("\n<!-- generated: ").count(), 2);
}

#[test]
fn every_example_is_real() {
    let (mut configurations, mut copies) = (0, 0);
    for Document { name, text } in documents() {
        for Block { info, text, .. } in blocks(&text) {
            match info.split_once(' ') {
                Some((_, "exporter.yaml")) => {
                    configurations += 1;
                    let parsed = Config::parse(&text);
                    assert!(parsed.is_ok(), "{name}: {:?}\n{text}", parsed.err());
                }
                Some((_, path)) => {
                    copies += 1;
                    assert_eq!(text, read(&format!("src/providers/{path}")), "{name} shows another {path}");
                }
                None if info == "yaml" => {
                    let parsed = serde_yaml::from_str::<serde_yaml::Value>(&text);
                    assert!(parsed.is_ok(), "{name}: {:?}\n{text}", parsed.err());
                }
                None => {}
            }
        }
    }
    assert!(configurations > 0 && copies > 0, "{configurations} configurations, {copies} copies");
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        for (path, anchor) in links(&document) {
            followed += 1;
            let target = Path::new(ROOT).join(&path);
            assert!(target.exists(), "{}: {} leads nowhere", document.name, path.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(target).unwrap();
                let found = headings(&text).into_iter().any(|heading| anchor_of(heading) == anchor);
                assert!(found, "{}: {} has no #{anchor}", document.name, path.display());
            }
        }
    }
    assert!(followed > 5, "{followed} links were found");
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let documents: BTreeMap<_, _> = documents().into_iter().map(|document| (document.name.clone(), document)).collect();
    let (mut reached, mut open) = (BTreeSet::new(), vec!["README.md".to_owned()]);
    while let Some(name) = open.pop() {
        let Some(document) = documents.get(&name) else { continue };
        if reached.insert(name) {
            open.extend(links(document).into_iter().map(|(path, _)| plain(&path)));
        }
    }
    let lost: Vec<_> = documents.keys().filter(|name| name.starts_with("docs/") && !reached.contains(*name)).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

/// The path without steps up.
fn plain(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in path {
        if part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain.display().to_string()
}

#[test]
fn every_metric_that_is_named_exists() {
    let mut known = BTreeSet::new();
    for metric in METRICS {
        known.insert(metric.name.to_owned());
        if metric.kind == Kind::Histogram {
            known.extend(["_bucket", "_count", "_sum"].map(|suffix| format!("{}{suffix}", metric.name)));
        }
    }
    let mut named = 0;
    for Document { name, text } in documents() {
        for word in words(&text, |c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            // the crate is no metric, nor is a key of the configuration
            if word.starts_with("balance_") && !["balance_exporter", "balance_type"].contains(&word) {
                named += 1;
                assert!(known.contains(word), "{name}: there is no metric {word}");
            }
        }
    }
    assert!(named > METRICS.len(), "{named} names were found");
}

#[test]
fn every_source_file_that_is_named_exists() {
    let mut named = 0;
    for Document { name, text } in documents() {
        for span in spans(&text).into_iter().filter(|span| span.starts_with("src/") && !span.contains('<')) {
            named += 1;
            assert!(Path::new(ROOT).join(span).exists(), "{name}: there is no {span}");
        }
    }
    assert!(named > 0, "no document names a source file");
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for path in files("src", ".rs").into_iter().chain(files("tests", ".rs")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with what it is for", path.display());
    }
}
