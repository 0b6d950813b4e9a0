//! What a server can answer.

use std::io::Write;

use balance_exporter::failure::ErrorReason::{self, Connect, Malformed, Timeout};
use balance_exporter::transport::MOST_BODY_BYTES;
use http::header::LOCATION;

use crate::server::Act::{self, Drip, Flood, Read, Repeat, Reset, Wait};
use crate::server::Server;
use crate::{AMPLE, SHORT, keeping, send, transport};

/// The client may have this much in buffers, its own and the system's, of a body it refuses.
const MOST_TAKEN: usize = 10 * 1024 * 1024;

fn say(text: impl Into<Vec<u8>>) -> Act {
    Act::Say(text.into())
}

/// A reply with this much of a body, its length stated.
fn sized(bytes: usize) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").into_bytes();
    reply.resize(reply.len() + bytes, b'x');
    reply
}

/// The same in chunks of 8 KiB.
fn chunked(bytes: usize) -> Vec<u8> {
    let mut reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let mut left = bytes;
    while left > 0 {
        let size = left.min(8192);
        reply.extend(format!("{size:x}\r\n").bytes());
        reply.resize(reply.len() + size, b'x');
        reply.extend(b"\r\n");
        left -= size;
    }
    reply.extend(b"0\r\n\r\n");
    reply
}

/// The same, ended by the end of the connection.
fn close_delimited(bytes: usize) -> Vec<u8> {
    let mut reply = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    reply.resize(reply.len() + bytes, b'x');
    reply
}

fn many_headers(count: usize) -> String {
    let headers: Vec<String> = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
    let headers = headers.concat();
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n")
}

/// What a server does, and what must come of it: the status and the length of the body, or the reason.
type Case = (&'static str, Vec<Act>, Result<(u16, usize), ErrorReason>);

/// A reply that is said once, and then the connection is closed.
fn closing(reply: &[u8]) -> Vec<Act> {
    vec![Read, say(reply)]
}

/// The same, but it is left open.
fn open(reply: &[u8]) -> Vec<Act> {
    vec![Read, say(reply), Wait]
}

/// Answers that never come to an end.
fn time() -> Vec<Case> {
    vec![
        ("silence", vec![Read, Wait], Err(Timeout)),
        ("half a status line, then silence", open(b"HTTP/1.1 2"), Err(Timeout)),
        ("dripping header", vec![Read, say("HTTP/1.1 200 OK\r\nx: "), Drip(vec![b'x'; 1000])], Err(Timeout)),
        (
            "dripping body",
            vec![Read, say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"), Drip(vec![b'x'; 1000])],
            Err(Timeout),
        ),
        (
            "dripping chunks",
            vec![Read, say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Repeat(b"1\r\nx\r\n".to_vec())],
            Err(Timeout),
        ),
        ("body that stops short, open", open(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), Err(Timeout)),
        ("endless 1xx", vec![Read, Repeat(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec())], Err(Timeout)),
        ("flood of 1xx", vec![Read, Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())], Err(Timeout)),
    ]
}

/// Connections that end too soon.
fn connection() -> Vec<Case> {
    vec![
        ("reset after the request", vec![Read, Reset], Err(Connect)),
        (
            "reset in the body",
            vec![Read, say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), Drip(b"yy".to_vec()), Reset],
            Err(Malformed),
        ),
        ("closed without an answer", vec![Read], Err(Connect)),
        ("closed in the status line", closing(b"HTTP/1.1 200"), Err(Connect)),
        ("closed in the headers", closing(b"HTTP/1.1 200 OK\r\ncontent-le"), Err(Connect)),
    ]
}

