//! A body in parts that stay where they are: who copies one to many readers copies nothing.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use crate::exposition::Galley;

/// What is left of a body to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// These come first.
    shared: Arc<[Bytes]>,
    own: Bytes,
    /// How many of the shared ones are done.
    done: usize,
    /// How much of the next one is.
    begun: usize,
    left: usize,
}

impl Parts {
    fn new(shared: Arc<[Bytes]>, own: Bytes) -> Self {
        let left = shared.iter().map(Bytes::len).sum::<usize>() + own.len();
        Self { shared, own, done: 0, begun: 0, left }
    }

    /// In bytes.
    pub(super) const fn len(&self) -> usize {
        self.left
    }

    /// What is left of each part that has something left, or had when it came.
    fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let begun = std::iter::once(self.begun).chain(std::iter::repeat(0));
        let parts = self.shared.iter().skip(self.done).chain(std::iter::once(&self.own));
        parts.zip(begun).map(|(part, begun)| part.get(begun..).unwrap_or_default()).filter(|part| !part.is_empty())
    }
}

/// All of a body is one piece of data for hyper, which takes what it gets to be written and flushed together.
impl Buf for Parts {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.rest().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, room: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slot, part) in room.iter_mut().zip(self.rest()) {
            *slot = IoSlice::new(part);
            used += 1;
        }
        used
    }

    fn advance(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.begun += bytes;
        while let Some(part) = self.shared.get(self.done)
            && self.begun >= part.len()
        {
            self.begun -= part.len();
            self.done += 1;
        }
    }
}

impl From<Bytes> for Parts {
    fn from(whole: Bytes) -> Self {
        Self::new(Arc::default(), whole)
    }
}

impl From<Galley> for Parts {
    fn from(galley: Galley) -> Self {
        Self::new(galley.accounts, galley.rest)
    }
}

impl Body for Parts {
    type Data = Self;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Self>, Infallible>>> {
        let left = std::mem::take(&mut *self);
        Poll::Ready((left.len() > 0).then(|| Ok(Frame::data(left))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn parts(shared: &[String], own: &str) -> Parts {
        Parts::new(shared.iter().cloned().map(Bytes::from).collect(), Bytes::from(own.to_owned()))
    }

    proptest! {
        /// Whatever is taken at a time: all comes, once and in order.
        #[test]
        fn all_parts_come_in_their_order(
            shared in proptest::collection::vec("[a-z]{0,5}", 0..6),
            own in "[a-z]{0,5}",
            room in 1_usize..5,
            steps in proptest::collection::vec(1_usize..9, 1..40),
        ) {
            let mut parts = parts(&shared, &own);
            let whole = shared.concat() + &own;
            prop_assert_eq!(parts.size_hint().exact(), Some(whole.len() as u64));
            let mut taken = Vec::new();
            for step in steps.into_iter().chain(std::iter::repeat(usize::MAX)) {
                prop_assert_eq!(parts.remaining(), whole.len() - taken.len());
                prop_assert_eq!(parts.is_end_stream(), taken.len() == whole.len());
                if !parts.has_remaining() {
                    break;
                }
                let mut slots = vec![IoSlice::new(&[]); room];
                let used = parts.chunks_vectored(&mut slots);
                prop_assert!(used > 0 && slots[..used].iter().all(|slot| !slot.is_empty()));
                let seen: Vec<u8> = slots[..used].iter().flat_map(|slot| slot.iter().copied()).collect();
                prop_assert_eq!(parts.chunk(), &*slots[0]);
                let step = step.min(seen.len());
                taken.extend_from_slice(&seen[..step]);
                parts.advance(step);
            }
            prop_assert_eq!(String::from_utf8(taken).unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn a_body_is_one_frame() {
        for (shared, own) in
            [(&[][..], ""), (&["a".to_owned()], ""), (&[], "b"), (&["a".to_owned(), String::new()], "bc")]
        {
            let mut parts = parts(shared, own);
            let whole = shared.concat() + own;
            let frame = parts.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
            let data = frame.map(|mut data| data.copy_to_bytes(data.remaining()));
            assert_eq!(data.unwrap_or_default(), whole);
            assert!(parts.frame().await.is_none() && parts.is_end_stream());
        }
    }
}
