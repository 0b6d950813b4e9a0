//! Connections that are kept: never a second time on the wire, and never somebody else's answer.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balance_exporter::clock::{Clock, Now, SystemClock};
use balance_exporter::failure::ErrorReason::{self, Connect, Malformed, Timeout};
use balance_exporter::route::Route;
use balance_exporter::transport::{Authorities, HttpTransport, Settings, Transport};
use bytes::Bytes;
use http::Request;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::server::Act::{self, Await, Cut, Read, Reset, Tell, Wait};
use crate::server::Server;
use crate::tls::{authority, config, params};
use crate::{AMPLE, SHORT, give_up_at, keeping, send, transport, transport_with};

/// Behind an answer, where a test must see what comes later.
const LONG_SILENCE: Duration = Duration::from_secs(1);

fn say(text: impl Into<Vec<u8>>) -> Act {
    Act::Say(text.into())
}

/// A good answer of this length, with these header lines.
fn answer(length: usize, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{}", "x".repeat(length)).into_bytes()
}

/// Stands still until it is moved.
#[derive(Debug)]
struct Hand(Now, Mutex<Duration>);

impl Clock for Hand {
    fn now(&self) -> Now {
        let moved = *self.1.lock().unwrap();
        Now { boot: self.0.boot + moved, wall: self.0.wall + moved }
    }
}

fn hand() -> Arc<Hand> {
    Arc::new(Hand(SystemClock.now(), Mutex::default()))
}

/// The ways to speak to a server, each with a transport that trusts it.
fn ways() -> Vec<(&'static str, Option<ServerConfig>, HttpTransport)> {
    let root = authority("root");
    let trusting = || {
        let authorities = Authorities::Only(vec![root.der().clone()]);
        transport_with(Settings { keep_alive: true, authorities, ..Settings::default() })
    };
    vec![
        ("http", None, keeping()),
        ("https", Some(config(&params(|_| ()), &root, &[&TLS12])), trusting()),
        ("https", Some(config(&params(|_| ()), &root, &[&TLS13])), trusting()),
    ]
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    for (scheme, tls, transport) in ways() {
        let script = (1..=5).flat_map(|length| [Read, say(answer(length, ""))]).chain([Wait]).collect();
        let server = Server::playing(tls, vec![script]).await;
        let origin = format!("{scheme}://{}", server.address);
        for length in 1..=5 {
            let reply = send(&transport, &origin, AMPLE).await.unwrap();
            assert_eq!(reply.body().len(), length);
        }
        assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 5), "{scheme}");
        drop(transport);
        server.ended().await;
    }
}

/// The lines of the head, sorted, and the body.
fn parts(request: &[u8]) -> (Vec<String>, String) {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
    lines[1..].sort();
    (lines, body.to_owned())
}

