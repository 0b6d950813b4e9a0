//! Names looked up, with the phase noted.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;

use super::phase::{Phase, note};

/// The name that is this machine's, and must stay so: http is spoken to it.
const THIS_MACHINE: &str = "localhost";

/// Asks somebody, and notes how far that has got.
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Resolve>);

impl Resolver {
    pub(super) fn new(names: Arc<dyn Resolve>) -> Self {
        Self(names)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let local = name.as_str().eq_ignore_ascii_case(THIS_MACHINE);
        let found = self.0.resolve(name);
        Box::pin(async move {
            note(Phase::Resolve);
            let addresses = found.await.map_err(|_| NotResolved)?;
            let addresses: Vec<SocketAddr> = addresses.filter(|address| !local || address.ip().is_loopback()).collect();
            if addresses.is_empty() {
                return Err(NotResolved.into());
            }
            note(Phase::Connect);
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// Asks the operating system, which keeps a thread waiting until it knows: for as long as half a minute, if nobody
/// answers. So there is at most one such thread for each name, and all who want that name wait for it. However many
/// accounts a provider with a dead name has, they keep nobody from the names of others.
#[derive(Clone, Default)]
pub(super) struct SystemResolver {
    under_way: Arc<Mutex<BTreeMap<String, watch::Receiver<Option<Found>>>>>,
}

/// What the operating system has found; nothing, if it has failed.
type Found = Arc<[SocketAddr]>;

impl SystemResolver {
    /// The question that is under way, or a new one, which `ask` answers.
    fn look_up(&self, name: &str, ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> watch::Receiver<Option<Found>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // whoever had the answer in hand may have gone without it
        if let Some(known) = under_way.get(name).filter(|known| known.has_changed().is_ok()) {
            return known.clone();
        }
        let (answer, answered) = watch::channel(None);
        under_way.insert(name.to_owned(), answered.clone());
        drop(under_way);
        let (resolver, name) = (self.clone(), name.to_owned());
        let asking = move || {
            let found = ask(&name).unwrap_or_default();
            // who comes from now on asks anew
            resolver.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            answer.send_replace(Some(found.into()));
        };
        // without a thread the answer is dropped, and with it the question
        let _ = thread::Builder::new().name("resolve".to_owned()).spawn(asking);
        answered
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let mut answered = self.look_up(name.as_str(), |name| Ok((name, 0).to_socket_addrs()?.collect()));
        Box::pin(async move {
            let found = answered.wait_for(Option::is_some).await.map(|found| found.clone())?;
            let addresses: Vec<_> = found.iter().flat_map(|found| found.iter().copied()).collect();
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// The name has no address, as far as the resolver knows.
#[derive(Debug)]
pub(super) struct NotResolved;

impl fmt::Display for NotResolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address")
    }
}

impl StdError for NotResolved {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    /// Nobody answers for the dead name until the other end of this is dropped.
    static SILENCE: Mutex<Option<Receiver<()>>> = Mutex::new(None);

    fn ask(name: &str) -> io::Result<Vec<SocketAddr>> {
        match name {
            "good.test" => Ok(vec![([127, 0, 0, 1], 0).into()]),
            "dead.test" => {
                ASKED.fetch_add(1, Ordering::SeqCst);
                let silence = SILENCE.lock().unwrap().take();
                if let Some(silence) = silence {
                    assert!(silence.recv().is_err(), "its end is silence");
                }
                Err(io::Error::other("nobody answers"))
            }
            _ => panic!("as the test wants"),
        }
    }

    async fn answer(mut answered: watch::Receiver<Option<Found>>) -> Option<usize> {
        answered.wait_for(Option::is_some).await.ok()?.as_ref().map(|found| found.len())
    }

    #[tokio::test]
    async fn a_dead_name_takes_one_thread_and_keeps_nobody_from_another() {
        let resolver = SystemResolver::default();
        let (end, silence) = channel();
        *SILENCE.lock().unwrap() = Some(silence);
        let waiting: Vec<_> = (0..600).map(|_| resolver.look_up("dead.test", ask)).collect();
        assert_eq!(answer(resolver.look_up("good.test", ask)).await, Some(1));
        assert!(waiting.iter().all(|answered| answered.borrow().is_none()));
        drop(end);
        for answered in waiting {
            assert_eq!(answer(answered).await, Some(0));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        assert_eq!(answer(resolver.look_up("dead.test", ask)).await, Some(0));
        assert_eq!(ASKED.load(Ordering::SeqCst), 2, "an answer is not kept");
    }

    #[tokio::test]
    async fn a_question_that_is_never_answered_is_asked_anew() {
        let resolver = SystemResolver::default();
        for _ in 0..2 {
            assert_eq!(answer(resolver.look_up("panic.test", ask)).await, None);
        }
        assert_eq!(answer(resolver.look_up("good.test", ask)).await, Some(1));
    }
}
