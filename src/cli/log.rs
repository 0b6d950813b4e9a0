//! The log: to standard error, one record a line, whatever is in it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use clap::{Args, ValueEnum};
use tracing::Dispatch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

/// How to log, to standard error.
#[derive(Clone, Debug, Args)]
pub(super) struct LogArgs {
    /// Least severe messages to log: `error`, `warn`, `info`, `debug` or `trace`; `info,poller=debug` says more of one part
    #[arg(id = "log.level", long = "log.level", value_name = "LEVEL", default_value = "info", value_parser = levels)]
    level: Levels,
    /// Form of the log
    #[arg(id = "log.format", long = "log.format", value_name = "FORMAT", default_value = "text", value_enum)]
    format: LogFormat,
}

/// The least severe messages that are logged, by who says them.
#[derive(Clone, Debug)]
struct Levels(Targets);

/// Parts of the program that have a level of their own if that is wanted.
const PARTS: [&str; 5] = ["app", "cli", "poller", "store", "web"];

/// A level, and levels of parts. Only this program's own messages go below warnings: a library's could show a request.
fn levels(text: &str) -> Result<Levels, String> {
    let mut targets = Targets::new().with_default(LevelFilter::WARN).with_target("balance_exporter", LevelFilter::INFO);
    for (place, item) in text.split(',').enumerate() {
        let (target, level) = match item.split_once('=') {
            Some((part, level)) if PARTS.contains(&part) => (format!("balance_exporter::{part}"), level),
            Some(_) => return Err(format!("expected one of the parts {}", PARTS.join(", "))),
            None if place == 0 => ("balance_exporter".to_owned(), item),
            None => return Err("expected one level, and parts with levels, such as info,poller=debug".to_owned()),
        };
        let level = match level {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err("expected error, warn, info, debug or trace".to_owned()),
        };
        targets = targets.with_target(target, level);
    }
    Ok(Levels(targets))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    /// Starts logging.
    pub(super) fn start(&self) {
        // whoever was first stays
        let _ = tracing::dispatcher::set_global_default(self.dispatch(io::stderr));
    }

    fn dispatch<W: Write + 'static>(&self, to: impl Fn() -> W + Send + Sync + 'static) -> Dispatch {
        let to = move || OneLine(to());
        let records = tracing_subscriber::fmt::layer().with_target(false).with_writer(to);
        let levels = tracing_subscriber::registry().with(self.level.0.clone());
        match self.format {
            LogFormat::Text => Dispatch::from(levels.with(records.with_ansi(false))),
            LogFormat::Json => Dispatch::from(levels.with(records.json().flatten_event(true))),
        }
    }
}

/// Makes of each record one line that no terminal obeys, whatever somebody has put into it. What stands in the
/// log is quoted where it enters; this is for the day on which that is forgotten.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    /// Comes with a whole record.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut clean: String = line.chars().map(|c| if is_unsafe(c) { '?' } else { c }).collect();
        clean.push('\n');
        self.0.write_all(clean.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// True for what ends a line somewhere, steers a terminal, or changes the order in which text is read.
fn is_unsafe(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') || turns
}

/// A panic's own words can hold whatever was being worked on, so where it happened is all that is told.
pub(super) fn tell_of_panics() {
    panic::set_hook(Box::new(|panic| {
        let what = place(panic);
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{what}");
        } else {
            // there is nobody left to tell
            let _ = writeln!(io::stderr().lock(), "balance-exporter: {what}");
        }
    }));
}

