//! Over real sockets, with requests written by hand: what counts is what goes over the wire.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;

use flate2::read::GzDecoder;
use tokio::sync::{Semaphore, mpsc};

mod api;
mod client;

use client::{Reply, ask, connect, rest};

use super::*;
use crate::clock::Now;
use crate::exposition::sample::{ACCOUNTS, at, board, config, snapshot, telemetry};
use crate::exposition::{Escaping, Format, checker};

/// After this long a test has failed; none waits for it otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Now {
        at(100)
    }
}

/// A guard that lets everybody in.
fn open() -> Arc<Guard> {
    Arc::new(Guard::new(None).unwrap())
}

pub(crate) fn state() -> State {
    state_with(board(), None)
}

fn state_with(board: Board, reloader: Option<Arc<dyn Reloader>>) -> State {
    State::new(
        Arc::new(board),
        Arc::new(telemetry()),
        Arc::new(StoppedClock),
        Paths::new("/metrics", None, None),
        open(),
        reloader,
    )
}

fn serve(state: State, limits: Limits) -> Handle {
    spawn(vec![TcpListener::bind("127.0.0.1:0").unwrap()], Arc::new(state), limits).unwrap()
}

#[test]
fn every_route_answers_what_it_is_asked_properly() {
    let server = serve(state(), Limits::default());
    for (method, path, status, allow, says) in [
        ("GET", "/metrics", 200, None, "balance_fresh{"),
        ("GET", "/metrics?name=x", 200, None, "balance_fresh{"),
        ("GET", "/", 200, None, "<title>balance-exporter"),
        ("GET", "/?q=x&page=2", 200, None, "<title>balance-exporter"),
        ("POST", "/", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("GET", "/-/healthy", 200, None, "balance-exporter is healthy\n"),
        ("GET", "/-/ready", 503, None, "not ready: 2 of 4 accounts were not polled yet\n"),
        ("POST", "/-/reload", 403, None, "off; start with --web.enable-lifecycle"),
        ("PUT", "/-/reload", 403, None, "off; start with --web.enable-lifecycle"),
        ("GET", "/-/reload", 405, Some("POST, PUT"), "POST, PUT only"),
        ("POST", "/metrics", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("PUT", "/", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("DELETE", "/-/healthy", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("TRACE", "/metrics", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("OPTIONS", "/-/ready", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("BREW", "/metrics", 405, Some("GET, HEAD"), "GET, HEAD only"),
        ("GET", "/metrics/", 404, None, "nothing here"),
        ("GET", "//metrics", 404, None, "nothing here"),
        ("GET", "/Metrics", 404, None, "nothing here"),
        ("GET", "/%6detrics", 404, None, "nothing here"),
        ("GET", "/../../etc/passwd", 404, None, "nothing here"),
        ("GET", "/%2e%2e/metrics", 404, None, "nothing here"),
        ("OPTIONS", "*", 404, None, "nothing here"),
    ] {
        let reply = ask(&server, method, path, &[]);
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
        assert!(reply.text().contains(says), "{method} {path}: {}", reply.text());
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{method} {path}");
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()), "{method} {path}");
        assert!(reply.header("content-type").unwrap().ends_with("; charset=utf-8"), "{method} {path}");
    }
}

#[test]
fn head_gets_the_headers_of_get_and_nothing_else() {
    let server = serve(state(), Limits::default());
    for path in ["/metrics", "/", "/-/healthy", "/-/ready"] {
        let (get, head) = (ask(&server, "GET", path, &[]), ask(&server, "HEAD", path, &[]));
        assert!(!get.body.is_empty() && head.body.is_empty(), "{path}");
        // the process's own figures change in length
        let stable = |reply: &Reply| {
            let varies = |name: &str| name == "date" || name == "content-length" && path == "/metrics";
            reply.headers.iter().filter(|(name, _)| !varies(name)).cloned().collect::<Vec<_>>()
        };
        assert_eq!((get.status, stable(&get)), (head.status, stable(&head)), "{path}");
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{path}");
    }
}

#[test]
fn a_scrape_comes_in_the_format_and_coding_that_the_scraper_wants() {
    let server = serve(state(), Limits::default());
    let open = "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;q=0.5";
    for (more, format, compressed) in [
        (vec![], Format::Text, false),
        (vec!["Accept: */*"], Format::Text, false),
        (vec![open], Format::OpenMetrics(Escaping::AllowUtf8), false),
        (vec![open, "Accept-Encoding: gzip"], Format::OpenMetrics(Escaping::AllowUtf8), true),
        (vec!["Accept-Encoding: deflate, gzip;q=0.1"], Format::Text, true),
        (vec!["Accept-Encoding: deflate", "Accept-Encoding: gzip"], Format::Text, true),
        (vec!["Accept-Encoding: gzip;q=0"], Format::Text, false),
        (vec!["Accept: application/vnd.google.protobuf"], Format::Text, false),
    ] {
        let reply = ask(&server, "GET", "/metrics", &more);
        assert_eq!(reply.header("content-type"), Some(format.content_type()), "{more:?}");
        assert_eq!(reply.header("content-encoding"), compressed.then_some("gzip"), "{more:?}");
        assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"), "{more:?}");
        let mut text = String::new();
        if compressed {
            GzDecoder::new(&reply.body[..]).read_to_string(&mut text).unwrap();
        } else {
            reply.text().clone_into(&mut text);
        }
        checker::check_accounts(&text, format, &ACCOUNTS).unwrap();
    }
}

#[test]
fn the_page_runs_and_loads_nothing_but_its_own() {
    let server = serve(state(), Limits::default());
    let reply = ask(&server, "GET", "/", &["Accept-Encoding: gzip"]);
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("script-src 'sha256-") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(reply.header("referrer-policy"), Some("same-origin"), "or a form would not tell where it comes from");
    let mut html = String::new();
    GzDecoder::new(&reply.body[..]).read_to_string(&mut html).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
}

#[test]
fn the_metrics_are_where_they_are_told_to_be() {
    let state = State::new(
        Arc::new(board()),
        Arc::new(telemetry()),
        Arc::new(StoppedClock),
        Paths::new("/balances", None, None),
        open(),
        None,
    );
    let server = serve(state, Limits::default());
    assert_eq!(ask(&server, "GET", "/metrics", &[]).status, 404);
    assert!(ask(&server, "GET", "/balances", &[]).text().contains("balance_fresh{"));
    assert!(ask(&server, "GET", "/", &[]).text().contains("href=\"/balances\""));
}

#[test]
fn ready_after_the_first_attempts_and_for_good() {
    let state = state();
    let board = state.board.clone();
    let server = serve(state, Limits::default());
    let status = || ask(&server, "GET", "/-/ready", &[]).status;
    assert_eq!(status(), 503);
    let configs: Vec<_> = ACCOUNTS.iter().map(|(provider, account)| config(provider, account)).collect();
    let failure = || crate::failure::Failure::new(crate::failure::ErrorReason::Connect, "nobody there");
    board.file(&configs[0], Err(failure()), at(100));
    assert_eq!(status(), 503);
    board.file(&configs[3], Ok(snapshot("1", at(100))), at(100));
    assert_eq!(status(), 200, "a failed attempt is an attempt");
    board.file(&configs[3], Err(failure()), at(100));
    assert_eq!(status(), 200, "an outage does not take it back");
    board.configure(Vec::new(), &[config("bridge", "new")]);
    assert_eq!(status(), 200, "a reload does not take it back");
}

/// A reload that says when it was asked for, waits for leave, and ends as told.
#[derive(Debug)]
struct Told {
    asked: mpsc::UnboundedSender<()>,
    leave: Semaphore,
    outcome: Mutex<Result<(), String>>,
}

impl Told {
    fn new(outcome: Result<(), String>) -> (Arc<Self>, mpsc::UnboundedReceiver<()>) {
        let (asked, hears) = mpsc::unbounded_channel();
        (Arc::new(Self { asked, leave: Semaphore::new(0), outcome: Mutex::new(outcome) }), hears)
    }
}

impl Reloader for Told {
    fn reload(&self) -> Reloading<'_> {
        Box::pin(async {
            self.asked.send(()).unwrap();
            self.leave.acquire().await.unwrap().forget();
            self.outcome.lock().unwrap().clone()
        })
    }
}

#[test]
fn a_reload_tells_how_it_went() {
    let refused = Err("exporter.yaml:7:3: providers[0].api: expected one of dialog, payby".to_owned());
    let (reloader, mut asked) = Told::new(Ok(()));
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let server = serve(state_with(board(), Some(reloader.clone())), limits);
    for (method, outcome, status, says) in [
        ("POST", Some(Ok(())), 200, "the configuration was reloaded\n"),
        ("PUT", Some(refused), 500, "exporter.yaml:7:3: providers[0].api: expected one of dialog, payby\n"),
        ("POST", None, 500, "the reload takes too long"),
    ] {
        if let Some(outcome) = outcome {
            *reloader.outcome.lock().unwrap() = outcome;
            reloader.leave.add_permits(1);
        }
        let reply = ask(&server, method, "/-/reload", &[]);
        assert_eq!(reply.status, status);
        assert!(reply.text().starts_with(says), "{}", reply.text());
        asked.try_recv().expect("it must have been asked for");
    }
    assert_eq!(ask(&server, "GET", "/-/reload", &[]).status, 405);
    asked.try_recv().expect_err("a link must not reload");
}

#[test]
fn who_does_not_finish_asking_is_cut_off() {
    let limits = Limits { header_read: Duration::from_millis(50), ..Limits::default() };
    let server = serve(state(), limits);
    for (who, sent) in [
        ("says nothing", ""),
        ("says half a line", "GET /met"),
        ("says half a head", "GET /metrics HTTP/1.1\r\nHost: x\r\nX-a: "),
    ] {
        let mut stream = connect(&server);
        stream.write_all(sent.as_bytes()).unwrap();
        let said = rest(stream);
        assert!(!said.starts_with(b"HTTP/1.1 200"), "{who}: {}", String::from_utf8_lossy(&said));
    }
    let mut stream = connect(&server);
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(Reply::parse(&rest(stream)).status, 200, "answered, then closed for want of another request");
}

#[test]
fn requests_that_are_too_big_or_no_http_are_refused() {
    let server = serve(state(), Limits::default());
    let long = "a".repeat(20_000);
    let (many, enough) = ("x: 1\r\n".repeat(65), "x: 1\r\n".repeat(63));
    for (what, request, status) in [
        ("a long header", format!("GET /metrics HTTP/1.1\r\nx: {long}\r\n\r\n"), Some(431)),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), Some(431)),
        ("many headers", format!("GET /metrics HTTP/1.1\r\n{many}\r\n"), Some(431)),
        ("as many as may be", format!("GET /-/healthy HTTP/1.1\r\n{enough}Connection: close\r\n\r\n"), Some(200)),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".repeat(20), Some(400)),
        ("garbage", "hello there, is this a bank?\r\n\r\n".to_owned(), Some(400)),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), None),
    ] {
        let mut stream = connect(&server);
        // the server may hang up before it has read everything
        let _ = stream.write_all(request.as_bytes());
        let said = rest(stream);
        match status {
            Some(status) => assert_eq!(Reply::parse(&said).status, status, "{what}"),
            None => assert!(!said.starts_with(b"HTTP/1.1 200"), "{what}"),
        }
    }
    assert_eq!(ask(&server, "GET", "/-/healthy", &[]).status, 200);
}

