//! What happened in a world until a law was broken, for whoever has to find out why: the log of the program, and what
//! the world did to it. Kept only for a seed that is run by itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::io::{self, Write};
use std::time::Duration;

use tracing::subscriber::DefaultGuard;

/// The last entries that are kept.
const ENTRIES: usize = 20_000;

thread_local! {
    static ENTRIES_OF_THREAD: RefCell<Option<VecDeque<String>>> = const { RefCell::new(None) };
}

/// Writes one down, if anybody wants to read it: what happened, and when.
pub(super) fn note(at: Duration, what: Arguments<'_>) {
    enter(|| format!("{:>12.3} {what}", at.as_secs_f64()));
}

fn enter(entry: impl FnOnce() -> String) {
    ENTRIES_OF_THREAD.with_borrow_mut(|entries| {
        if let Some(entries) = entries {
            entries.push_back(entry());
            if entries.len() > ENTRIES {
                entries.pop_front();
            }
        }
    });
}

/// Keeps a diary of this thread while the guard lives.
pub(super) fn keep() -> DefaultGuard {
    ENTRIES_OF_THREAD.set(Some(VecDeque::new()));
    let lines = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
    tracing::subscriber::set_default(lines.with_max_level(tracing::Level::DEBUG).with_writer(|| Page).finish())
}

/// Everything in it, and the end of it.
pub(super) fn close() -> Vec<String> {
    ENTRIES_OF_THREAD.take().into_iter().flatten().collect()
}

/// Where the log is written to.
struct Page;

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        enter(|| format!("{:12} {}", "", String::from_utf8_lossy(bytes).trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
