//! Makes the bodies of scrapes, and keeps what can be used again.
//!
//! A body is in two parts. What is known of accounts is nearly all of it; it is rendered when the board has changed, or
//! when a reading has become too old, and otherwise shown again. The rest depends on the clock in more ways, and is
//! rendered for each scrape. For gzip the text of a metric is compressed by some hundred accounts at a time, and again
//! only if it is not, byte for byte, what it was.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use prometheus::proto;

use super::deflate::{Block, Checksum, Deflater, Stream};
use super::series::{Labels, Series};
use super::writer::header;
use super::{ACCOUNT_BYTES, Format, Moment, Row, account_metrics, accounts, rest, samples};
use crate::board::{AccountStatus, Board, ProviderStatus, View};
use crate::clock::{BootTime, Now};
use crate::config::AccountConfig;

/// Accounts whose samples of one metric are compressed together: fewer would cost more bytes and more time each, more
/// would be compressed again for less.
const BLOCK_ACCOUNTS: usize = 256;
/// A buffer that nobody has needed for so long is given back: somebody looked once …
const BUFFER_KEPT: Duration = Duration::from_secs(10);
/// … unless it is used regularly. Then it is kept for so many times as long as it was not needed last time …
const PER_PAUSE: u32 = 3;
/// … but no longer than this.
const BUFFER_KEPT_AT_MOST: Duration = Duration::from_secs(5 * 60);

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
    /// What is known of accounts.
    pub accounts: Bytes,
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
    text_buffer: Buffer,
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
    bytes: Bytes,
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
        inner.text_buffer.give_back(now.boot);
        inner.gzip_buffer.give_back(now.boot);
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
        Some(Galley { accounts: part.bytes, rest: rest.into(), moment })
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
        let rows: Vec<Row<'_>> = shown.zip(self.labels.iter().map(|(_, labels)| labels)).collect();
        let part = match form.coding {
            Coding::Identity => {
                let mut text = self.text_buffer.text(now.boot, rows.len() * ACCOUNT_BYTES);
                accounts(&mut text, &rows, format);
                Part { bytes: self.text_buffer.lend(text.into_bytes()), checksum: Checksum::default() }
            }
            Coding::Gzip => {
                let buffer = self.gzip_buffer.text(now.boot, 0).into_bytes();
                let (bytes, checksum) = self.plates.print(&rows, format, buffer)?;
                Part { bytes: self.gzip_buffer.lend(bytes), checksum }
            }
        };
        let kept = self.kept.get_or_insert_with(|| Kept { revision: view.revision, moment, parts: Vec::new() });
        kept.parts.push((form, part.clone()));
        Some((part, kept.moment.clone()))
    }

    /// Makes the labels of accounts that have come or changed.
    fn label(&mut self, accounts: &[Arc<AccountStatus>]) {
        self.labels.truncate(accounts.len());
        for (place, status) in accounts.iter().enumerate() {
            match self.labels.get_mut(place) {
                Some((config, _)) if Arc::ptr_eq(config, &status.config) => {}
                Some(known) => *known = (status.config.clone(), samples::account_labels(status)),
                None => self.labels.push((status.config.clone(), samples::account_labels(status))),
            }
        }
    }
}

/// What was compressed, by metric and some hundred accounts each.
#[derive(Debug, Default)]
struct Plates {
    deflater: Deflater,
    fingerprints: Fingerprints,
    text: String,
    metrics: Vec<Vec<Plate>>,
}

#[derive(Debug, Default)]
struct Plate {
    fingerprint: Option<Fingerprint>,
    block: Block,
}