#[test]
fn a_body_is_never_waited_for() {
    let server = serve(state(), Limits::default());
    for head in ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 9"] {
        let mut stream = connect(&server);
        stream.write_all(format!("POST /metrics HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(Reply::parse(&rest(stream)).status, 405, "{head}");
    }
}

#[test]
fn old_clients_are_served() {
    let server = serve(state(), Limits::default());
    let mut stream = connect(&server);
    stream.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n").unwrap();
    let reply = Reply::parse(&rest(stream));
    assert_eq!((reply.status, reply.text()), (200, "balance-exporter is healthy\n"));
    let mut stream = connect(&server);
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let reply = Reply::parse(&rest(stream));
    checker::check(reply.text(), Format::Text).unwrap();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const PAIRS: usize = 500;
    let server = serve(state(), Limits::default());
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let pair = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
        writer.write_all(pair.repeat(PAIRS - 1).as_bytes()).unwrap();
        let last = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n";
        writer.write_all(last.as_bytes()).unwrap();
    });
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    sender.join().unwrap();
    let statuses: Vec<_> = said.match_indices("HTTP/1.1 ").map(|(at, found)| &said[at + found.len()..][..3]).collect();
    assert_eq!(statuses, ["200", "404"].repeat(PAIRS));
}

#[test]
fn open_connections_cannot_keep_a_scraper_out() {
    let limits = Limits { connections: 4, header_read: PATIENCE * 2, ..Limits::default() };
    let server = serve(state(), limits);
    let mut held: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /metrics HTTP/1.1\r\nx: ").unwrap();
            stream
        })
        .collect();
    assert_eq!(ask(&server, "GET", "/metrics", &[]).status, 200);
    for oldest in held.drain(..12) {
        assert_eq!(rest(oldest), b"", "the oldest had to go");
    }
}

