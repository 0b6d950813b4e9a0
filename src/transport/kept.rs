//! A connection that is used again, and what must be so for an answer on it to be believed.
//!
//! An answer carries nothing that says which request it is for: over a connection that was used before, anything that
//! the provider, or something in between, says too much may look like the answer for the next account. So
//!
//! - nothing is asked over a connection on which something has come that nobody asked for. The kernel is asked, at the
//!   last moment;
//! - an answer is taken only when nothing has come behind it for a while. If it was not the one that was asked for, that
//!   one is still to come;
//! - a connection whose request was given up, or whose answer was not read to its end, is gone with it.
//!
//! A request is written once. Only if nothing of it was written may it be written on another connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::MOST_HEADERS;
use super::connector::{Stream, Trouble};
use super::trouble::has_ended;
use super::wire::Wire;
use crate::clock::BootTime;

/// A connection rests for no longer than this. Servers close those that rest for five seconds (Node.js, Apache,
/// uvicorn) or more; whoever asks a moment before loses the request.
const MOST_IDLE: Duration = Duration::from_secs(4);
/// How much earlier than the server says that it will close we do: the request must have arrived by then.
const MARGIN: Duration = Duration::from_secs(1);
/// A connection is used for no longer than this, so that a new address of the provider counts some day.
const MOST_AGE: Duration = Duration::from_secs(5 * 60);
/// How long nothing may come behind an answer is how long the longest answer on the connection took, but no longer than
/// this, and no shorter than the settings say.
const MOST_SILENCE: Duration = Duration::from_secs(1);

/// Those that listen stop at moments that lie so far apart, and the same for all connections: to wake up for each of many
/// costs more than what there is to do then.
const TOGETHER: Duration = Duration::from_millis(20);

type Http = Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// One connection, with nobody else on it.
pub(super) struct Kept {
    to: Authority,
    sender: SendRequest<Full<Bytes>>,
    /// `None` once HTTP on it is over.
    http: Option<Http>,
    wire: Wire,
    over: Option<Over>,
    is_used: bool,
    began: BootTime,
    /// Since when it rests.
    since: BootTime,
    most_idle: Duration,
    silence: Duration,
}

/// What is left when HTTP is over, by what one of the two said.
struct Over {
    how: hyper::Result<()>,
    /// What was read and not asked for.
    unread: Bytes,
    /// It need not have ended.
    stream: Box<dyn Stream>,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// Nothing of the request was written, and here it is.
    NotSent(Box<Request<Full<Bytes>>>),
    /// It may have arrived.
    Failed(Trouble),
}

/// What came behind an answer.
pub(super) enum Behind {
    /// Nothing: the connection may be used again.
    Silence(Box<Kept>),
    /// The end of the connection.
    End,
    /// Something that nobody has asked for.
    Speech,
}

impl Kept {
    /// A new one.
    pub(super) async fn of(
        stream: Box<dyn Stream>,
        wire: Wire,
        to: Authority,
        silence: Duration,
        now: BootTime,
    ) -> Result<Self, Trouble> {
        let (sender, http) = Builder::new().max_headers(MOST_HEADERS).handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            to,
            sender,
            http: Some(http),
            wire,
            over: None,
            is_used: false,
            began: now,
            since: now,
            most_idle: MOST_IDLE,
            silence,
        })
    }

    /// True if it leads there.
    pub(super) fn leads_to(&self, to: &Authority) -> bool {
        self.to == *to
    }

    /// True if something was asked over it before.
    pub(super) const fn is_used(&self) -> bool {
        self.is_used
    }

    /// True if it has neither rested nor lived for too long.
    pub(super) fn is_young(&self, now: BootTime) -> bool {
        now.since(self.since) < self.most_idle && now.since(self.began) < MOST_AGE
    }

    /// True if nothing has come since it rests, not even the end.
    pub(super) fn is_silent(&self) -> bool {
        self.over.is_none() && self.wire.is_silent()
    }

    /// From now on it rests.
    pub(super) const fn rest(&mut self, now: BootTime) {
        self.since = now;
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, NoAnswer> {
        let answer = self.sender.try_send_request(request);
        let answer = driven(&mut self.http, &mut self.over, answer).await;
        let reply = answer.map_err(|mut error| match error.take_message() {
            Some(request) if self.is_used => NoAnswer::NotSent(Box::new(request)),
            Some(_) | None => NoAnswer::Failed(error.into_error().into()),
        })?;
        self.most_idle = MOST_IDLE.min(announced(reply.headers()).saturating_sub(MARGIN));
        Ok(reply)
    }

    /// Does what needs the connection: reads a body.
    pub(super) async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        driven(&mut self.http, &mut self.over, work).await
    }

    /// Listens from `now` on for what comes behind an answer that took so long.
    pub(super) async fn listen(mut self, took: Duration, now: BootTime) -> Behind {
        self.silence = self.silence.max(took.min(MOST_SILENCE));
        self.is_used = true;
        let Self { http, over, silence, .. } = &mut self;
        let ending = poll_fn(|context| {
            run(http, over, context);
            if over.is_some() { Poll::Ready(()) } else { Poll::Pending }
        });
        if tokio::time::timeout(together(*silence, now), ending).await.is_err() {
            return if self.sender.is_ready() { Behind::Silence(Box::new(self)) } else { Behind::End };
        }
        let Some(Over { how, unread, mut stream }) = self.over.take() else { return Behind::End };
        if !unread.is_empty() || how.is_err_and(|error| !has_ended(&error)) {
            return Behind::Speech;
        }
        match tokio::time::timeout(self.silence, stream.read(&mut [0; 1])).await {
            Ok(Ok(1..)) => Behind::Speech,
            Ok(Err(error)) if !has_ended(&error) => Behind::Speech,
            Ok(Ok(_) | Err(_)) | Err(_) => Behind::End,
        }
    }

    /// Takes leave, as TLS wants it, and waits for nothing.
    pub(super) async fn end(self) {
        if let Some(http) = self.http {
            let mut stream = http.into_parts().io.into_inner();
            poll_fn(|context| Poll::Ready(Pin::new(&mut stream).poll_shutdown(context).is_ready())).await;
        }
    }
}

