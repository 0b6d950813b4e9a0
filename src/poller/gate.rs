//! The gate: every request to a provider leaves through it, and none without a slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Notify;

use super::Edge;
use super::trace::Trace;
use crate::account::AccountId;
use crate::board::{Progress, ProviderStatus};
use crate::clock::{BootTime, Clock};
use crate::failure::Failure;
use crate::providers::reply_date;
use crate::rate_limit::{Admission, Quota, RateLimiter, Ticket};
use crate::transport::{Rested, Transport};

/// How long a provider is left alone that says "slow down" but not for how long; doubled each time …
const LEAST_PAUSE: Duration = Duration::from_secs(30);
/// … up to this.
const MOST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// One provider's way out.
#[derive(Debug)]
pub(super) struct Gate {
    provider: Arc<str>,
    edge: Arc<Edge>,
    limiter: Arc<Mutex<RateLimiter>>,
    /// Those who wait, by the numbers of their tickets. Only the next in line is told when it may be able to go: to tell
    /// all of a large fleet each time would take longer than the requests.
    waiting: Mutex<HashMap<u64, Arc<Notify>>>,
    throttles_in_a_row: Mutex<u32>,
}

/// The right to send one request. If it is dropped, the request counts all the same: nobody knows how far it got.
pub(super) struct Slot<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
}

/// A request that was answered counts as under way until its reply has been heard, which may be a wish that others wait.
pub(super) struct Sent<'a> {
    _slot: Slot<'a>,
}

/// A place in the queue that is given up if nobody waits in it any longer.
struct Place<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
    told: Arc<Notify>,
}

impl Gate {
    pub(super) fn new(provider: Arc<str>, quota: Quota, edge: Arc<Edge>) -> Self {
        let limiter = Arc::new(Mutex::new(RateLimiter::new(quota)));
        edge.store.know(&provider, &limiter);
        Self { provider, edge, limiter, waiting: Mutex::default(), throttles_in_a_row: Mutex::default() }
    }

    /// What the board shows of a provider that was never asked.
    pub(super) fn status(&self) -> ProviderStatus {
        ProviderStatus::new(self.provider.clone(), self.limiter.clone())
    }

    /// Keeps another promise from now on.
    pub(super) fn set_quota(&self, quota: Quota) {
        let mut limiter = self.limiter();
        if *limiter.quota() != quota {
            limiter.set_quota(quota);
            drop(limiter);
            self.call_next();
        }
    }

    /// True if forgetting this gate forgets nothing that was sent.
    pub(super) fn is_idle(&self, now: BootTime) -> bool {
        self.limiter().is_idle(now)
    }

    /// Until when nobody goes because the provider asked for that.
    pub(super) fn paused_until(&self, now: BootTime) -> Option<BootTime> {
        self.limiter().paused_until(now)
    }

