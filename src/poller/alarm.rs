//! What wakes the loop when a turn is due.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::gate::sleep_until;
use crate::clock::{BootTime, Clock};

/// Rings to a fraction of a millisecond where the clock has a timer of its own. Those of the runtime go by the
/// millisecond, and round up twice: once to their own, and once to that of the call that waits.
#[derive(Debug)]
pub(super) struct Alarm {
    clock: Arc<dyn Clock>,
    timer: Option<AsyncFd<OwnedFd>>,
    set_to: Option<BootTime>,
}

impl Alarm {
    /// Within a runtime that does IO. Without a timer, which a process that has run out of descriptors gets none of, it
    /// rings all the same, a millisecond or two later.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let timer = clock.timer().and_then(|timer| watched(timer).ok());
        Self { clock, timer, set_to: None }
    }

    /// Resolves when that time has come, and never if there is none. Given up and asked again for the same, it costs nothing.
    pub(super) async fn rings_at(&mut self, time: Option<BootTime>) {
        let Some(time) = time else { return pending().await };
        if self.set(time).is_err() || self.rung().await.is_err() {
            self.timer = None;
            sleep_until(&*self.clock, time).await;
        }
    }

    fn set(&mut self, time: BootTime) -> io::Result<()> {
        let timer = self.timer.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        if self.set_to != Some(time) {
            // nothing at all would be no time
            let at = time.since_boot().max(Duration::from_nanos(1));
            let it_value = Timespec::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
            let once = Itimerspec { it_interval: Timespec::default(), it_value };
            timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once)?;
            self.set_to = Some(time);
        }
        Ok(())
    }

    async fn rung(&mut self) -> io::Result<()> {
        let timer = self.timer.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut rung = [0; 8];
        timer.async_io(Interest::READABLE, |timer| Ok(rustix::io::read(timer, &mut rung)?)).await?;
        self.set_to = None;
        Ok(())
    }
}

#[expect(deprecated, reason = "an `OwnedFd` never has another descriptor, and what replaces this is unsafe code")]
fn watched(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    /// Fails rather than waits for ever.
    async fn rings(alarm: &mut Alarm, time: BootTime) {
        tokio::time::timeout(Duration::from_secs(30), alarm.rings_at(Some(time))).await.unwrap();
    }

    fn after(millis: u64) -> BootTime {
        SystemClock.now().boot + Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn it_rings_when_the_time_has_come() {
        let mut alarm = Alarm::new(Arc::new(SystemClock));
        assert!(alarm.timer.is_some());
        for millis in [0, 1, 7] {
            let time = after(millis);
            rings(&mut alarm, time).await;
            assert!(SystemClock.now().boot >= time, "{millis}");
        }
        rings(&mut alarm, BootTime::default()).await;
    }

    #[tokio::test]
    async fn it_can_be_set_to_another_time_and_to_the_same() {
        let mut alarm = Alarm::new(Arc::new(SystemClock));
        let (soon, late) = (after(5), after(3_600_000));
        let is_given_up = async |alarm: &mut Alarm, time| {
            tokio::select! {
                biased;
                () = alarm.rings_at(time) => false,
                () = tokio::task::yield_now() => true,
            }
        };
        assert!(is_given_up(&mut alarm, Some(late)).await);
        assert!(is_given_up(&mut alarm, None).await);
        rings(&mut alarm, soon).await;
        // it has rung for that, and does so again
        rings(&mut alarm, soon).await;
        assert!(is_given_up(&mut alarm, Some(late)).await, "an alarm that has rung does not ring for another");
    }

    #[tokio::test]
    async fn without_a_timer_it_rings_all_the_same() {
        let mut alarm = Alarm { clock: Arc::new(SystemClock), timer: None, set_to: None };
        let time = after(3);
        rings(&mut alarm, time).await;
        assert!(SystemClock.now().boot >= time);
    }
}
