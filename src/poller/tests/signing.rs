//! Signatures are made on other threads than the one that polls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use tokio::time::sleep;

use super::super::Poller;
use super::stage::{Entry, Stage, fleet, secs};
use crate::failure::{ErrorReason, Failure};
use crate::providers::{Exchange, Provider, Step};

/// Where signatures were made, and how many at once.
#[derive(Default)]
struct Desk {
    threads: Mutex<Vec<ThreadId>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// An adapter that signs. It may break at its first signature.
struct Signing {
    adapter: Arc<dyn Provider>,
    desk: Arc<Desk>,
    breaks: AtomicBool,
}

impl Provider for Signing {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        if exchange.replies.is_empty() {
            let Desk { threads, now, most } = &*self.desk;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            threads.lock().unwrap().push(thread::current().id());
            // the others, if they could be here too, get the time to be
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            if self.breaks.swap(false, Ordering::SeqCst) {
                std::panic::resume_unwind(Box::new("as the test wants"));
            }
        }
        self.adapter.step(exchange)
    }

    fn signs(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_takes_no_time_of_the_loop_and_one_that_breaks_costs_one_poll() {
    let stage = Stage::new();
    let names: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    let mut entries = fleet(&[Entry::new("p", &names.iter().map(String::as_str).collect::<Vec<_>>())]);
    let desk = Arc::new(Desk::default());
    for (nth, adapter) in entries[0].1.accounts.iter_mut().enumerate() {
        let breaks = AtomicBool::new(nth == 7);
        *adapter = Arc::new(Signing { adapter: adapter.clone(), desk: desk.clone(), breaks });
    }
    let (handle, run) = Poller::new(stage.edge.clone(), 1).start();
    tokio::spawn(run);
    handle.configure(entries).await;
    sleep(secs(300)).await;
    handle.stop(secs(10)).await;
    for (nth, name) in names.iter().enumerate() {
        let account = stage.account("p", name);
        assert!(account.polls >= 4 && account.poll_success, "{name}");
        assert_eq!(account.failures(ErrorReason::Internal), u64::from(nth == 7), "{name}");
    }
    let threads = desk.threads.lock().unwrap();
    assert!(threads.len() >= 4 * names.len());
    assert!(!threads.contains(&thread::current().id()), "the loop's thread signed");
    assert_eq!(desk.most.load(Ordering::SeqCst), 1, "an entry signs once at a time");
}