#[tokio::test]
async fn stopping_lets_an_answer_arrive_and_takes_no_more() {
    let (reloader, mut asked) = Told::new(Ok(()));
    let server = serve(state_with(board(), Some(reloader.clone())), Limits::default());
    let address = server.addresses()[0];
    let mut stream = connect(&server);
    stream.write_all(b"POST /-/reload HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    asked.recv().await.unwrap();
    let idle = connect(&server);
    let stopped = tokio::spawn(server.stop());
    let closed = tokio::task::spawn_blocking(move || rest(idle)).await.unwrap();
    assert_eq!(closed, b"", "an idle connection is closed at once");
    reloader.leave.add_permits(1);
    let reply = tokio::task::spawn_blocking(move || Reply::parse(&rest(stream))).await.unwrap();
    assert_eq!(reply.status, 200);
    tokio::time::timeout(PATIENCE, stopped).await.unwrap().unwrap();
    TcpStream::connect(address).unwrap_err();
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let (reloader, mut asked) = Told::new(Ok(()));
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let server = serve(state_with(board(), Some(reloader)), limits);
    let mut stream = connect(&server);
    stream.write_all(b"POST /-/reload HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    asked.recv().await.unwrap();
    tokio::time::timeout(PATIENCE, server.stop()).await.expect("it must end");
    assert_eq!(rest(stream), b"");
}
