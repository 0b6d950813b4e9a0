//! H: what a provider can do to HTTP.

use std::io::Write;

use balance_exporter::failure::ErrorReason::{
    Auth, Integrity, Malformed, RateLimited, Redirect, Rejected, Timeout, Unavailable,
};

use crate::api::{ALL, Api, Message, SECOND, echo};
use crate::server::{Act, say};
use crate::table::{Case, Row, case, row};

const UNSIGNED: &[Api] = &[Api::Bridge, Api::Dialog, Api::Smilepayz];
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

/// A refusal that no table of codes knows, with everything in it that must not be repeated.
fn refusal(status: u16) -> Message {
    Message::new(status, format!(r#"{{"weird":"{}"}}"#, echo()).as_bytes()).header("x-echo", echo())
}

/// This many bytes of a good body, behind its own head.
fn cut(api: Api, head: impl Fn(&Message) -> String) -> Vec<u8> {
    let good = api.good(SECOND);
    let half = &good.body()[..good.body().len() / 2];
    [head(&good).as_bytes(), b"\r\n", half].concat()
}

fn with_status(status: u16) -> Case {
    case(format!("status {status}"), ALL).says(move |_| refusal(status).bytes())
}

fn line(status: &str) -> Case {
    let status = status.to_owned();
    case(format!("status line {status:?}"), ALL)
        .says(move |api| {
            let good = String::from_utf8(api.good(SECOND).bytes()).unwrap();
            good.replacen("HTTP/1.1 200 Said", &status, 1).into_bytes()
        })
        .fails(Malformed)
}

fn throttled(header: &str) -> Case {
    let header = header.to_owned();
    let shown: String = header.chars().take(60).collect();
    case(format!("429, retry-after {shown}"), ALL)
        .says(move |_| refusal(429).header("retry-after", header.clone()).bytes())
        .fails(RateLimited)
}

pub(crate) fn rows() -> Vec<Row> {
    [slow(), framing(), lengths(), pages(), statuses(), waits(), odd()].into_iter().flatten().collect()
}

fn slow() -> Vec<Row> {
    let head = "HTTP/1.1 200 OK\r\nx: ";
    vec![
        row("H01", [case("silence", ALL).answers(|_| vec![Act::Wait]).fails(Timeout).hurried()]),
        row(
            "H02",
            [case("a dripping header", ALL)
                .answers(move |_| vec![say(head), Act::Drip(vec![b'x'; 4000])])
                .fails(Timeout)
                .hurried()],
        ),
        row(
            "H03",
            [case("a dripping body", ALL)
                .answers(|api| {
                    let good = api.good(SECOND);
                    let head = format!("{}content-length: 4000\r\n\r\n", good.head());
                    vec![say(head), Act::Drip(vec![b' '; 3900]), say(good.body())]
                })
                .fails(Timeout)
                .hurried()],
        ),
        row(
            "H04",
            [
                case("endless 103", ALL)
                    .answers(|_| vec![Act::Repeat(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec())])
                    .fails(Timeout)
                    .hurried(),
                case("a flood of 100", ALL)
                    .answers(|_| vec![Act::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())])
                    .fails(Timeout)
                    .hurried(),
            ],
        ),
    ]
}

fn framing() -> Vec<Row> {
    let chunk = |bytes: usize| [format!("{bytes:x}\r\n").into_bytes(), vec![b' '; bytes], b"\r\n".to_vec()].concat();
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b' '; 5_000_000]).unwrap();
        encoder.finish().unwrap()
    };
    let coded = move |coding: &'static str| {
        let bomb = bomb.clone();
        let says = move |_| Message::new(200, &bomb).header("content-encoding", coding).bytes();
        case(format!("a bomb coded as {coding}"), ALL).says(says).fails(Malformed)
    };
    vec![
        row(
            "H05",
            [
                case("5,000 headers", ALL)
                    .says(|api| (0..5000).fold(api.good(SECOND), |m, n| m.header(&format!("x-{n}"), "y")).bytes())
                    .fails(Malformed),
                case("1 MiB of a header", ALL)
                    .says(|api| api.good(SECOND).header("x", "y".repeat(1 << 20)).bytes())
                    .fails(Malformed),
                case("an endless header", ALL)
                    .answers(|_| vec![say("HTTP/1.1 200 OK\r\nx: "), Act::Flood(vec![b'y'; 8192])])
                    .fails(Malformed),
            ],
        ),
        row(
            "H06",
            [
                case("100 MB by length", ALL)
                    .answers(|_| {
                        let head = "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n{";
                        vec![say(head), Act::Flood(vec![b' '; 8192])]
                    })
                    .fails(Malformed),
                case("endless chunks", ALL)
                    .answers(move |_| vec![say(CHUNKED), say("1\r\n{\r\n"), Act::Flood(chunk(8192))])
                    .fails(Malformed),
                case("a good answer and a byte more than 64 KiB", ALL)
                    .says(|api| {
                        let good = api.body(&api.token(SECOND), "");
                        let padding = " ".repeat(64 * 1024 + 1 - good.len());
                        api.says(good + &padding).bytes()
                    })
                    .fails(Malformed),
                case("64 KiB", ALL).says(|api| {
                    let good = api.body(&api.token(SECOND), "");
                    let padding = " ".repeat(64 * 1024 - good.len());
                    api.says(good + &padding).bytes()
                }),
            ],
        ),
        row("H07", [coded("gzip"), coded("br"), coded("zstd")]),
        row(
            "H08",
            [
                case("a chunk size that is none", ALL)
                    .says(|_| format!("{CHUNKED}xyz\r\n{{}}\r\n0\r\n\r\n").into_bytes())
                    .fails(Malformed),
                case("a chunk longer than its size", ALL)
                    .says(|_| format!("{CHUNKED}1\r\n{{}}\r\n0\r\n\r\n").into_bytes())
                    .fails(Malformed),
                case("a flood of chunk extensions", ALL)
                    .answers(|_| vec![say(format!("{CHUNKED}2;")), Act::Flood(vec![b'x'; 8192])])
                    .fails(Malformed),
                case("chunks without an end", ALL)
                    .says(|_| format!("{CHUNKED}2\r\n{{}}\r\n").into_bytes())
                    .fails(Malformed),
                case("garbage", ALL).says(|_| b"\xde\xad\xbe\xef\r\n\r\n".to_vec()).fails(Malformed),
            ],
        ),
    ]
}

