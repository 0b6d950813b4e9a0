//! Compression in parts: a gzip stream put together from blocks that were compressed by themselves, so that what has not
//! changed need not be compressed again.
//!
//! It is one stream with one checksum, and not several one after another: some readers stop after the first.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Little effort: more would cost many times the rendering and save little, so regular is the text.
const LEVEL: u32 = 2;
/// A stream without a name, a time or a comment.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The last block, which is empty.
const END: [u8; 2] = [3, 0];
/// What a flush adds, and more: room for it must be left.
const FLUSH_BYTES: usize = 64;

/// Compresses blocks.
#[derive(Debug)]
pub(super) struct Deflater {
    state: Compress,
    room: Vec<u8>,
}

/// A block of a stream.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Box<[u8]>,
    crc: Crc,
}

/// Of so much of a stream.
#[derive(Debug, Default)]
pub(super) struct Checksum(Crc);

impl Clone for Checksum {
    fn clone(&self) -> Self {
        let mut crc = Crc::new();
        crc.combine(&self.0);
        Self(crc)
    }
}

/// A stream in the making.
#[derive(Debug)]
pub(super) struct Stream {
    out: Vec<u8>,
    crc: Crc,
}

impl Default for Deflater {
    fn default() -> Self {
        Self { state: Compress::new(Compression::new(LEVEL), false), room: Vec::new() }
    }
}

impl Deflater {
    /// The text as a block of its own; `None` if that fails, which it has no reason to.
    pub(super) fn block(&mut self, text: &[u8]) -> Option<Block> {
        if text.is_empty() {
            return Some(Block::default());
        }
        self.state.reset();
        self.room.clear();
        loop {
            let done = usize::try_from(self.state.total_in()).ok()?;
            let rest = text.get(done..)?;
            self.room.reserve(rest.len() / 8 + FLUSH_BYTES);
            let status = self.state.compress_vec(rest, &mut self.room, FlushCompress::Sync).ok()?;
            // a flush is complete once it leaves room
            let all = self.state.total_in() == text.len() as u64;
            match status {
                Status::Ok | Status::BufError if all && self.room.len() < self.room.capacity() => break,
                Status::Ok | Status::BufError => {}
                Status::StreamEnd => return None,
            }
        }
        let mut crc = Crc::new();
        crc.update(text);
        Some(Block { bytes: self.room.as_slice().into(), crc })
    }
}

impl Block {
    /// True of the block of no text.
    pub(super) fn is_empty(&self) -> bool {
        self.crc.amount() == 0
    }
}

impl Stream {
    /// Is written into `out`, whatever that held.
    pub(super) fn into(mut out: Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(&HEADER);
        Self { out, crc: Crc::new() }
    }

    pub(super) fn push(&mut self, block: &Block) {
        self.out.extend_from_slice(&block.bytes);
        self.crc.combine(&block.crc);
    }
}

impl Stream {
    /// What has been written of it, to go on elsewhere.
    pub(super) fn paused(self) -> (Vec<u8>, Checksum) {
        (self.out, Checksum(self.crc))
    }

    /// What is to be written after that.
    pub(super) fn resumed(checksum: Checksum) -> Self {
        Self { out: Vec::new(), crc: checksum.0 }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&END);
        self.out.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.out.extend_from_slice(&self.crc.amount().to_le_bytes());
        self.out
    }
}

/// The text, compressed; `None` if that fails, which it has no reason to.
pub fn gzip(text: &str) -> Option<Vec<u8>> {
    let block = Deflater::default().block(text.as_bytes())?;
    let mut stream = Stream::into(Vec::with_capacity(block.bytes.len() + FLUSH_BYTES));
    stream.push(&block);
    Some(stream.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        // checks the checksum and the length, and reads no second stream
        let mut decoder = GzDecoder::new(bytes);
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "the stream ends where the bytes end");
        text
    }

    proptest! {
        #[test]
        fn any_blocks_are_one_stream(parts in proptest::collection::vec((".{0,40}", 0_usize..2_000), 0..8)) {
            let mut deflater = Deflater::default();
            let mut stream = Stream::into(vec![7; 3]);
            let mut whole = String::new();
            for (part, times) in parts {
                let part = part.repeat(times);
                stream.push(&deflater.block(part.as_bytes()).unwrap());
                whole.push_str(&part);
            }
            prop_assert_eq!(unpacked(&stream.finish()), whole.as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_compressed_is_whole_too() {
        let mut random = fastrand::Rng::with_seed(17);
        for length in [0, 1, 63, 64, 65, 1_000, 65_535, 65_536, 400_000] {
            let noise: Vec<_> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            let mut stream = Stream::into(Vec::new());
            let mut deflater = Deflater::default();
            stream.push(&deflater.block(&noise).unwrap());
            stream.push(&deflater.block(b"and").unwrap());
            assert_eq!(unpacked(&stream.finish()), [&*noise, b"and"].concat(), "{length} bytes");
        }
    }

    #[test]
    fn a_text_by_itself() {
        assert_eq!(unpacked(&gzip("a text, a text, a text").unwrap()), b"a text, a text, a text");
        assert_eq!(unpacked(&gzip("").unwrap()), b"");
    }
}
