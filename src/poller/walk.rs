//! One poll: the steps of an account walked through the gate, logins included.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinError;

use super::Edge;
use super::gate::{Gate, Sent, Slot};
use super::trace::Trace;
use crate::board::Snapshot;
use crate::clock::Now;
use crate::config::AccountConfig;
use crate::failure::{ErrorReason, Failure};
use crate::providers::{Exchange, Login, LoginExchange, LoginStep, Postmark, Provider, Renewal, Session, Step};
use crate::session::{Held, SessionKeeper, Terms, Want};
use crate::transport::Transport;

/// An adapter that asks for more requests than this in one poll is broken.
const MOST_REQUESTS: usize = 8;

/// What the accounts of a connection share: the login, what came of it, and the way there. The lock is held while a
/// login is in flight, so that there is only one.
pub(super) struct Link {
    pub(super) login: Option<Arc<dyn Login>>,
    pub(super) sessions: Arc<Sessions>,
    /// How often its secrets were replaced.
    pub(super) secrets: u32,
    /// Which settings those were obtained with.
    pub(super) settings: String,
    /// The provider's own way there.
    pub(super) transport: Arc<dyn Transport>,
    /// One signature at a time. A signature takes a thread for up to a millisecond, and few threads sign: if a thousand
    /// accounts are due at once, others must not wait for all of theirs.
    pub(super) signing: Semaphore,
}

/// The sessions of a connection; one that replaces it may share them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) keeper: Mutex<SessionKeeper>,
    /// Others have taken their place. Whoever is still on the way with these must not overwrite what is kept of those.
    pub(super) replaced: AtomicBool,
}

/// What one poll needs.
pub(super) struct Walk<'a> {
    pub(super) edge: &'a Edge,
    pub(super) config: &'a AccountConfig,
    pub(super) provider: &'a Arc<dyn Provider>,
    pub(super) link: &'a Link,
    pub(super) gate: &'a Gate,
    /// Told when other settings or secrets have taken the place of these: nothing more is to be sent with them.
    pub(super) superseded: &'a Notify,
    pub(super) trace: Option<&'a Trace>,
}

/// Why a poll brought nothing.
#[derive(Debug)]
pub(super) enum Halt {
    /// It failed.
    Failed(Failure),
    /// It gave up its place in the queue, so that whoever comes after it asks as things are now.
    Superseded,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Walk<'_> {
    /// Polls the account once.
    pub(super) async fn poll(&self) -> Result<Snapshot, Halt> {
        let outcome = self.steps().await;
        if outcome.is_ok() {
            self.gate.served();
        }
        outcome
    }

    /// What an adapter makes of a reply. If the provider asked to slow down, this is where it is heard: once per
    /// reply, and not again from those who are merely told of it. Only then is the slot of what was `sent` given back.
    fn heard<T>(&self, step: Result<T, Failure>, sent: Option<Sent<'_>>) -> Result<T, Failure> {
        if let Err(failure) = &step
            && failure.reason == ErrorReason::RateLimited
        {
            self.gate.throttled(failure.retry_after);
        }
        drop(sent);
        step
    }

