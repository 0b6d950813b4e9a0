//! Accepts connections and speaks HTTP/1 on them, within [`Limits`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{Visit, answer};
use super::crowd::Crowd;
use super::deadline::WriteDeadline;
use super::{Limits, State};
use crate::service::Heart;

/// After a failed accept, which mostly means that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often what nobody reads any more is forgotten.
const TIDY: Duration = Duration::from_secs(1);

/// What is said to who speaks HTTP where HTTPS is spoken.
const PLAIN: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// Serves until `stopping` turns true or its sender is gone.
pub(super) async fn run(
    listeners: Vec<TcpListener>,
    state: Arc<State>,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
    mut heart: Heart,
) {
    let crowd = Arc::new(Crowd::new(limits.connections, limits.scrapes));
    let mut turn = 0;
    let mut tasks = JoinSet::new();
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = tasks.join_next() => continue,
            () = heart.beat() => continue,
            _ = tidy.tick() => {
                state.press.clear(&state.clock.now());
                continue;
            }
            accepted = accept(&listeners, turn) => accepted,
        };
        turn = turn.wrapping_add(1);
        match accepted {
            Ok(stream) => {
                // an answer leaves in one piece anyway
                let _ = stream.set_nodelay(true);
                let visit = Visit { patience: limits.answer, activity: crowd.enter(), crowd: crowd.clone() };
                tasks.spawn(stay(stream, state.clone(), limits, visit, stopping.clone()));
                // those who are here come first: a rush at the door must not push out who has had no time to get on
                yield_now().await;
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listeners);
    // whoever is not done by then is cut off
    let _ = timeout(limits.drain, async { while tasks.join_next().await.is_some() {} }).await;
}

/// The next connection of any listener. They have the first say by turns, so that a flood at one does not close
/// the others.
async fn accept(listeners: &[TcpListener], turn: usize) -> io::Result<TcpStream> {
    let (later, first) = listeners.split_at(turn % listeners.len().max(1));
    poll_fn(|cx| {
        for listener in first.iter().chain(later) {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

/// A connection, for as long as it lasts or is let.
async fn stay(stream: TcpStream, state: Arc<State>, limits: Limits, visit: Visit, stopping: watch::Receiver<bool>) {
    let (crowd, activity) = (visit.crowd.clone(), visit.activity.clone());
    tokio::select! {
        () = door(stream, state, limits, visit, stopping) => {}
        () = activity.is_cut_off() => {}
    }
    crowd.leave(&activity);
}

/// A connection that has just been opened, encrypted if it has to be.
async fn door(stream: TcpStream, state: Arc<State>, limits: Limits, visit: Visit, mut stopping: watch::Receiver<bool>) {
    let Some(tls) = state.guard.tls() else { return connection(stream, state, limits, visit, stopping).await };
    let shaken = tokio::select! {
        // it has as long as the headers of a request
        shaken = timeout(limits.header_read, handshake(stream, tls)) => shaken,
        _ = stopping.wait_for(|stop| *stop) => return,
    };
    if let Ok(Ok(Some(stream))) = shaken {
        connection(stream, state, limits, visit, stopping).await;
    }
}

/// An encrypted stream; none for who does not encrypt, and is told so.
async fn handshake(mut stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut begins = [0; 1_024];
    let length = stream.peek(&mut begins).await?;
    // TLS begins with a number, HTTP with a word
    if !begins[..length].first().is_some_and(u8::is_ascii_uppercase) {
        return TlsAcceptor::from(tls).accept(stream).await.map(Some);
    }
    // what is not read before closing would take the answer with it
    stream.read_exact(&mut begins[..length]).await?;
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    Ok(None)
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    state: Arc<State>,
    limits: Limits,
    visit: Visit,
    mut stopping: watch::Receiver<bool>,
) {
    let io = TokioIo::new(WriteDeadline::new(stream, limits.answer, visit.activity.clone()));
    let service = service_fn(|request| {
        visit.activity.gets_on();
        let (state, visit) = (state.clone(), visit.clone());
        async move { Ok::<_, Infallible>(answer(&state, &visit, &request).await) }
    });
    let mut http = http1::Builder::new();
    // without a timer hyper would forget its own timeouts; some clients close their half once they have asked
    http.timer(TokioTimer::new())
        .half_close(true)
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers);
    let mut connection = pin!(http.serve_connection(io, service));
    tokio::select! {
        // whatever went wrong, went wrong with this one client
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;
    use crate::web::activity::Activity;
    use crate::web::tests::{PATIENCE, state};

    /// Both ends of a connection with room for `room` bytes: the client's, and the server's as a task.
    fn connect(
        room: usize,
        limits: Limits,
    ) -> (tokio::io::DuplexStream, tokio::task::JoinHandle<()>, Arc<Activity>, watch::Sender<bool>) {
        let (client, server) = duplex(room);
        let (stop, stopping) = watch::channel(false);
        let crowd = Arc::new(Crowd::new(limits.connections, limits.scrapes));
        let visit = Visit { patience: limits.answer, activity: crowd.enter(), crowd };
        let activity = visit.activity.clone();
        let task = tokio::spawn(connection(server, Arc::new(state()), limits, visit, stopping));
        (client, task, activity, stop)
    }

    #[tokio::test]
    async fn a_reader_that_stalls_is_cut_off() {
        let limits = Limits { answer: Duration::from_millis(20), ..Limits::default() };
        let (mut client, task, activity, _stop) = connect(1_024, limits);
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
        timeout(PATIENCE, task).await.expect("the connection must end").unwrap();
        assert!(activity.is_scraping(), "it never got to the end");
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        assert_eq!(got.len(), 1_024, "no more than what fitted");
    }

    #[tokio::test]
    async fn a_connection_is_idle_again_after_its_answer() {
        let (mut client, _task, activity, _stop) = connect(1 << 20, Limits::default());
        for _ in 0..3 {
            client.write_all(b"HEAD /metrics HTTP/1.1\r\n\r\n").await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                got.push(client.read_u8().await.unwrap());
            }
            let idle = async {
                while activity.is_scraping() {
                    yield_now().await;
                }
            };
            timeout(PATIENCE, idle).await.expect("hyper must flush, or the deadline would span several answers");
        }
    }

    #[tokio::test]
    async fn whoever_closes_his_half_after_asking_is_answered() {
        let (mut client, task, _activity, _stop) = connect(1 << 20, Limits::default());
        // the server's task has its first turn at the next wait: it finds the request and its end together
        client.write_all(b"GET /-/healthy HTTP/1.1\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        timeout(PATIENCE, task).await.expect("the connection must end").unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        assert!(got.ends_with("healthy\n"), "{got:?}");
    }
}
