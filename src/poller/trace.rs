//! What was said in one poll, kept for a person who asks why there is no balance.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use crate::transport::Outcome;

/// One request and what came of it. It holds secrets: whoever shows it masks them.
#[derive(Clone)]
pub struct Traced {
    /// As it was sent.
    pub request: Request<Bytes>,
    /// As it came back.
    pub outcome: Outcome,
    /// From the one to the other.
    pub took: Duration,
}

/// Collects the requests of one poll.
#[derive(Default)]
pub struct Trace(Mutex<Vec<Traced>>);

impl Trace {
    pub(super) fn note(&self, request: Request<Bytes>, outcome: Outcome, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Traced { request, outcome, took });
    }

    /// Everything that was said, in order.
    pub fn take(&self) -> Vec<Traced> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
