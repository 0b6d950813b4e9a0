//! What a connection is doing, as far as it matters to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts everything that gets on, so that one sees who has not for how long: in events, and not in seconds.
pub(super) type Events = Arc<AtomicU64>;

/// One connection's.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// From the request of a scrape to the last byte of its answer.
    scraping: AtomicBool,
    /// The number of the edition that is being read; 0 is none.
    edition: AtomicU64,
    events: Events,
    /// The event at which it came, asked, or took something last.
    last: AtomicU64,
    /// It has sent a name and a password that are not right.
    guessed_wrong: AtomicBool,
    leave: Notify,
}

impl Activity {
    /// Of who has just come.
    pub(super) fn new(events: &Events) -> Self {
        let new = Self { events: events.clone(), ..Self::default() };
        new.gets_on();
        new
    }

    /// It asks for a scrape.
    pub(super) fn begin_scrape(&self) {
        self.scraping.store(true, Ordering::Relaxed);
    }

    /// The answer has left.
    pub(super) fn end(&self) {
        self.gets_on();
        self.edition.store(0, Ordering::Relaxed);
        self.scraping.store(false, Ordering::Relaxed);
    }

    /// It has asked, or taken something.
    pub(super) fn gets_on(&self) {
        self.last.store(self.events.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// How much has happened since it got on.
    pub(super) fn age(&self) -> u64 {
        self.events.load(Ordering::Relaxed).saturating_sub(self.last.load(Ordering::Relaxed))
    }

    pub(super) fn is_scraping(&self) -> bool {
        self.scraping.load(Ordering::Relaxed)
    }

    /// What is sent is this edition.
    pub(super) fn reads(&self, edition: u64) {
        self.edition.store(edition, Ordering::Relaxed);
    }

    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Relaxed)
    }

    /// It has sent a name and a password that are not right.
    pub(super) fn guessed_wrong(&self) {
        self.guessed_wrong.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_guessed_wrong(&self) -> bool {
        self.guessed_wrong.load(Ordering::Relaxed)
    }

    /// The connection has to end.
    pub(super) fn cut_off(&self) {
        self.leave.notify_one();
    }

    /// Resolves when the connection has to end.
    pub(super) async fn is_cut_off(&self) {
        self.leave.notified().await;
    }
}
