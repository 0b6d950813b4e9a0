//! The commands that the documents show: what a person types, and whether the program would take it.

use std::collections::BTreeSet;
use std::path::Path;

use balance_exporter::cli;
use clap::error::ErrorKind;

use super::document::{Document, ROOT, blocks, documents, read, spans, words};

/// Programs of others that the documents call, which no test of the documents runs: they change a system, need one that
/// is not here, or run in the end-to-end tests.
const NOT_EXECUTED: [&str; 32] = [
    "amtool",
    "apt",
    "cargo",
    "cd",
    "chmod",
    "chown",
    "chronyc",
    "cp",
    "curl",
    "docker",
    "export",
    "getent",
    "grep",
    "helm",
    "install",
    "jq",
    "kubectl",
    "mkdir",
    "mv",
    "nfpm",
    "node",
    "npm",
    "pngquant",
    "prometheus",
    "prometheus-alertmanager",
    "promtool",
    "python3",
    "sed",
    "sha256sum",
    "sudo",
    "systemctl",
    "umask",
];
/// Commands of ours that no test of the documents runs, and why.
const OURS_NOT_EXECUTED: [(&str, &str); 7] = [
    ("run", "serves until it is stopped; tests/daemon.rs does it"),
    ("demo", "serves until it is stopped; the end-to-end tests do it"),
    ("sandbox", "serves until it is stopped; its library is what the outputs are taken from"),
    ("poll", "asks a provider; those with a marked output ask the sandbox"),
    ("check", "needs the reader's files; those of the pages about providers are made and checked"),
    ("schema", "prints a file of the repository, which .ci/run compares"),
    ("reference", "changes the document; the generated parts are compared"),
];
/// What the tests do run.
const EXECUTED: [&str; 1] = ["openssl"];

/// The lines that a person types, put together where they go on.
pub(super) fn typed(text: &str) -> Vec<String> {
    let mut typed: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match (goes_on, line.strip_prefix("$ "), typed.last_mut()) {
            (true, _, Some(last)) => *last = format!("{} {}", last.trim_end_matches('\\').trim_end(), line.trim()),
            (_, Some(command), _) => typed.push(command.to_owned()),
            _ => continue,
        }
        goes_on = line.ends_with('\\');
    }
    typed
}

/// The single commands of a line, each as words, without redirections and comments.
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    // where outputs go says nothing of the command
    for c in line.replace("2>&1", "").chars().chain([' ', ';']) {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | ';' | '&') => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            (_, _) => word.get_or_insert_default().push(c),
        }
    }
    commands.push(words);
    for words in &mut commands {
        words.truncate(words.iter().position(|word| word.starts_with('>')).unwrap_or(words.len()));
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// The arguments if it is our program, however it is started.
pub(super) fn ours(words: &[String]) -> Option<&[String]> {
    match words {
        [first, rest @ ..] if first == "balance-exporter" => Some(rest),
        [first, second, ..] if first == "cargo" && second == "run" => {
            Some(&words[words.iter().position(|word| word == "--")? + 1..])
        }
        _ => None,
    }
}

/// Everything that is shown to be typed, in blocks and in the prose.
fn shown(document: &Document) -> Vec<Vec<String>> {
    let blocks = blocks(&document.text);
    let typed = blocks.iter().filter(|block| block.info == "console").flat_map(|block| typed(&block.text));
    let spans = spans(&document.text).into_iter().map(str::to_owned);
    let spans = spans.filter(|span| span.starts_with("balance-exporter ") || span.starts_with("cargo run "));
    typed.chain(spans).flat_map(|line| commands(&line)).collect()
}

fn flags(text: &str) -> BTreeSet<String> {
    let words = words(text, |c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)));
    let is_flag = |word: &&str| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic));
    words.filter(is_flag).map(|word| word.trim_end_matches('.').to_owned()).collect()
}

/// The flags of a command; of the program without one if the name is empty.
fn flags_of(name: &str) -> BTreeSet<String> {
    let program = cli::command();
    let command = if name.is_empty() { Some(&program) } else { program.find_subcommand(name) };
    let own = command.into_iter().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long);
    own.map(|long| format!("--{long}")).chain(["--help".to_owned(), "--version".to_owned()]).collect()
}