fn lengths() -> Vec<Row> {
    let stated = |name: &'static str, more: &'static str| {
        case(name, ALL)
            .says(move |api| {
                let good = String::from_utf8(api.good(SECOND).bytes()).unwrap();
                good.replacen("\r\n\r\n", &format!("\r\n{more}\r\n\r\n"), 1).into_bytes()
            })
            .fails(Malformed)
    };
    vec![
        row(
            "H09",
            [case("a body shorter than its length", ALL)
                .says(|api| cut(api, |good| format!("{}content-length: {}\r\n", good.head(), good.body().len())))
                .fails(Malformed)],
        ),
        row(
            "H10",
            [
                case("half a body to the end", UNSIGNED).says(|api| cut(api, Message::head)).fails(Malformed),
                case("half a signed body to the end", &[Api::PayBy])
                    .says(|api| cut(api, Message::head))
                    .fails(Integrity),
                case("a whole body to the end", ALL).says(|api| api.good(SECOND).to_the_end()),
            ],
        )
        .note("to HTTP such a body is whole; a signature that does not fit it is `integrity`, whatever the body says"),
        row(
            "H11",
            [
                stated("two lengths that differ", "content-length: 3"),
                case("two lengths that agree", ALL)
                    .says(|api| {
                        let good = api.good(SECOND);
                        good.clone().header("content-length", good.body().len().to_string()).bytes()
                    })
                    .fails(Malformed),
                stated("a length and chunks", "transfer-encoding: chunked"),
                case("a length and chunks, each of which fits", ALL)
                    .says(|api| {
                        let good = api.good(SECOND);
                        let (head, length) = (good.head(), good.body().len());
                        let head = format!("{head}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n");
                        let chunk = format!("{length:x}\r\n");
                        [head.as_bytes(), chunk.as_bytes(), good.body(), b"\r\n0\r\n\r\n"].concat()
                    })
                    .fails(Malformed),
            ],
        ),
        row(
            "H12",
            [case("a second reply behind the first", ALL)
                .says(|api| [api.good(SECOND).bytes(), api.good("666").bytes()].concat())],
        ),
    ]
}

