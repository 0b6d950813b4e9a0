//! A body in parts that stay where they are: who copies one to many readers copies nothing.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::exposition::Galley;

/// What is left of a body to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts([Bytes; 2]);

impl Parts {
    /// In bytes.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

impl From<Bytes> for Parts {
    fn from(whole: Bytes) -> Self {
        Self([whole, Bytes::new()])
    }
}

impl From<Galley> for Parts {
    fn from(galley: Galley) -> Self {
        Self([galley.accounts, galley.rest])
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.iter_mut().find(|part| !part.is_empty());
        Poll::Ready(next.map(|part| Ok(Frame::data(std::mem::take(part)))))
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

    use super::*;

    #[tokio::test]
    async fn all_parts_come_in_their_order() {
        for (first, second) in [("", ""), ("a", ""), ("", "b"), ("a", "bc")] {
            let parts = Parts([Bytes::from(first), Bytes::from(second)]);
            assert_eq!(parts.len(), first.len() + second.len());
            assert_eq!(parts.size_hint().exact(), Some(parts.len() as u64));
            assert_eq!(parts.is_end_stream(), parts.len() == 0);
            assert_eq!(parts.collect().await.unwrap().to_bytes(), format!("{first}{second}"));
        }
    }
}
