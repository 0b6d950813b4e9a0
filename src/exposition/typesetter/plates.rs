//! The text about accounts in pieces, of which only those are made again that would be others.

use std::hint::black_box;

use bytes::Bytes;

use super::fingerprint::{Fingerprint, Fingerprints};
use super::heading::Headings;
use crate::exposition::catalogue::AccountSamples;
use crate::exposition::deflate::{Block, Checksum, Deflater, Stream};
use crate::exposition::gist::Gist;
use crate::exposition::series::Series;
use crate::exposition::{Format, Metric, Row, account_metrics};

/// Accounts whose samples of one metric are one piece: fewer would cost more bytes and more time each, more
/// would be made again for less.
pub(super) const BLOCK_ACCOUNTS: usize = 512;

/// What was made, by metric and some hundred accounts each.
#[derive(Debug, Default)]
pub(super) struct Plates {
    pub(super) metrics: Vec<Vec<Plate>>,
    headings: Headings,
    press: Press,
}

/// The samples of a metric for some hundred accounts, in the forms that were asked for.
#[derive(Debug, Default)]
pub(super) struct Plate {
    /// Of what they say.
    pub(super) fingerprint: Option<Fingerprint>,
    text: Option<Bytes>,
    block: Option<Block>,
}

/// What a plate is made from.
#[derive(Clone, Copy, Debug)]
struct Manuscript<'a> {
    metric: &'static Metric,
    sample: AccountSamples,
    rows: &'a [Row<'a>],
}

/// What plates are made with.
#[derive(Debug, Default)]
struct Press {
    deflater: Deflater,
    fingerprints: Fingerprints,
    gist: Gist,
    text: String,
}

impl Plates {
    /// The accounts at these places have other labels than before.
    pub(super) fn forget(&mut self, places: &[usize]) {
        let mut blocks: Vec<_> = places.iter().map(|place| place / BLOCK_ACCOUNTS).collect();
        blocks.dedup();
        for block in blocks {
            for plate in self.metrics.iter_mut().filter_map(|plates| plates.get_mut(block)) {
                *plate = Plate::default();
            }
        }
    }

    /// Gives back the memory of what is not compressed.
    pub(super) fn forget_texts(&mut self) {
        for plate in self.metrics.iter_mut().flatten() {
            plate.text = None;
        }
    }

    /// The text, piece by piece.
    pub(super) fn text<'a>(&mut self, rows: impl Iterator<Item = Row<'a>>, format: Format) -> Option<Vec<Bytes>> {
        self.update(rows, |plate, manuscript, press| {
            if plate.text.is_none() {
                plate.text = Some(Bytes::copy_from_slice(press.render(manuscript).as_bytes()));
            }
            Some(())
        })?;
        let mut pieces = Vec::new();
        for (heading, plates) in self.headings.of(format).iter().zip(&self.metrics) {
            let texts = plates.iter().filter_map(|plate| plate.text.as_ref()).filter(|text| !text.is_empty());
            if texts.clone().next().is_some() {
                pieces.push(heading.text());
                pieces.extend(texts.cloned());
            }
        }
        Some(pieces)
    }

    /// The beginning of a compressed stream, into `buffer`. `None` if compression fails.
    pub(super) fn stream<'a>(
        &mut self,
        rows: impl Iterator<Item = Row<'a>>,
        format: Format,
        buffer: Vec<u8>,
    ) -> Option<(Vec<u8>, Checksum)> {
        self.update(rows, |plate, manuscript, press| {
            if plate.block.is_none() {
                plate.block = Some(press.compress(manuscript, plate.text.as_deref())?);
            }
            Some(())
        })?;
        let mut stream = Stream::into(buffer);
        for (heading, plates) in self.headings.of(format).iter_mut().zip(&self.metrics) {
            let blocks = plates.iter().filter_map(|plate| plate.block.as_ref()).filter(|block| !block.is_empty());
            if blocks.clone().next().is_some() {
                stream.push(heading.block(&mut self.press.deflater)?);
                blocks.for_each(|block| stream.push(block));
            }
        }
        Some(stream.paused())
    }

    /// The end of a stream that has had `checksum` so far.
    pub(super) fn ended(&mut self, text: &[u8], checksum: Checksum) -> Option<Vec<u8>> {
        let mut stream = Stream::resumed(checksum);
        stream.push(&self.press.deflater.block(text)?);
        Some(stream.finish())
    }

    /// Clears the plates that say something else than `rows` do, and has `make` add to each what is asked for.
    fn update<'a>(
        &mut self,
        mut rows: impl Iterator<Item = Row<'a>>,
        make: impl Fn(&mut Plate, Manuscript<'_>, &mut Press) -> Option<()>,
    ) -> Option<()> {
        self.metrics.resize_with(account_metrics().count(), Vec::new);
        let mut block = Vec::with_capacity(BLOCK_ACCOUNTS);
        // everything of some accounts and then of the next: what is known of them is read from memory once
        for place in 0.. {
            block.clear();
            block.extend(rows.by_ref().take(BLOCK_ACCOUNTS));
            if block.is_empty() {
                self.metrics.iter_mut().for_each(|plates| plates.truncate(place));
                break;
            }
            fetch(&block);
            for ((metric, sample), plates) in account_metrics().zip(&mut self.metrics) {
                if place == plates.len() {
                    plates.push(Plate::default());
                }
                let Some(plate) = plates.get_mut(place) else { continue };
                let manuscript = Manuscript { metric, sample, rows: &block };
                let fingerprint = self.press.fingerprint(manuscript);
                if fingerprint.is_none() || plate.fingerprint != fingerprint {
                    *plate = Plate { fingerprint, ..Plate::default() };
                }
                make(plate, manuscript, &mut self.press)?;
            }
        }
        Some(())
    }
}

/// Reads a little of what is known of each. What comes next would wait for the memory of one account after the other,
/// and this waits for that of several at once.
fn fetch(rows: &[Row<'_>]) {
    for (account, _) in rows {
        let reading = account.fresh.map(|snapshot| snapshot.reading());
        let figure = reading.and_then(|reading| reading.balances().first()?.available);
        let word = reading.and_then(|reading| reading.info().first()?.1.bytes().next());
        let flow = account.status.flows.first().map(|flow| flow.inflow);
        black_box((figure, word, flow, account.status.polls));
    }
}

impl Press {
    /// Of what the samples say.
    fn fingerprint(&mut self, manuscript: Manuscript<'_>) -> Option<Fingerprint> {
        self.gist.clear();
        for (account, _) in manuscript.rows {
            self.gist.subject();
            match manuscript.sample {
                // with other settings come other labels, for which plates are forgotten
                AccountSamples::Configured(_) => {}
                AccountSamples::Known(sample) => sample(account, &mut Series::gist(&mut self.gist)),
            }
        }
        self.fingerprints.of(self.gist.as_bytes())
    }

    fn render(&mut self, manuscript: Manuscript<'_>) -> &str {
        self.text.clear();
        for (account, labels) in manuscript.rows {
            manuscript.sample.write(account, &mut Series::new(&mut self.text, manuscript.metric.name, labels));
        }
        &self.text
    }

    /// `text` is what it renders to, if that is at hand.
    fn compress(&mut self, manuscript: Manuscript<'_>, text: Option<&[u8]>) -> Option<Block> {
        if let Some(text) = text {
            return self.deflater.block(text);
        }
        self.render(manuscript);
        self.deflater.block(self.text.as_bytes())
    }
}