impl Plates {
    /// The beginning of a stream, into `buffer`.
    fn print(&mut self, rows: &[Row<'_>], format: Format, buffer: Vec<u8>) -> Option<(Vec<u8>, Checksum)> {
        let blocks = rows.len().div_ceil(BLOCK_ACCOUNTS);
        self.metrics.resize_with(account_metrics().count(), Vec::new);
        for plates in &mut self.metrics {
            plates.resize_with(blocks, Plate::default);
        }
        // all metrics of some accounts and then the next: what is known of them is read from memory once
        for (place, rows) in rows.chunks(BLOCK_ACCOUNTS).enumerate() {
            for ((metric, sample), plates) in account_metrics().zip(&mut self.metrics) {
                self.text.clear();
                for (account, labels) in rows {
                    sample(account, &mut Series::new(&mut self.text, metric.name, labels));
                }
                let Some(plate) = plates.get_mut(place) else { continue };
                let fingerprint = self.fingerprints.of(self.text.as_bytes());
                if fingerprint.is_none() || plate.fingerprint != fingerprint {
                    *plate = Plate { fingerprint: None, block: self.deflater.block(self.text.as_bytes())? };
                    plate.fingerprint = fingerprint;
                }
            }
        }
        let mut stream = Stream::into(buffer);
        for ((metric, _), plates) in account_metrics().zip(&self.metrics) {
            if plates.iter().all(|plate| plate.block.is_empty()) {
                continue;
            }
            self.text.clear();
            header(&mut self.text, metric, format);
            stream.push(&self.deflater.block(self.text.as_bytes())?);
            for plate in plates {
                stream.push(&plate.block);
            }
        }
        Some(stream.paused())
    }

    /// The end of a stream that has had `checksum` so far.
    fn ended(&mut self, text: &[u8], checksum: Checksum) -> Option<Vec<u8>> {
        let mut stream = Stream::resumed(checksum);
        stream.push(&self.deflater.block(text)?);
        Some(stream.finish())
    }
}

type Fingerprint = [u8; 16];

/// Tells texts apart: by the authentication code of AES-GCM under a key of this process, which the processor computes
/// faster than it would compare the texts. That two texts have the same one does not happen.
#[derive(Debug)]
struct Fingerprints(Option<LessSafeKey>);

impl Default for Fingerprints {
    fn default() -> Self {
        let mut key = [0; 16];
        let drawn = aws_lc_rs::rand::fill(&mut key).and_then(|()| UnboundKey::new(&AES_128_GCM, &key));
        Self(drawn.ok().map(LessSafeKey::new))
    }
}

impl Fingerprints {
    /// `None` if there is no key: then nothing is known by it.
    fn of(&self, text: &[u8]) -> Option<Fingerprint> {
        // nothing is encrypted and no code leaves the process, so that one nonce does for all
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let tag = self.0.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(text), &mut []).ok()?;
        tag.as_ref().try_into().ok()
    }
}

/// A buffer that is used again: to be given new memory by the system costs more than to fill it.
#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Home>>);

#[derive(Debug, Default)]
struct Home {
    buffer: Option<Vec<u8>>,
    last_used: Option<BootTime>,
    /// From the use before to that.
    pause: Duration,
}

/// A buffer that others read, and that comes home when the last of them is done.
struct Lent {
    bytes: Vec<u8>,
    home: Buffer,
}

impl Buffer {
    /// It, if it is at home, or a new one. It is empty.
    fn text(&self, now: BootTime, room: usize) -> String {
        let mut home = self.home();
        home.pause = home.last_used.map_or(Duration::ZERO, |last| now.since(last));
        home.last_used = Some(now);
        let mut buffer = home.buffer.take().unwrap_or_default();
        buffer.clear();
        // an empty buffer is a text
        let mut text = String::from_utf8(buffer).unwrap_or_default();
        text.reserve(room);
        text
    }

    fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }

    /// Gives its memory back to the system, if nobody has needed it for long.
    fn give_back(&self, now: BootTime) {
        let mut home = self.home();
        let kept = home.pause.saturating_mul(PER_PAUSE).clamp(BUFFER_KEPT, BUFFER_KEPT_AT_MOST);
        if home.last_used.is_some_and(|last| now.since(last) > kept) {
            home.buffer = None;
        }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut home = self.home.home();
        home.buffer.get_or_insert_with(|| std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests;
