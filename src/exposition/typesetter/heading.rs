//! What stands before the samples of each metric. It never changes, and is made once.

use bytes::Bytes;

use crate::exposition::deflate::{Block, Deflater};
use crate::exposition::writer::header;
use crate::exposition::{Format, account_metrics};

/// One metric's, in the forms that were asked for.
#[derive(Debug)]
pub(super) struct Heading {
    text: Bytes,
    block: Option<Block>,
}

/// Those of all metrics of accounts, by whether the format is `OpenMetrics`.
#[derive(Debug, Default)]
pub(super) struct Headings([Vec<Heading>; 2]);

impl Headings {
    /// In the order of the catalogue.
    pub(super) fn of(&mut self, format: Format) -> &mut [Heading] {
        let headings = &mut self.0[usize::from(format.is_open_metrics())];
        if headings.is_empty() {
            headings.extend(account_metrics().map(|(metric, _)| {
                let mut text = String::new();
                header(&mut text, metric, format);
                Heading { text: text.into(), block: None }
            }));
        }
        headings
    }
}

impl Heading {
    pub(super) fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// Compressed; `None` if that fails.
    pub(super) fn block(&mut self, deflater: &mut Deflater) -> Option<&Block> {
        if self.block.is_none() {
            self.block = deflater.block(&self.text);
        }
        self.block.as_ref()
    }
}