fn pages() -> Vec<Row> {
    let html = "<!DOCTYPE html><html><body>Sign in to the network</body></html>";
    let as_page = |api: Api| api.good(SECOND).without("content-type").header("content-type", "text/html");
    vec![
        row(
            "H13",
            [
                case("a good answer that calls itself a page", ALL)
                    .says(move |api| as_page(api).bytes())
                    .fails(Malformed),
                case("a page", ALL)
                    .says(move |api| {
                        api.says(html)
                            .without("content-type")
                            .header("content-type", "text/html; charset=utf-8")
                            .bytes()
                    })
                    .fails(Malformed),
                case("a page that calls itself JSON", ALL).says(move |api| api.says(html).bytes()).fails(Malformed),
            ],
        ),
        row(
            "H14",
            [
                case("200 without a body", ALL).says(|api| api.says("").bytes()).fails(Malformed),
                case("204", ALL).says(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).fails(Malformed),
                case("206 with a good body", ALL).says(|api| api.good(SECOND).status(206).bytes()).fails(Malformed),
                case("201 with a good body", ALL).says(|api| api.good(SECOND).status(201).bytes()).fails(Malformed),
            ],
        ),
    ]
}

fn statuses() -> Vec<Row> {
    let redirect = |status: u16| {
        case(format!("{status} with a good body"), ALL)
            .says(move |api| api.good(SECOND).status(status).header("location", "https://other.test/").bytes())
            .fails(Redirect)
    };
    let each = |statuses: &[u16], reason| -> Vec<Case> {
        statuses.iter().map(|status| with_status(*status).fails(reason)).collect()
    };
    vec![
        row("H15", [301, 302, 303, 307, 308].map(redirect)),
        row(
            "H16",
            [300, 305]
                .map(redirect)
                .into_iter()
                .chain([case("304", ALL).says(|_| b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()).fails(Redirect)]),
        ),
        row("H17", each(&[400], Rejected)),
        row("H18", each(&[401], Auth).into_iter().map(Case::renews)),
        row("H19", each(&[403], Auth)),
        row("H20", each(&[404, 405, 406, 410, 415, 422], Rejected)),
        row("H21", each(&[407, 408, 421, 425], Unavailable)),
    ]
}

fn waits() -> Vec<Row> {
    let busy = |status: u16| with_status(status).fails(Unavailable);
    vec![
        row("H22", [throttled("30").waits(30)]),
        row(
            "H23",
            [
                throttled("Sat, 21 Nov 2020 12:00:00 GMT").waits(0),
                throttled("Sat, 21 Nov 2099 11:00:00 GMT").waits(3600),
                case("429, retry-after a date by a clock that is off", ALL)
                    .says(|_| {
                        let date = refusal(429).header("date", "Sat, 21 Nov 2099 12:00:00 GMT");
                        date.header("retry-after", "Sat, 21 Nov 2099 12:00:45 GMT").bytes()
                    })
                    .fails(RateLimited)
                    .waits(45),
            ],
        ),
        row(
            "H24",
            [
                throttled("999999999").waits(3600),
                throttled("-5"),
                throttled("soon"),
                throttled(&"9".repeat(10_000)),
                throttled(""),
            ],
        ),
        row("H25", [busy(500)]),
        row("H26", [busy(502), busy(504)]),
        row(
            "H27",
            [
                busy(503),
                case("503, retry-after 17", ALL)
                    .says(|_| refusal(503).header("retry-after", "17").bytes())
                    .fails(Unavailable)
                    .waits(17),
            ],
        ),
        row(
            "H28",
            [
                r#"{"fault":{"code":900800,"message":"Message Throttled Out","description":"94770000000"}}"#,
                "<amt:fault xmlns:amt=\"x\"><amt:code>900800</amt:code><amt:message>Message Throttled Out\
                 </amt:message></amt:fault>",
            ]
            .map(|body| {
                case("503 of a gateway that throttles", &[Api::Dialog])
                    .says(move |_| Message::new(503, body.as_bytes()).bytes())
                    .fails(RateLimited)
            }),
        ),
    ]
}

fn odd() -> Vec<Row> {
    vec![
        row(
            "H29",
            [
                line("HTTP/1.1 999 Odd"),
                line("HTTP/1.1 000 Zero"),
                line("HTTP/1.1 0 Zero"),
                line("HTTP/1.1 1000 High"),
                line("HTTP/3.0 200 OK"),
                line("SSH-2.0-x"),
                case("HTTP/0.9", ALL).says(|api| api.good(SECOND).body().to_vec()).fails(Malformed),
                case("a switch of protocols", ALL)
                    .says(|_| b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n{}".to_vec())
                    .fails(Malformed),
            ],
        ),
        row(
            "H30",
            [case("closed at once in spite of keep-alive", ALL)
                .says(|api| api.good(SECOND).header("connection", "keep-alive").bytes())],
        ),
    ]
}