/// There is no task for the connection: whoever uses it runs it, so that nothing is done on it while it rests, and it
/// ends with whoever gives up.
async fn driven<T>(http: &mut Option<Http>, over: &mut Option<Over>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| {
        run(http, over, context);
        work.as_mut().poll(context)
    })
    .await
}

/// What ends is taken apart at once: a request that was handed over and not begun comes back by that.
fn run(http: &mut Option<Http>, over: &mut Option<Over>, context: &mut Context<'_>) {
    let Some(running) = http else { return };
    if let Poll::Ready(how) = running.poll_without_shutdown(context)
        && let Some(ended) = http.take()
    {
        let left = ended.into_parts();
        *over = Some(Over { how, unread: left.read_buf, stream: left.io.into_inner() });
    }
}

/// A silence that begins now, and as much longer as it takes until one of the moments at which all stop listening.
fn together(silence: Duration, now: BootTime) -> Duration {
    let end = (now + silence).since_boot().as_nanos();
    let more = end.next_multiple_of(TOGETHER.as_nanos()) - end;
    silence + Duration::from_nanos(u64::try_from(more).unwrap_or_default())
}

/// How long the server says that it keeps a connection; for ever if it does not say.
fn announced(headers: &HeaderMap) -> Duration {
    let seconds = headers.get("keep-alive").and_then(|value| {
        let timeout = value.to_str().ok()?.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
        timeout.parse().ok()
    });
    seconds.map_or(Duration::MAX, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn request() -> Request<Full<Bytes>> {
        Request::post("/").header("host", "provider.test").body(Full::new(Bytes::from_static(b"x"))).unwrap()
    }

    /// A connection, and the other end of it.
    async fn pair() -> (Kept, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (wire, to) = (Wire::new(stream), Authority::from_static("provider.test"));
        let silence = Duration::from_millis(1);
        let kept = Kept::of(Box::new(wire.clone()), wire, to, silence, BootTime::default()).await.ok().unwrap();
        (kept, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_request_comes_back_only_if_nothing_of_it_was_written() {
        let (mut kept, mut server) = pair().await;
        let answer = async { server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await };
        let (reply, _) = tokio::join!(kept.ask(request()), answer);
        let body = kept.drive(reply.ok().unwrap().into_body().collect()).await;
        assert_eq!(body.unwrap().to_bytes(), "1");
        let Behind::Silence(mut kept) = kept.listen(Duration::ZERO, BootTime::default()).await else {
            panic!("nothing was said")
        };
        assert!(kept.is_silent());
        // the whole of the request must have been taken, or the end is a reset
        assert!(server.read(&mut [0; 4096]).await.unwrap() > 0);
        drop(server);
        kept.wire.readable().await;
        let Err(NoAnswer::NotSent(back)) = kept.ask(request()).await else { panic!("nothing was written") };
        assert_eq!((back.uri().path(), back.headers().len()), ("/", 1));
        // on a new connection this is trouble with the way
        let (mut kept, server) = pair().await;
        drop(server);
        kept.wire.readable().await;
        assert!(matches!(kept.ask(request()).await, Err(NoAnswer::Failed(_))));
    }

    #[test]
    fn those_that_listen_stop_together_and_never_too_soon() {
        for (began, silence, listens) in
            [(0, 100, 100), (1, 100, 119), (19, 100, 101), (20, 100, 100), (7, 103, 113), (7, 1_000, 1_013), (0, 1, 20)]
        {
            let (began, silence) = (BootTime::from_boot(Duration::from_millis(began)), Duration::from_millis(silence));
            assert_eq!(together(silence, began), Duration::from_millis(listens), "{silence:?} from {began:?}");
        }
        let last = BootTime::from_boot(Duration::MAX);
        assert!(together(MOST_SILENCE, last) >= MOST_SILENCE, "the end of time is no reason to believe sooner");
    }

    #[test]
    fn what_a_server_says_of_its_patience_is_understood() {
        for (value, seconds) in [
            ("timeout=5", Some(5)),
            ("timeout=5, max=100", Some(5)),
            ("max=100,timeout=0", Some(0)),
            ("max=100", None),
            ("timeout=soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", value.parse().unwrap());
            assert_eq!(announced(&headers), seconds.map_or(Duration::MAX, Duration::from_secs), "{value}");
        }
    }
}
