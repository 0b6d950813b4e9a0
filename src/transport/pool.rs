//! The connections of one provider entry that rest between two requests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::Authority;

use super::kept::Kept;
use crate::clock::{BootTime, Clock};

/// How often those are sought out that have rested for too long.
const ROUND: Duration = Duration::from_secs(1);

/// Those that rest. The last one back is the first to go out again, so that those which are not needed grow old.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    kept: Vec<Kept>,
    /// Somebody goes round.
    is_watched: bool,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, resting: Mutex::default() }))
    }

    pub(super) fn now(&self) -> BootTime {
        self.0.clock.now().boot
    }

    /// One that leads there and can be used, if there is one. Those that are of no more use are ended.
    pub(super) async fn take(&self, to: &Authority) -> Option<Kept> {
        loop {
            let kept = {
                let mut resting = self.0.resting();
                let place = resting.kept.iter().rposition(|kept| kept.leads_to(to))?;
                resting.kept.remove(place)
            };
            if kept.is_young(self.now()) && kept.is_silent() {
                return Some(kept);
            }
            kept.end().await;
        }
    }

    /// Takes one back.
    pub(super) fn put(&self, mut kept: Kept) {
        kept.rest(self.now());
        let mut resting = self.0.resting();
        resting.kept.push(kept);
        if !std::mem::replace(&mut resting.is_watched, true) {
            let shared = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(ROUND).await;
                    // they go with the provider entry
                    let Some(shared) = shared.upgrade() else { return };
                    if !shared.end_old().await {
                        return;
                    }
                }
            });
        }
    }
}

impl Shared {
    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if none is left.
    async fn end_old(&self) -> bool {
        let now = self.clock.now().boot;
        let (old, are_left) = {
            let mut resting = self.resting();
            let old: Vec<_> = resting.kept.extract_if(.., |kept| !kept.is_young(now)).collect();
            resting.is_watched = !resting.kept.is_empty();
            (old, resting.is_watched)
        };
        for kept in old {
            kept.end().await;
        }
        are_left
    }
}