#[tokio::test]
async fn the_same_is_said_as_on_a_connection_of_its_own() {
    let server = Server::start(vec![Read, say(answer(2, "")), Read, say(answer(2, "")), Wait]).await;
    let kept = keeping();
    for host in ["127.0.0.1", "localhost"] {
        let origin = format!("http://{host}:{}", server.address.port());
        send(&transport(), &origin, AMPLE).await.unwrap();
        send(&kept, &origin, AMPLE).await.unwrap();
        let bare = Request::get(&origin).body(Bytes::new()).unwrap();
        transport().send(bare.clone(), AMPLE).await.unwrap();
        kept.send(bare, AMPLE).await.unwrap();
    }
    let requests: Vec<_> = server.seen.requests().iter().map(|request| parts(request)).collect();
    assert_eq!(requests.len(), 8);
    for four in requests.chunks(4) {
        assert_eq!(four[0], four[1]);
        assert_eq!(four[2], four[3]);
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_used_again_is_not() {
    let reached = Arc::<Notify>::default();
    let done = || Tell(reached.clone());
    let cases: Vec<(&str, Vec<Act>)> = vec![
        ("closed", vec![say(answer(1, ""))]),
        ("cut off", vec![say(answer(1, "")), Cut]),
        ("reset", vec![say(answer(1, "")), Reset]),
        ("to be closed", vec![say(answer(1, "connection: close\r\n")), done(), Wait]),
        ("kept for no time", vec![say(answer(1, "keep-alive: timeout=0, max=7\r\n")), done(), Wait]),
        ("kept for too short", vec![say(answer(1, "Keep-Alive: max=7, timeout=1\r\n")), done(), Wait]),
        ("of HTTP/1.0", vec![say("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"), done(), Wait]),
        ("with an answer too much", vec![say([answer(1, ""), answer(9, "")].concat()), done(), Wait]),
        ("with a byte too much", vec![say([answer(1, ""), b"\n".to_vec()].concat()), done(), Wait]),
        (
            "with a byte behind its end",
            vec![say([answer(1, "connection: close\r\n"), b"\n".to_vec()].concat()), done(), Wait],
        ),
        (
            "switched",
            vec![say("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), done(), Wait],
        ),
    ];
    for (case, first) in cases {
        for (scheme, tls, transport) in ways() {
            let first: Vec<_> = [Read].into_iter().chain(first.clone()).collect();
            let server = Server::playing(tls, vec![first, vec![Read, say(answer(2, "")), Wait]]).await;
            let origin = format!("{scheme}://{}", server.address);
            // a reset may overtake the answer
            let first = send(&transport, &origin, AMPLE).await;
            assert!(first.is_ok() || case == "reset", "{case}, {scheme}: {first:?}");
            let reply = send(&transport, &origin, AMPLE).await.unwrap();
            assert_eq!(reply.body().len(), 2, "{case}, {scheme}");
            assert_eq!((server.seen.connections(), server.seen.requests().len()), (2, 2), "{case}, {scheme}");
        }
    }
}

#[tokio::test]
async fn what_happens_to_a_connection_that_rests_is_seen_before_the_next_request() {
    let (go, gone) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let cases: Vec<(&str, Vec<Act>)> = vec![
        ("closed", vec![]),
        ("cut off", vec![Cut]),
        ("reset", vec![Reset]),
        ("an answer", vec![say(answer(9, "")), Tell(gone.clone()), Wait]),
        ("half an answer", vec![say("HTTP/1.1 200 OK\r\n"), Tell(gone.clone()), Wait]),
        ("a time-out", vec![say("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")]),
        ("a byte", vec![say("\n"), Tell(gone.clone()), Wait]),
    ];
    for (case, meanwhile) in cases {
        for (scheme, tls, transport) in ways() {
            let first: Vec<_> =
                [Read, say(answer(1, "")), Await(go.clone())].into_iter().chain(meanwhile.clone()).collect();
            let stays_open = first.iter().any(|act| matches!(act, Tell(_)));
            let server = Server::playing(tls, vec![first, vec![Read, say(answer(2, "")), Wait]]).await;
            let origin = format!("{scheme}://{}", server.address);
            send(&transport, &origin, AMPLE).await.unwrap();
            go.notify_one();
            if stays_open {
                gone.notified().await;
            } else {
                server.ended().await;
            }
            let reply = send(&transport, &origin, AMPLE).await.unwrap();
            assert_eq!(reply.body().len(), 2, "{case}, {scheme}");
            assert_eq!((server.seen.connections(), server.seen.requests().len()), (2, 2), "{case}, {scheme}");
        }
    }
}

/// The runtime of this test does nothing while the answer too much arrives, so it knows of nothing when the next request
/// is about to be written.
#[tokio::test]
async fn an_answer_too_much_is_seen_although_the_runtime_had_no_time_to_look() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (go, begin) = mpsc::channel::<()>();
    let (said, is_said) = mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let mut requests = 0;
        for length in [1, 2] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            requests += usize::from(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(&answer(length, "")).unwrap();
            if length == 1 {
                begin.recv().unwrap();
                stream.write_all(&answer(9, "")).unwrap();
                said.send(()).unwrap();
            }
            // whatever else comes on this connection is too much
            requests += usize::from(matches!(stream.read(&mut [0; 4096]), Ok(1..)));
        }
        requests
    });
    let transport = keeping();
    send(&transport, &origin, AMPLE).await.unwrap();
    go.send(()).unwrap();
    is_said.recv().unwrap();
    let reply = send(&transport, &origin, AMPLE).await.unwrap();
    assert_eq!(reply.body().len(), 2);
    drop(transport);
    assert_eq!(server.join().unwrap(), 2);
}

#[tokio::test]
async fn trouble_with_the_second_request_is_told_and_it_is_not_sent_again() {
    let cases: Vec<(&str, Vec<Act>, ErrorReason)> = vec![
        ("closed", vec![], Connect),
        ("reset", vec![Reset], Connect),
        ("cut off", vec![Cut], Connect),
        ("closed in the head", vec![say("HTTP/1.1 200 OK\r\ncontent-le")], Connect),
        ("closed in the body", vec![say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx")], Malformed),
        ("silence", vec![Wait], Timeout),
        ("silence in the body", vec![say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), Wait], Timeout),
        ("not HTTP", vec![say("SSH-2.0-OpenSSH_9.6\r\n\r\n"), Wait], Malformed),
        ("two answers", vec![say([answer(1, ""), answer(2, "")].concat()), Wait], Malformed),
        ("two answers, and closed", vec![say([answer(1, ""), answer(2, "")].concat())], Malformed),
        (
            "two answers, of which one is the last",
            vec![say([answer(1, "connection: close\r\n"), answer(2, "")].concat())],
            Malformed,
        ),
        ("an answer and a byte", vec![say([answer(2, ""), b"\n".to_vec()].concat()), Wait], Malformed),
    ];
    for (case, second, reason) in cases {
        for (scheme, tls, transport) in ways() {
            let script: Vec<_> = [Read, say(answer(1, "")), Read].into_iter().chain(second.clone()).collect();
            let server = Server::playing(tls, vec![script, vec![Read, say(answer(3, "")), Wait]]).await;
            let origin = format!("{scheme}://{}", server.address);
            send(&transport, &origin, AMPLE).await.unwrap();
            let deadline = if reason == Timeout { SHORT } else { AMPLE };
            let failure = send(&transport, &origin, deadline).await.unwrap_err();
            assert_eq!(failure.reason, reason, "{case}, {scheme}: {failure:?}");
            assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 2), "{case}, {scheme}");
            // its connection is gone, whatever the server thinks of it
            server.ended().await;
            assert_eq!(send(&transport, &origin, AMPLE).await.unwrap().body().len(), 3);
            assert_eq!((server.seen.connections(), server.seen.requests().len()), (2, 3), "{case}, {scheme}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_in_place_of_another_is_not_believed() {
    let settings = Settings { keep_alive: true, silence: LONG_SILENCE, ..Settings::default() };
    let transport = transport_with(settings);
    let late = Arc::<Notify>::default();
    // the old answer once more, and when that was read the right one
    let second = vec![say(answer(1, "")), Await(late.clone()), say(answer(2, "")), Wait];
    let script: Vec<_> = [Read, say(answer(1, "")), Read].into_iter().chain(second).collect();
    let server = Server::start(script).await;
    let origin = format!("http://{}", server.address);
    send(&transport, &origin, AMPLE).await.unwrap();
    let asking = send(&transport, &origin, AMPLE);
    let failure = tokio::join!(asking, async {
        while server.seen.requests().len() < 2 {
            tokio::task::yield_now().await;
        }
        late.notify_one();
    });
    assert_eq!(failure.0.unwrap_err().reason, Malformed);
    assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_request_that_is_given_up_takes_its_connection_along() {
    let transport = keeping();
    let server = Server::start(vec![Read, say(answer(1, "")), Read, Wait]).await;
    let origin = format!("http://{}", server.address);
    send(&transport, &origin, AMPLE).await.unwrap();
    give_up_at(&transport, &origin, &server, 2).await;
    server.ended().await;
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_connection_neither_rests_nor_lives_for_long() {
    let forever: Vec<_> = (0..200).flat_map(|_| [Read, say(answer(2, "keep-alive: timeout=60\r\n"))]).collect();
    let server = Server::start(forever).await;
    let origin = format!("http://{}", server.address);
    let clock = hand();
    let quick = Duration::from_millis(1);
    let transport =
        transport_with(Settings { keep_alive: true, silence: quick, clock: clock.clone(), ..Settings::default() });
    let moved = |by: f64| *clock.1.lock().unwrap() += Duration::from_secs_f64(by);
    for (rest, connections) in [(0.0, 1), (3.9, 1), (3.9, 1), (4.0, 2), (3.9, 2), (60.0, 3)] {
        moved(rest);
        send(&transport, &origin, AMPLE).await.unwrap();
        assert_eq!(server.seen.connections(), connections, "after {rest} s");
    }
    for _ in 0..99 {
        moved(3.0);
        send(&transport, &origin, AMPLE).await.unwrap();
        assert_eq!(server.seen.connections(), 3);
    }
    moved(3.0);
    send(&transport, &origin, AMPLE).await.unwrap();
    assert_eq!(server.seen.connections(), 4, "five minutes old");
    // those that nobody wants are closed without being asked for
    moved(4.0);
    server.ended().await;
}

#[tokio::test]
async fn connections_belong_to_one_provider_entry_and_end_with_it() {
    let script: Vec<_> = (0..9).flat_map(|_| [Read, say(answer(2, ""))]).collect();
    let server = Server::start(script).await;
    let origin = format!("http://{}", server.address);
    let usual = transport();
    assert!(usual.along(&Route::default()).is_none());
    let route = Route { keep_alive: true, ..Route::default() };
    let (one, other) = (usual.along(&route).unwrap(), usual.along(&route).unwrap());
    for (nth, transport) in [(1, &one), (1, &one), (2, &other), (2, &other), (2, &one)] {
        transport.send(Request::get(&origin).body(Bytes::new()).unwrap(), AMPLE).await.unwrap();
        assert_eq!(server.seen.connections(), nth);
    }
    // those of the entries beside it stay as they are
    for nth in [3, 4] {
        send(&usual, &origin, AMPLE).await.unwrap();
        assert_eq!(server.seen.connections(), nth);
    }
    drop((one, other));
    server.ended().await;
}

#[tokio::test]
async fn connections_are_for_the_host_they_lead_to() {
    let script: Vec<_> = (0..9).flat_map(|_| [Read, say(answer(2, ""))]).collect();
    let (one, other) = (Server::start(script.clone()).await, Server::start(script).await);
    let transport = keeping();
    for _ in 0..3 {
        for server in [&one, &other] {
            send(&transport, &format!("http://{}", server.address), AMPLE).await.unwrap();
        }
    }
    for server in [one, other] {
        assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 3));
    }
}

#[tokio::test]
async fn the_session_is_resumed_by_the_connections_that_follow() {
    for (scheme, tls, transport) in ways().into_iter().skip(1) {
        let server = Server::playing(tls, vec![vec![Read, say(answer(1, "")), Read, say(answer(2, ""))]]).await;
        let origin = format!("{scheme}://localhost:{}", server.address.port());
        for _ in 0..6 {
            send(&transport, &origin, AMPLE).await.unwrap();
        }
        let kinds = server.seen.handshakes();
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    }
}

/// What the server below does when it has read a request.
const WHIMS: usize = 16;

/// A server with whims, which answers number `n` with `n` but says what else it likes, and closes when it likes.
async fn whimsical(listener: TcpListener, requests: Arc<AtomicUsize>) {
    let mut random = fastrand::Rng::with_seed(17);
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        open.spawn(converse(stream, random.fork(), requests.clone()));
    }
}

fn numbered(number: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{number}", number.len()).into_bytes()
}

async fn converse(mut stream: TcpStream, mut random: fastrand::Rng, requests: Arc<AtomicUsize>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut before = String::from("none");
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        requests.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8(head).ok()?;
        let number = head.split(['/', ' ']).nth(2)?.to_owned();
        let (right, old) = (numbered(&number, ""), numbered(&before, ""));
        let moment = Duration::from_micros(random.u64(0..3_000));
        let said: Vec<Vec<u8>> = match random.usize(0..WHIMS) {
            // the old answer again, in place of this one
            0 => vec![old, right],
            1 => vec![[old, right].concat()],
            2 => vec![old, right.clone(), right],
            // this one twice, which is the old one for who comes next
            3 => vec![right.clone(), right],
            4 => vec![[right.clone(), right].concat()],
            5 => vec![numbered(&number, "connection: close\r\n"), right],
            6 => vec![numbered(&before, "connection: close\r\n"), right],
            7 => vec![right, b"\r\n".to_vec()],
            8 => vec![right, old[..old.len() / 2].to_vec(), old[old.len() / 2..].to_vec()],
            9 => {
                stream.write_all(&right).await.ok()?;
                return None;
            }
            10 => return None,
            11 => {
                stream.write_all(&right[..right.len() / 2]).await.ok()?;
                stream.set_zero_linger().ok()?;
                return None;
            }
            _ => vec![right],
        };
        for bytes in said {
            stream.write_all(&bytes).await.ok()?;
            tokio::time::sleep(moment).await;
        }
        before = number;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_whim_of_a_server_gives_an_account_the_answer_of_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let arrived = Arc::<AtomicUsize>::default();
    let server = tokio::spawn(whimsical(listener, arrived.clone()));
    let settings = Settings { keep_alive: true, silence: LONG_SILENCE, ..Settings::default() };
    let transport = Arc::new(transport_with(settings));
    let (mut sent, mut good, mut used_again) = (0, 0, 0);
    for round in 0..8 {
        let mut polls = JoinSet::new();
        for account in 0..100 {
            let number = format!("{round}x{account}");
            let (transport, origin) = (transport.clone(), origin.clone());
            sent += 1;
            polls.spawn(async move {
                let request = Request::get(format!("{origin}/{number}")).body(Bytes::new()).unwrap();
                (number, transport.send(request, AMPLE).await)
            });
        }
        while let Some(polled) = polls.join_next().await {
            let (number, outcome) = polled.unwrap();
            if let Ok(reply) = outcome {
                // a first answer on a connection that says `none` is the server's own invention
                let body = String::from_utf8(reply.body().to_vec()).unwrap();
                if body != "none" {
                    assert_eq!(body, number);
                    good += 1;
                    used_again += usize::from(round > 0);
                }
            }
        }
        assert_eq!(arrived.load(Ordering::SeqCst), sent, "each request arrives once");
    }
    assert!(good > sent / 3 && used_again > 0, "{good} of {sent}");
    server.abort();
}