    /// Waits for a slot, unless what would be sent is out of date before it comes.
    async fn slot(&self) -> Result<Slot<'_>, Halt> {
        tokio::select! {
            biased;
            () = self.superseded.notified() => Err(Halt::Superseded),
            slot = self.gate.slot(&self.config.id) => Ok(slot),
        }
    }

    async fn steps(&self) -> Result<Snapshot, Halt> {
        let known = self.edge.board.account(&self.config.id);
        let identity = known.as_ref().and_then(|status| status.identity.clone());
        let postmark = known.and_then(|status| status.postmark.clone());
        let mut left = self.config.timeout;
        let mut renewed: Vec<Renewal> = Vec::new();
        let mut requests = 0;
        'session: loop {
            let session = self.session(&mut left).await?;
            let mut replies = Vec::new();
            let mut taken = None;
            let mut sent = None;
            let step = |at, replies: &[_]| {
                let session = session.as_ref().map(|held| &*held.session);
                let (pinned, previous) = (identity.as_deref(), postmark.as_deref());
                self.provider.step(&Exchange { at, session, pinned, previous, replies })
            };
            loop {
                let now = self.edge.clock.now();
                if let Some(taken) = taken {
                    match self.heard(step(now.wall, &replies), sent.take())? {
                        Step::Send(_) => {}
                        Step::Done(reading) => return Ok(Snapshot::of(self.config, reading, taken)?),
                        Step::SessionOver { renewal, failure } => {
                            let Some(held) = session.as_ref().filter(|_| !renewed.contains(&renewal)) else {
                                return Err(failure.into());
                            };
                            renewed.push(renewal);
                            self.link.sessions.keeper.lock().await.over(held, renewal);
                            continue 'session;
                        }
                    }
                }
                requests += 1;
                if requests > MOST_REQUESTS {
                    return Err(broken("asks for request after request").into());
                }
                let slot = self.slot().await?;
                let (at, first) = if self.provider.signs() {
                    let session = session.as_ref().map(|held| held.session.clone());
                    self.signed(session, identity.clone(), postmark.clone(), &mut replies).await
                } else {
                    // only now is it known when the request leaves
                    let now = self.edge.clock.now();
                    (now, step(now.wall, &replies))
                };
                let Step::Send(request) = first? else {
                    return Err(broken("has no request to send where it must").into());
                };
                taken.get_or_insert(at);
                let (reply, under_way) = slot.send(&*self.link.transport, request, &mut left, self.trace).await?;
                replies.push(reply);
                sent = Some(under_way);
            }
        }
    }

    /// A step with a signature, and the time that it was made with. It takes longer than all else here, and so another
    /// thread.
    async fn signed(
        &self,
        session: Option<Arc<Session>>,
        identity: Option<Arc<str>>,
        postmark: Option<Arc<Postmark>>,
        replies: &mut Vec<Response<Bytes>>,
    ) -> (Now, Result<Step, Failure>) {
        // it is closed by nobody
        let _alone = self.link.signing.acquire().await.ok();
        // only now is it known when the request leaves, and it is signed with that time
        let now = self.edge.clock.now();
        let (provider, so_far) = (self.provider.clone(), std::mem::take(replies));
        let signing = tokio::task::spawn_blocking(move || {
            let (session, pinned, previous) = (session.as_deref(), identity.as_deref(), postmark.as_deref());
            let step = provider.step(&Exchange { at: now.wall, session, pinned, previous, replies: &so_far });
            (step, so_far)
        });
        match signing.await.map_err(JoinError::try_into_panic) {
            Ok((step, so_far)) => {
                *replies = so_far;
                (now, step)
            }
            // it is this poll's, wherever it happened
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => (now, Err(Failure::new(ErrorReason::Internal, "the exporter ended before it had signed"))),
        }
    }

    /// A session, if the provider wants one: the one that is held, or a new one.
    async fn session(&self, left: &mut Duration) -> Result<Option<Held>, Halt> {
        let Some(login) = &self.link.login else { return Ok(None) };
        let terms = Terms { secrets: self.link.secrets, once: login.begins_with().is_some() };
        let mut sessions = self.link.sessions.keeper.lock().await;
        let now = self.edge.clock.now();
        let renew = match sessions.want(now.boot, terms) {
            Want::Use(held) => return Ok(Some(held)),
            Want::Refused(failure) => return Err(failure.into()),
            Want::Obtain(renew) => renew,
        };
        let mut replies = Vec::new();
        let mut asked = now.boot;
        let mut sent = None;
        let step = |at, replies: &[_]| login.step(&LoginExchange { at, renew: renew.as_deref(), replies });
        let outcome = loop {
            match self.heard(step(self.edge.clock.now().wall, &replies), sent.take()) {
                Ok(LoginStep::Send(_)) if replies.len() < MOST_REQUESTS => {}
                Ok(LoginStep::Send(_)) => {
                    break Err(broken("asks for request after request"));
                }
                Ok(LoginStep::Done(session)) => break Ok(session),
                Err(failure) => break Err(failure),
            }
            let slot = self.slot().await?;
            // as above: only now is it known when the request leaves
            let now = self.edge.clock.now();
            let request = match step(now.wall, &replies) {
                Ok(LoginStep::Send(request)) => request,
                Ok(LoginStep::Done(_)) => break Err(broken("has no request to send where it must")),
                Err(failure) => break Err(failure),
            };
            asked = now.boot;
            match slot.send(&*self.link.transport, request, left, self.trace).await {
                Ok((reply, under_way)) => {
                    replies.push(reply);
                    sent = Some(under_way);
                }
                Err(failure) => break Err(failure),
            }
        };
        if let Ok(session) = &outcome
            && !self.link.sessions.replaced.load(Ordering::Relaxed)
        {
            // what it was obtained with may be spent
            self.edge.store.keep_session(&self.config.id.provider, &self.link.settings, session, asked).await;
        }
        let now = self.edge.clock.now();
        match outcome {
            Ok(session) => {
                let held = sessions.obtained(session, asked);
                let expiry = now.wall_at(held.expires);
                self.edge
                    .board
                    .update_provider(&self.config.id.provider, |status| status.session_expiry = Some(expiry));
                Ok(Some(held))
            }
            Err(mut failure) => {
                failure.detail = format!("login: {}", failure.detail);
                sessions.failed(&failure, now.boot, terms);
                Err(failure.into())
            }
        }
    }
}

fn broken(adapter_does: &str) -> Failure {
    Failure::new(ErrorReason::Internal, format!("the adapter {adapter_does}; this is a bug"))
}
