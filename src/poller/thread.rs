//! The thread that polls.
//!
//! It is one, with a runtime of its own. To hand a poll from thread to thread takes the kernel about as long as we take
//! for the poll, and whatever else the daemon does now and then, such as reading its configuration, delays nobody here.
//! What would take this thread for long, which is a signature, is done on others.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Signatures that are made at once. They are the only work of ours that takes a processor for long.
const SIGNING_THREADS: usize = 2;

/// Runs the poller's loop, and its polls with it, on a thread of its own. What comes back resolves when that has ended,
/// which it does only if the loop is told to or breaks.
pub fn spawn(polling: impl Future<Output = ()> + Send + 'static) -> io::Result<impl Future<Output = ()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(SIGNING_THREADS)
        .thread_name("sign")
        .enable_io()
        .enable_time()
        .build()?;
    let (runs, has_ended) = oneshot::channel::<()>();
    thread::Builder::new().name("poll".to_owned()).spawn(move || {
        // goes with the thread, be it by a panic
        let _runs = runs;
        // as one task among the polls, and not before each of them; a panic of it was told of where it happened
        drop(runtime.block_on(runtime.spawn(polling)));
    })?;
    Ok(async move { drop(has_ended.await) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn its_end_is_noticed_however_it_comes() {
        let (stop, is_stopped) = oneshot::channel::<()>();
        let mut ended = std::pin::pin!(spawn(async { drop(is_stopped.await) }).unwrap());
        tokio::select! {
            biased;
            () = &mut ended => panic!("it goes on"),
            () = std::future::ready(()) => {}
        }
        stop.send(()).unwrap();
        // fails rather than waits for ever
        let most = Duration::from_secs(30);
        timeout(most, ended).await.unwrap();
        timeout(most, spawn(async { panic!("on purpose") }).unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn what_takes_a_thread_for_long_delays_no_poll() {
        let (signed, is_signed) = std::sync::mpsc::channel::<()>();
        let polling = async move {
            let signing = tokio::task::spawn_blocking(move || is_signed.recv());
            // goes on while that waits, and ends it
            tokio::task::yield_now().await;
            signed.send(()).unwrap();
            signing.await.unwrap().unwrap();
        };
        spawn(polling).unwrap().await;
    }
}
