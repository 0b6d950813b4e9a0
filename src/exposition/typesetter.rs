//! Makes the bodies of scrapes, and keeps what can be used again.
//!
//! A body is in two parts. What is known of accounts is nearly all of it; it is rendered when the board has changed, or
//! when a reading has become too old, and otherwise shown again. The rest depends on the clock in more ways, and is
//! rendered for each scrape. The text of a metric is made by some hundred accounts at a time, plain and compressed, and
//! again only if its samples do not say what they said.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prometheus::proto;

use super::deflate::Checksum;
use super::series::Labels;
use super::{Format, Moment, rest, samples};
use crate::board::{AccountStatus, Board, ProviderStatus, View};
use crate::clock::{BootTime, Now};
use crate::config::AccountConfig;

mod buffer;
mod fingerprint;
mod heading;
mod plates;

use buffer::{Buffer, Demand};
use plates::Plates;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// Compressed.
    Gzip,
}

/// The body of a scrape. A copy of it is the same bytes.
#[derive(Clone, Debug)]
pub struct Galley {
    /// What is known of accounts, in pieces that other bodies may share.
    pub accounts: Arc<[Bytes]>,
    /// What is known of providers and of the exporter itself.
    pub rest: Bytes,
    /// When the accounts were so, and how long their readings are fresh.
    pub moment: Moment,
}

/// Makes the bodies of scrapes.
#[derive(Debug, Default)]
pub struct Typesetter(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// In the order of the board. The configuration that labels were made from is kept, so that they are known by it.
    labels: Vec<(Arc<AccountConfig>, Labels)>,
    kept: Option<Kept>,
    plates: Plates,
    /// For texts that are not compressed.
    text_demand: Demand,
    gzip_buffer: Buffer,
}

/// The parts about accounts, in the forms that were asked for, of one state of the board.
#[derive(Debug)]
struct Kept {
    revision: u64,
    moment: Moment,
    parts: Vec<(Form, Part)>,
}

/// What decides over the bytes beside the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    is_open_metrics: bool,
    coding: Coding,
}

/// The first part of a body.
#[derive(Clone, Debug)]
struct Part {
    pieces: Arc<[Bytes]>,
    /// Of what is in a stream that goes on.
    checksum: Checksum,
}

impl Typesetter {
    /// What `board` shows at `now`. `telemetry` is what [`Telemetry::gather`](super::Telemetry::gather) gave. `None` if
    /// compression fails, which it has no reason to.
    pub fn set(
        &self,
        board: &Board,
        telemetry: &[proto::MetricFamily],
        now: Now,
        format: Format,
        coding: Coding,
    ) -> Option<Galley> {
        let inner = &mut *self.lock();
        inner.give_back(now.boot);
        let form = Form { is_open_metrics: format.is_open_metrics(), coding };
        let (revision, providers) = board.providers();
        let kept = inner.kept_part(revision, form, &now, &providers);
        let ((part, moment), providers) = if let Some(kept) = kept {
            (kept, providers)
        } else {
            let view = board.view();
            (inner.print(&view, now, format, form)?, view.providers)
        };
        let mut text = String::new();
        rest(&mut text, &providers, telemetry, now, format);
        let rest = match coding {
            Coding::Identity => text.into_bytes(),
            Coding::Gzip => inner.plates.ended(text.as_bytes(), part.checksum)?,
        };
        Some(Galley { accounts: part.pieces, rest: rest.into(), moment })
    }

    /// A panic in one scrape must not blind the next.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn kept_part(
        &self,
        revision: u64,
        form: Form,
        now: &Now,
        providers: &[Arc<ProviderStatus>],
    ) -> Option<(Part, Moment)> {
        let lasts = |kept: &&Kept| kept.revision == revision && kept.moment.lasts_until(now, providers);
        let kept = self.kept.as_ref().filter(lasts)?;
        let part = kept.parts.iter().find(|(known, _)| *known == form).map(|(_, part)| part.clone());
        Some((part?, kept.moment.clone()))
    }

    fn print(&mut self, view: &View, now: Now, format: Format, form: Form) -> Option<(Part, Moment)> {
        // what cannot be shown again goes first, since its buffer is wanted
        self.kept.take_if(|kept| kept.revision != view.revision || !kept.moment.lasts_until(&now, &view.providers));
        self.label(&view.accounts);
        let moment = Moment::new(now, &view.providers);
        let shown = view.accounts.iter().map(|status| moment.shown(status, view));
        let rows = shown.zip(self.labels.iter().map(|(_, labels)| labels));
        let part = match form.coding {
            Coding::Identity => {
                self.text_demand.rises(now.boot);
                Part { pieces: self.plates.text(rows, format)?.into(), checksum: Checksum::default() }
            }
            Coding::Gzip => {
                let (bytes, checksum) = self.plates.stream(rows, format, self.gzip_buffer.fetch(now.boot))?;
                Part { pieces: [self.gzip_buffer.lend(bytes)].into(), checksum }
            }
        };
        let kept = self.kept.get_or_insert_with(|| Kept { revision: view.revision, moment, parts: Vec::new() });
        kept.parts.push((form, part.clone()));
        Some((part, kept.moment.clone()))
    }

    /// Makes the labels of accounts that have come or changed.
    fn label(&mut self, accounts: &[Arc<AccountStatus>]) {
        self.labels.truncate(accounts.len());
        self.labels.reserve_exact(accounts.len() - self.labels.len());
        let mut changed = Vec::new();
        for (place, status) in accounts.iter().enumerate() {
            let label = || (status.config.clone(), samples::account_labels(status));
            match self.labels.get_mut(place) {
                Some((config, _)) if Arc::ptr_eq(config, &status.config) => continue,
                Some(known) => *known = label(),
                None => self.labels.push(label()),
            }
            changed.push(place);
        }
        self.plates.forget(&changed);
    }

    /// Gives back the memory that nobody has needed for long.
    fn give_back(&mut self, now: BootTime) {
        self.gzip_buffer.give_back(now);
        if self.text_demand.is_over(now) {
            self.plates.forget_texts();
            if let Some(kept) = &mut self.kept {
                kept.parts.retain(|(form, _)| form.coding != Coding::Identity);
            }
        }
    }
}

#[cfg(test)]
mod tests;
