//! A TCP connection that can be looked at while somebody else reads from it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Shared between the stream that reads and writes, and whoever wants to know what has arrived.
#[derive(Clone)]
pub(super) struct Wire(Arc<TcpStream>);

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// True if nothing has arrived that nobody has read, and the peer has not gone. The kernel is asked: the runtime
    /// learns of what arrives only when it comes to look, and a moment may be missing. If this is false, a byte may be
    /// lost, and the connection is of no more use.
    pub(super) fn is_silent(&self) -> bool {
        matches!(rustix::io::read(&*self.0, &mut [0_u8; 1]), Err(Errno::AGAIN))
    }

    /// Returns when the runtime knows that something has arrived.
    #[cfg(test)]
    pub(super) async fn readable(&self) {
        self.0.readable().await.unwrap();
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    buffer.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // it ends with the last who holds it
        Poll::Ready(Ok(()))
    }
}