/// Heads.
fn head() -> Vec<Case> {
    vec![
        ("not HTTP", open(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), Err(Malformed)),
        ("HTTP/0.9", closing(b"{\"balance\": 1}"), Err(Malformed)),
        ("HTTP/3.0", open(b"HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n"), Err(Malformed)),
        ("HTTP/2 preface", open(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Err(Malformed)),
        ("status 000", open(b"HTTP/1.1 000 Zero\r\ncontent-length: 0\r\n\r\n"), Err(Malformed)),
        ("status 99", open(b"HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n"), Err(Malformed)),
        ("status 1000", open(b"HTTP/1.1 1000 High\r\ncontent-length: 0\r\n\r\n"), Err(Malformed)),
        ("status 999", open(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"), Ok((999, 0))),
        ("99 headers and a length", open(many_headers(99).as_bytes()), Ok((200, 0))),
        ("100 headers and a length", open(many_headers(100).as_bytes()), Err(Malformed)),
        ("5,000 headers", open(many_headers(5_000).as_bytes()), Err(Malformed)),
        (
            "1 MiB header",
            open(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).as_bytes()),
            Err(Malformed),
        ),
        ("endless header", vec![Read, say("HTTP/1.1 200 OK\r\nx: "), Flood(vec![b'y'; 8192])], Err(Malformed)),
        ("header without a colon", open(b"HTTP/1.1 200 OK\r\nnothing\r\ncontent-length: 0\r\n\r\n"), Err(Malformed)),
        (
            "control byte in a header",
            open(b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 0\r\n\r\n"),
            Err(Malformed),
        ),
        ("folded header", open(b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"), Err(Malformed)),
    ]
}

/// Bodies.
fn body() -> Vec<Case> {
    let body = MOST_BODY_BYTES;
    vec![
        ("64 KiB by length", open(&sized(body)), Ok((200, body))),
        ("64 KiB in chunks", open(&chunked(body)), Ok((200, body))),
        ("64 KiB to the end", closing(&close_delimited(body)), Ok((200, body))),
        ("a byte more by length", open(&sized(body + 1)), Err(Malformed)),
        ("a byte more in chunks", open(&chunked(body + 1)), Err(Malformed)),
        ("a byte more to the end", closing(&close_delimited(body + 1)), Err(Malformed)),
        (
            "1 GB by length",
            vec![Read, say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"), Flood(vec![b'x'; 8192])],
            Err(Malformed),
        ),
        (
            "endless chunks",
            vec![
                Read,
                say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
                Flood(chunked(8192)[46..46 + 8200].to_vec()),
            ],
            Err(Malformed),
        ),
        ("endless to the end", vec![Read, say("HTTP/1.1 200 OK\r\n\r\n"), Flood(vec![b'x'; 8192])], Err(Malformed)),
        ("no body", open(b"HTTP/1.1 204 No Content\r\n\r\n"), Ok((204, 0))),
        (
            "100 before 200",
            open(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
            Ok((200, 2)),
        ),
        (
            "a switch of protocols",
            open(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n{}"),
            Ok((101, 0)),
        ),
        ("length longer than the body", closing(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), Err(Malformed)),
        (
            "chunks without an end",
            closing(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
            Err(Malformed),
        ),
        (
            "chunk size is not hex",
            open(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
            Err(Malformed),
        ),
        (
            "chunk size beyond 64 bits",
            open(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1ffffffffffffffff\r\n{}"),
            Err(Malformed),
        ),
        (
            "chunk longer than its size",
            open(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"),
            Err(Malformed),
        ),
        (
            "endless chunk extension",
            vec![Read, say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;"), Flood(vec![b'x'; 8192])],
            Err(Malformed),
        ),
        (
            "endless trailers",
            vec![
                Read,
                say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"),
                Flood(b"x: y\r\n".repeat(1000)),
            ],
            Err(Malformed),
        ),
    ]
}

/// One body, two lengths.
fn length() -> Vec<Case> {
    vec![
        ("length not a number", open(b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}"), Err(Malformed)),
        ("negative length", open(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}"), Err(Malformed)),
        (
            "two lengths that differ",
            open(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "),
            Err(Malformed),
        ),
        (
            "two lengths that agree",
            open(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}"),
            Err(Malformed),
        ),
        ("two lengths in one line", open(b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}"), Err(Malformed)),
        (
            "length and chunks",
            open(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            Err(Malformed),
        ),
        (
            "coded twice",
            open(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            Err(Malformed),
        ),
        ("coding unknown", closing(b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n{}"), Err(Malformed)),
        (
            "chunks in HTTP/1.0",
            open(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            Err(Malformed),
        ),
        ("HTTP/1.0", closing(b"HTTP/1.0 200 OK\r\n\r\n{}"), Ok((200, 2))),
    ]
}

#[tokio::test]
async fn every_behaviour_has_one_reason_and_one_request() {
    let cases = [time(), connection(), head(), body(), length()].concat();
    for ((case, script, expected), keep) in cases.into_iter().flat_map(|case| [(case.clone(), false), (case, true)]) {
        let server = Server::start(script).await;
        let origin = format!("http://{}", server.address);
        let deadline = if expected == Err(Timeout) { SHORT } else { AMPLE };
        let transport = if keep { keeping() } else { transport() };
        let outcome = send(&transport, &origin, deadline).await;
        // what it keeps ends with it
        drop(transport);
        let outcome =
            outcome.map(|reply| (reply.status().as_u16(), reply.body().len())).map_err(|failure| failure.reason);
        assert_eq!(outcome, expected, "{case}, keep_alive: {keep}");
        server.ended().await;
        assert_eq!(server.seen.connections(), 1, "{case}");
        assert_eq!(server.seen.requests().len(), 1, "{case}");
        // time limits it alone where nothing is kept
        assert!(server.seen.flooded() < MOST_TAKEN || expected == Err(Timeout), "{case}: {}", server.seen.flooded());
    }
}

#[tokio::test]
async fn redirects_come_back_as_they_are() {
    let transport = transport();
    let elsewhere = Server::start(vec![Read]).await;
    let port = elsewhere.address.port();
    for status in [301, 302, 303, 307, 308] {
        for location in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("//127.0.0.1:{port}/"),
            format!("http://user:pass@127.0.0.1:{port}/"),
            "/another/path".to_owned(),
            "data:text/plain,x".to_owned(),
        ] {
            let reply = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 2\r\n\r\n{{}}");
            let server = Server::start(vec![Read, say(reply)]).await;
            let reply = send(&transport, &format!("http://{}", server.address), AMPLE).await.unwrap();
            assert_eq!((reply.status().as_u16(), reply.body().len()), (status, 2));
            assert_eq!(reply.headers()[LOCATION], location);
            server.ended().await;
            assert_eq!(server.seen.connections(), 1, "{status} {location}");
        }
    }
    assert_eq!(elsewhere.seen.connections(), 0);
}

#[tokio::test]
async fn what_comes_after_a_reply_is_never_the_next_reply() {
    let transport = transport();
    let (first, second) = (sized(2), sized(3));
    let server = Server::start(vec![Read, say([first, second].concat()), Wait]).await;
    let origin = format!("http://{}", server.address);
    for nth in 1..=3 {
        let reply = send(&transport, &origin, AMPLE).await.unwrap();
        assert_eq!(reply.body().len(), 2);
        assert_eq!(server.seen.connections(), nth);
    }
    server.ended().await;
    assert_eq!(server.seen.requests().len(), 3);
}

#[tokio::test]
async fn a_coded_body_is_not_decoded() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 5_000_000]).unwrap();
    let bomb = encoder.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let server = Server::start(vec![Read, say([head.into_bytes(), bomb.clone()].concat())]).await;
    let reply = send(&transport(), &format!("http://{}", server.address), AMPLE).await.unwrap();
    assert_eq!(reply.body(), &bomb);
    assert_eq!(reply.headers()["content-encoding"], "gzip");
}