    /// Waits for a slot for a request about this account, first come, first served.
    pub(super) async fn slot(&self, id: &AccountId) -> Slot<'_> {
        let mut place = Place::take(self);
        let mut deferred = false;
        loop {
            let admission = match &place.ticket {
                Some(ticket) => self.limiter().admit(ticket, self.edge.clock.now().boot),
                None => Admission::Go,
            };
            if admission != Admission::Go && !deferred {
                deferred = true;
                self.edge.board.set_progress(id, Progress::Queued);
                let (provider, account) = (&id.provider, &id.account);
                tracing::debug!(%provider, %account, "{id} waits for the limit or a pause of its provider");
                self.edge.board.update_provider(&self.provider, |status| status.counts.deferred += 1);
            }
            match admission {
                Admission::Go => {
                    let slot = Slot { gate: self, ticket: place.give_up() };
                    if deferred {
                        self.edge.board.set_progress(id, Progress::Asking);
                    }
                    self.call_next();
                    self.edge.store.lease(&self.provider).await;
                    return slot;
                }
                Admission::At(time) => tokio::select! {
                    () = sleep_until(&*self.edge.clock, time) => {}
                    () = place.told.notified() => {}
                },
                Admission::Behind => place.told.notified().await,
            }
        }
    }

    /// The provider asked to slow down: nobody goes for as long as it said, or for longer each time. What is said
    /// during a pause answers requests from before it, and is no new time.
    pub(super) fn throttled(&self, retry_after: Option<Duration>) {
        let now = self.edge.clock.now();
        let mut limiter = self.limiter();
        let mut in_a_row = self.throttles_in_a_row.lock().unwrap_or_else(PoisonError::into_inner);
        if *in_a_row == 0 || limiter.paused_until(now.boot).is_none() {
            *in_a_row = in_a_row.saturating_add(1);
        }
        let own = LEAST_PAUSE.saturating_mul(1 << (*in_a_row - 1).min(10)).min(MOST_PAUSE);
        let until = now.boot + retry_after.unwrap_or(own);
        limiter.pause(until);
        let times = *in_a_row;
        drop((in_a_row, limiter));
        self.edge.board.update_provider(&self.provider, |status| status.counts.throttled += 1);
        // a provider that goes on like this for days is told of less and less often
        if times.is_power_of_two() {
            let (provider, until) = (&self.provider, now.wall_at(until));
            tracing::warn!(%provider, %until, times, "{provider} asked to slow down; nothing is sent to it until then");
        }
    }

    /// The provider answered as it should.
    pub(super) fn served(&self) {
        let times = std::mem::take(&mut *self.throttles_in_a_row.lock().unwrap_or_else(PoisonError::into_inner));
        if times > 0 {
            let provider = &self.provider;
            tracing::info!(%provider, times, "{provider} answers again, and no longer asks to slow down");
        }
    }

    /// Somebody else may be able to go. A word is not lost: it waits for who does not listen yet.
    fn call_next(&self) {
        let next = self.limiter().next_in_line();
        if let Some(told) = next.and_then(|number| self.waiting().get(&number).cloned()) {
            told.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limiter(&self) -> MutexGuard<'_, RateLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Slot<'a> {
    /// Sends the request that this slot is for. `left` is what remains of the poll's time; it shrinks by what this
    /// took.
    pub(super) async fn send(
        self,
        transport: &dyn Transport,
        request: Request<Bytes>,
        left: &mut Duration,
        trace: Option<&Trace>,
    ) -> Result<(Response<Bytes>, Sent<'a>), Failure> {
        let edge = &self.gate.edge;
        let provider = &*self.gate.provider;
        let begun = edge.clock.now();
        edge.board.update_provider(provider, |status| status.counts.requests += 1);
        let shown = trace.map(|_| request.clone());
        let outcome = transport.send(request, *left).await;
        let now = edge.clock.now();
        let took = now.boot.since(begun.boot);
        *left = left.saturating_sub(took);
        // the provider had answered before it was listened for more
        let rested = outcome.as_ref().ok().and_then(|reply| reply.extensions().get());
        let took = took.saturating_sub(rested.map_or(Duration::ZERO, |Rested(rested)| *rested));
        edge.telemetry.observe_request(provider, took);
        if let Some(date) = outcome.as_ref().ok().and_then(|reply| reply_date(reply.headers())) {
            let skew = date.as_second() - now.wall.as_second();
            edge.board.update_provider(provider, |status| status.clock_skew_seconds = Some(skew));
        }
        if let (Some(trace), Some(request)) = (trace, shown) {
            trace.note(request, outcome.clone(), took);
        }
        Ok((outcome?, Sent { _slot: self }))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let now = self.gate.edge.clock.now().boot;
            self.gate.limiter().finished(ticket, now);
            self.gate.call_next();
        }
    }
}

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Self {
        let told = Arc::new(Notify::new());
        let ticket = gate.limiter().join();
        gate.waiting().insert(ticket.number(), told.clone());
        Self { gate, ticket: Some(ticket), told }
    }

    /// Leaves with the ticket.
    fn give_up(&mut self) -> Option<Ticket> {
        let ticket = self.ticket.take()?;
        self.gate.waiting().remove(&ticket.number());
        Some(ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.give_up() {
            self.gate.limiter().leave(ticket);
            self.gate.call_next();
        }
    }
}

/// Sleeps until the boot clock shows `time`.
pub(super) async fn sleep_until(clock: &dyn Clock, time: BootTime) {
    loop {
        let left = time.since(clock.now().boot);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(clock.longest_nap())).await;
    }
}