fn place(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let mut what = format!("this is a bug, please report it: the thread {} panicked", thread.name().unwrap_or("?"));
    if let Some(place) = panic.location() {
        // writing to a String cannot fail
        let _ = write!(what, " at {}:{}", place.file(), place.line());
    }
    what
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::failure::quoted;

    const FORMATS: [LogFormat; 2] = [LogFormat::Text, LogFormat::Json];

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `work` is done.
    fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        logged_at("trace", format, work)
    }

    fn logged_at(level: &str, format: LogFormat, work: impl FnOnce()) -> String {
        let paper = Paper::default();
        let to = paper.clone();
        let log = LogArgs { level: levels(level).unwrap(), format };
        tracing::dispatcher::with_default(&log.dispatch(move || to.clone()), work);
        let bytes = std::mem::take(&mut *paper.0.lock().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    /// Text made of what has forged logs before, and of anything else.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => prop::sample::select(vec![
                "\n", "\r", "\r\n", "\u{1b}[31m", "\u{1b}]8;;http://x\u{7}", "\u{9b}2J", "\u{85}", "\u{b}", "\u{c}", "\0", "\u{7f}", "\u{8}",
                "\u{2028}", "\u{2029}", "\u{202e}", "\u{2066}", "\u{200f}", "\u{feff}", "\"", "\\", "\\n", "\\u000a", "'", "{", "}", "},",
                "2026-01-01T00:00:00Z ERROR all is lost", "{\"level\":\"ERROR\"}", "=", " ", "%0a", "&#10;", "\u{1f4a9}",
            ]).prop_map(str::to_owned),
            1 => prop::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn each_hostile_text(cases: u32, check: impl Fn(&str)) {
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let tried = std::cell::Cell::new(0);
        let outcome = TestRunner::new(config).run(&hostile(), |text| {
            tried.set(tried.get() + 1);
            check(&text);
            Ok(())
        });
        outcome.unwrap();
        assert_eq!(tried.get(), cases);
    }

    /// The one record that this is, and its fields if it is JSON.
    fn one_record(format: LogFormat, said: &str) -> Option<serde_json::Value> {
        let record = said.strip_suffix('\n').expect("a record ends its line");
        assert!(!record.contains(is_unsafe), "{record:?}");
        assert_eq!(record.lines().count(), 1, "{record:?}");
        match format {
            LogFormat::Text => None,
            LogFormat::Json => Some(serde_json::from_str(record).unwrap_or_else(|error| panic!("{error}: {record:?}"))),
        }
    }

    #[test]
    fn no_text_of_a_provider_makes_a_second_record() {
        each_hostile_text(100_000, |text| {
            let shown = quoted(text);
            assert!(shown.len() <= 64 + 5 && shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{shown:?}");
            assert_eq!(shown.matches('"').count(), 2, "{shown:?}");
        });
        for format in FORMATS {
            each_hostile_text(5_000, |text| {
                let said = logged(format, || tracing::warn!(account = "a", "refused: {}", quoted(text)));
                one_record(format, &said);
            });
        }
    }

    #[test]
    fn not_even_a_text_that_was_not_quoted_does() {
        for format in FORMATS {
            each_hostile_text(20_000, |text| {
                let said = logged(format, || tracing::error!(account = %text, other = ?text, "{text}"));
                if let Some(record) = one_record(format, &said) {
                    assert_eq!(record["level"], "ERROR", "{record}");
                    let clean =
                        |text: &str| text.chars().map(|c| if is_unsafe(c) { '?' } else { c }).collect::<String>();
                    assert_eq!(clean(record["account"].as_str().unwrap()), clean(text), "{record}");
                }
            });
        }
    }

    #[test]
    fn libraries_say_warnings_only() {
        let said = logged(LogFormat::Text, || {
            tracing::trace!(target: "rustls", "the client says hello");
            tracing::info!(target: "reqwest::connect", "a request");
            tracing::warn!(target: "reqwest", "a warning");
            tracing::trace!("of our own");
        });
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn a_part_can_have_a_level_of_its_own() {
        for (text, good) in [
            ("info", true),
            ("info,poller=debug", true),
            ("warn,poller=debug,web=trace", true),
            ("poller=debug", true),
            ("loud", false),
            ("info,debug", false),
            ("info,hyper=trace", false),
            ("info,reqwest::connect=trace", false),
            ("info,poller", false),
            ("", false),
        ] {
            assert_eq!(levels(text).is_ok(), good, "{text}");
        }
        let said = logged_at("info,poller=debug", LogFormat::Text, || {
            tracing::debug!(target: "balance_exporter::poller::gate", "one");
            tracing::debug!(target: "balance_exporter::web", "none");
            tracing::info!(target: "balance_exporter::web", "two");
            tracing::trace!(target: "balance_exporter::poller", "none");
        });
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    /// Its words are those of a panic over a secret.
    fn panic_in_a_thread(format: LogFormat) {
        tell_of_panics();
        LogArgs { level: levels("error").unwrap(), format }.start();
        let thread = thread::Builder::new().name("poll".to_owned());
        let panics = thread.spawn(|| panic!("{}", "hunter2\nsecond line"));
        panics.unwrap().join().unwrap_err();
    }

    #[test]
    #[ignore = "takes over the panics of its process; the test below runs it in one of its own"]
    fn panics_in_text() {
        panic_in_a_thread(LogFormat::Text);
    }

    #[test]
    #[ignore = "takes over the panics of its process; the test below runs it in one of its own"]
    fn panics_in_json() {
        panic_in_a_thread(LogFormat::Json);
    }

    #[test]
    fn a_panic_tells_where_and_never_what() {
        for (test, format) in [("panics_in_text", LogFormat::Text), ("panics_in_json", LogFormat::Json)] {
            let mut child = Command::new(std::env::current_exe().unwrap());
            let path = format!("cli::log::tests::{test}");
            child.args([&path, "--exact", "--ignored", "--nocapture"]).stdin(Stdio::null());
            let done = child.output().unwrap();
            let said = String::from_utf8(done.stderr).unwrap();
            assert!(done.status.success(), "{said}");
            one_record(format, &said);
            assert!(said.contains("the thread poll panicked at src/cli/log.rs:"), "{said}");
            for words in ["hunter2", "second line"] {
                assert!(!said.contains(words), "{said}");
            }
        }
    }
}