#[test]
fn every_command_that_is_shown_is_one_that_the_program_takes() {
    let mut seen = BTreeSet::new();
    for document in documents() {
        for words in shown(&document) {
            let Some(arguments) = ours(&words) else { continue };
            let arguments = ["balance-exporter".to_owned()].into_iter().chain(arguments.iter().cloned());
            match cli::command().try_get_matches_from(arguments) {
                Ok(matches) => drop(seen.insert(matches.subcommand_name().unwrap_or("run").to_owned())),
                Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {}
                Err(error) => panic!("{}: {words:?}: {error}", document.name),
            }
        }
    }
    let listed = OURS_NOT_EXECUTED.map(|(name, _)| name.to_owned());
    let unlisted: Vec<_> = seen.iter().filter(|name| !listed.contains(name)).collect();
    assert!(unlisted.is_empty(), "no test runs {unlisted:?}: list them, and why");
    for name in ["check", "demo", "poll", "sandbox"] {
        assert!(seen.contains(name), "no document shows {name}");
    }
}

#[test]
fn programs_that_no_test_runs_are_listed() {
    let mut seen = BTreeSet::new();
    for document in documents() {
        let blocks = blocks(&document.text);
        let typed = blocks.iter().filter(|block| block.info == "console").flat_map(|block| typed(&block.text));
        for words in typed.flat_map(|line| commands(&line)) {
            // a variable may be set for one command; one that is set by a command is set by a program of others
            if words[0].contains("=$(") {
                continue;
            }
            let program = words.iter().find(|word| !word.contains('=')).unwrap();
            // those of the repository are run by .ci/run, or by hand
            let here = program.contains('/') && Path::new(ROOT).join(program).is_file();
            let known = here || EXECUTED.iter().chain(&NOT_EXECUTED).any(|known| known == program);
            assert!(known || ours(&words).is_some(), "{}: no test runs {program}; list it", document.name);
            seen.insert(program.clone());
        }
    }
    let unused: Vec<_> = EXECUTED.iter().filter(|program| !seen.contains(**program)).collect();
    assert!(unused.is_empty(), "no document shows {unused:?}");
}

#[test]
fn every_flag_that_is_named_exists() {
    let program = cli::command();
    let names = program.get_subcommands().map(clap::Command::get_name).chain([""]);
    let all: BTreeSet<_> = names.flat_map(flags_of).collect();
    for document in documents() {
        // the generated table names them with their values
        for span in spans(&document.text).into_iter().filter(|span| !span.starts_with("cargo ")) {
            let unknown: Vec<_> = flags(span).difference(&all).cloned().collect();
            assert!(unknown.is_empty(), "{}: {span:?} has no {unknown:?}", document.name);
        }
    }
}

#[test]
fn the_readmes_table_of_flags_is_that_of_run() {
    let program = cli::command();
    let run = program.find_subcommand("run").unwrap();
    let readme = read("README.md");
    let mut listed = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    for row in readme.lines().filter_map(|line| line.strip_prefix("| `--")) {
        let mut cells = row.split('|').map(|cell| cell.trim_matches([' ', '`']));
        let (flag, default) = (cells.next().unwrap(), cells.next().unwrap());
        let argument = run.get_arguments().find(|argument| argument.get_long() == Some(flag));
        let argument = argument.unwrap_or_else(|| panic!("README.md: run has no --{flag}"));
        let told: Vec<_> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        let expected = if matches!(argument.get_action(), clap::ArgAction::SetTrue) {
            "off"
        } else {
            told.first().copied().unwrap_or("none")
        };
        assert_eq!(default, expected, "README.md: --{flag}");
        listed.insert(format!("--{flag}"));
    }
    assert_eq!(listed, flags_of("run"), "the table of flags and the flags of run");
}

#[test]
fn lines_are_read_as_a_shell_reads_them() {
    let read = |line: &str| commands(line).iter().map(|words| words.join("+")).collect::<Vec<_>>();
    assert_eq!(read("a --b 'c d' | e \"f\" > g # h"), ["a+--b+c d", "e+f"]);
    assert_eq!(read("A=1 b && c & "), ["A=1+b", "c"]);
    assert_eq!(typed("$ a \\\n    b\nc\n$ d"), ["a b", "d"]);
}
