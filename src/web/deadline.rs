//! Bounds how long an answer may take to leave: hyper waits for a slow reader for ever. It is also where one sees
//! whether a connection gets on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;

/// A stream whose writes fail once `limit` has passed since the first byte that was not flushed yet. Progress does
/// not help: who takes a byte a second is as bad as who takes none.
#[derive(Debug)]
pub(super) struct WriteDeadline<S> {
    stream: S,
    limit: Duration,
    running_out: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
}

impl<S> WriteDeadline<S> {
    pub(super) const fn new(stream: S, limit: Duration, activity: Arc<Activity>) -> Self {
        Self { stream, limit, running_out: None, activity }
    }

    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let limit = self.limit;
        let running_out = self.running_out.get_or_insert_with(|| Box::pin(sleep(limit)));
        if running_out.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.activity.gets_on();
        Poll::Ready(Ok(taken))
    }

    /// Comes when everything has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.running_out.take().is_some() {
            self.activity.end();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        let taken = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.activity.gets_on();
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn every_answer_has_the_whole_time() {
        let (_client, server) = duplex(64);
        let activity = Arc::new(Activity::default());
        let mut stream = WriteDeadline::new(server, Duration::from_secs(20), activity.clone());
        for _ in 0..2 {
            activity.begin_scrape();
            stream.write_all(b"an answer").await.unwrap();
            assert!(stream.running_out.is_some() && activity.is_scraping());
            stream.flush().await.unwrap();
            assert!(stream.running_out.is_none() && !activity.is_scraping());
        }
    }

    #[tokio::test]
    async fn progress_does_not_buy_time() {
        const ROOM: usize = 1 << 20;
        let (_client, server) = duplex(ROOM);
        let mut stream = WriteDeadline::new(server, Duration::ZERO, Arc::default());
        let mut taken = 0;
        let outcome = async {
            loop {
                stream.write_all(b"x").await?;
                taken += 1;
                tokio::task::yield_now().await;
            }
        };
        let outcome: io::Result<()> = tokio::time::timeout(Duration::from_secs(20), outcome).await.unwrap();
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(taken < ROOM, "it was cut off while it made progress");
    }

    #[tokio::test]
    async fn only_a_reader_that_takes_something_gets_on() {
        let ages = Arc::default();
        let (reads, stalls) = (Arc::new(Activity::new(&ages)), Arc::new(Activity::new(&ages)));
        let (_client, server) = duplex(64);
        let mut stream = WriteDeadline::new(server, Duration::from_secs(20), reads.clone());
        assert!(reads.age() > stalls.age(), "who came first has not got on for longer");
        stream.write_all(&[0; 64]).await.unwrap();
        assert!(reads.age() < stalls.age());
        stalls.gets_on();
        assert!(std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_write(cx, b"x").is_pending())).await);
        assert!(reads.age() > stalls.age(), "there was no room, so nothing was taken");
    }
}
