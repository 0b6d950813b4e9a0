//! The documents against the program: generated tables, examples, commands, flags, links and names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use balance_exporter::config::Config;
use balance_exporter::exposition::catalogue::{Kind, METRICS};
use balance_exporter::reference;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A document for people.
struct Document {
    name: String,
    text: String,
}

/// A fenced block: its info string, and its lines.
struct Block {
    info: String,
    text: String,
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below a folder of the repository whose name ends like this.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // what is built, and what is hidden, is not ours to check
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<Document> {
    let document = |path: PathBuf| {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        Document { text: read(&name), name }
    };
    let documents: Vec<_> = files("", ".md").into_iter().map(document).collect();
    for expected in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md"] {
        assert!(documents.iter().any(|document| document.name == expected), "{expected} is missing");
    }
    documents
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let body: Vec<_> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            blocks.push(Block { info: info.to_owned(), text: body.join("\n") + "\n" });
        }
    }
    blocks
}

/// The code spans of the prose: what stands between single backticks on one line, outside of blocks.
fn spans(text: &str) -> Vec<&str> {
    let mut inside = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !fence && !inside
    });
    prose.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The names in a text: `separator` says what cannot stand in one.
fn words(text: &str, separator: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|word| !word.is_empty())
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_balance-exporter")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?} --help: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn flags(text: &str) -> BTreeSet<String> {
    let words = words(text, |c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)));
    let is_flag = |word: &&str| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic));
    words.filter(is_flag).map(|word| word.trim_end_matches('.').to_owned()).collect()
}

fn commands() -> Vec<String> {
    let help = help(&[]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let names: Vec<_> = names.map(str::to_owned).collect();
    assert!(names.iter().any(|name| name == "run"), "{names:?}");
    names
}

/// What a person types to run the program, without the program's own name.
fn invocations(document: &Document) -> Vec<String> {
    let blocks = blocks(&document.text);
    let typed = blocks.iter().filter(|block| block.info == "console").flat_map(|block| block.text.lines());
    let typed = typed.filter_map(|line| line.strip_prefix("$ "));
    let after = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        let cargo = line.strip_prefix("cargo run").and_then(|line| line.split_once("-- ").map(|(_, rest)| rest));
        cargo.or_else(|| line.strip_prefix("balance-exporter ")).map(str::to_owned)
    };
    typed.chain(spans(&document.text)).filter_map(after).collect()
}

#[test]
fn generated_parts_are_up_to_date() {
    let mut marked = 0;
    for Document { name, text } in documents() {
        if text.contains("\n<!-- generated: ") {
            marked += 1;
            let remedy = "run: balance-exporter reference --update FILE";
            assert!(reference::update(&text).as_ref() == Ok(&text), "{name} is not up to date; {remedy}");
        }
    }
    assert!(marked > 0, "no document has a generated part");
    assert_eq!(read("README.md").matches("\n<!-- generated: ").count(), 2);
}

#[test]
fn every_example_is_real() {
    let (mut configurations, mut copies) = (0, 0);
    for Document { name, text } in documents() {
        for Block { info, text } in blocks(&text) {
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
fn every_command_that_is_shown_exists() {
    let commands = commands();
    let mut seen = BTreeSet::new();
    for document in documents() {
        for invocation in invocations(&document) {
            let first = invocation.split_whitespace().next().unwrap_or_default();
            let help = if first.starts_with('-') {
                help(&[])
            } else {
                assert!(commands.iter().any(|name| name == first), "{}: there is no {first:?}", document.name);
                seen.insert(first.to_owned());
                help(&[first])
            };
            let unknown: Vec<_> = flags(&invocation).difference(&flags(&help)).cloned().collect();
            assert!(unknown.is_empty(), "{}: {invocation:?} has no {unknown:?}", document.name);
        }
    }
    for expected in ["check", "demo", "poll", "sandbox"] {
        assert!(seen.contains(expected), "no document shows {expected}");
    }
}

#[test]
fn every_flag_that_is_named_exists() {
    let all: BTreeSet<_> =
        commands().iter().map(|name| flags(&help(&[name.as_str()]))).chain([flags(&help(&[]))]).flatten().collect();
    for document in documents() {
        for span in spans(&document.text).into_iter().filter(|span| !span.starts_with("cargo ")) {
            let unknown: Vec<_> = flags(span).difference(&all).cloned().collect();
            assert!(unknown.is_empty(), "{}: {span:?} has no {unknown:?}", document.name);
        }
    }
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `--"));
    let mut listed = BTreeSet::from(["--help".to_owned()]);
    let help = help(&["run"]);
    for row in rows {
        let mut cells = row.split('|').map(|cell| cell.trim_matches([' ', '`']));
        let (flag, default) = (format!("--{}", cells.next().unwrap()), cells.next().unwrap());
        let told = help.lines().find(|line| line.split_whitespace().any(|word| word == flag)).unwrap_or_default();
        let expected = if ["off", "none"].contains(&default) { flag.clone() } else { format!("[default: {default}]") };
        assert!(told.contains(&expected), "README.md: {flag} is {default:?}, but help says {told:?}");
        listed.insert(flag);
    }
    assert_eq!(listed, flags(&help), "the table of flags and the help of run");
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for Document { name, text } in documents() {
        let folder = Path::new(ROOT).join(&name).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            followed += 1;
            let target = if path.is_empty() { Path::new(ROOT).join(&name) } else { folder.join(path) };
            assert!(target.exists(), "{name}: {link} leads nowhere");
            if !anchor.is_empty() {
                let heading = |line: &&str| line.starts_with('#') && anchor_of(line) == anchor;
                assert!(fs::read_to_string(target).unwrap().lines().any(|line| heading(&line)), "{name}: {link}");
            }
        }
    }
    assert!(followed > 5, "{followed} links were found");
}

/// How a heading is linked to.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
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
            // the crate is no metric
            if word.starts_with("balance_") && word != "balance_exporter" {
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
