//! What the log says of polls, as whoever is paged reads it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tokio::time::sleep;

use super::stage::{Entry, Stage, reply, secs};

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

/// Lines of the log of this thread from now on, while the guard lives.
fn log() -> (Paper, tracing::subscriber::DefaultGuard) {
    let paper = Paper::default();
    let to = paper.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
    (paper, tracing::subscriber::set_default(lines.with_writer(move || to.clone()).finish()))
}

impl Paper {
    fn lines(&self, with: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(with)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_for_days_is_told_once() {
    let (paper, _guard) = log();
    let stage = Stage::new();
    stage.script("/a", [reply(1, "balance 1")]);
    let _handle = stage.play(&[Entry::new("p", &["a"])]).await;
    sleep(secs(30)).await;
    // two reasons by turns, for two days
    let turns = (0..10_000).map(|n| if n % 2 == 0 { reply(1, "refused") } else { reply(60, "late") });
    stage.script("/a", turns);
    sleep(secs(2 * 86_400)).await;
    let polls = stage.account("p", "a").polls;
    assert!(polls > 100, "{polls}");
    assert_eq!(paper.lines("p/a was read for the first time"), 1);
    assert_eq!(paper.lines("p/a cannot be read: refused"), 1);
    assert_eq!(paper.lines("p/a cannot be read"), 2, "each reason once");
    assert_eq!(paper.lines("its balances are withdrawn"), 1);
    stage.script("/a", [reply(1, "balance 1"), reply(1, "refused"), reply(1, "balance 1")]);
    while stage.count("/a") < usize::try_from(polls).unwrap() + 3 {
        sleep(secs(1)).await;
    }
    sleep(secs(2)).await;
    assert_eq!(paper.lines("p/a is polled well again"), 2);
    assert_eq!(paper.lines("p/a cannot be read: refused"), 2, "it was well between the two");
    assert_eq!(paper.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_always_asks_to_slow_down_is_told_of_less_and_less_often() {
    let (paper, _guard) = log();
    let stage = Stage::new();
    stage.always("/a", reply(1, "slower 1"));
    let _handle = stage.play(&[Entry { interval: 5, ..Entry::new("p", &["a"]) }]).await;
    sleep(secs(6_000)).await;
    let throttled = stage.provider("p").counts.throttled;
    assert!(throttled > 500, "{throttled}");
    let told = paper.lines("p asked to slow down");
    assert!(told <= 11, "{told} lines for {throttled} times");
    stage.always("/a", reply(1, "balance 1"));
    sleep(secs(20)).await;
    assert_eq!(paper.lines("p answers again"), 1);
}
