//! P: names, connections, TLS, proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use balance_exporter::failure::ErrorReason::{Connect, Dns, Malformed, Tls};
use tokio::net::TcpSocket;

use crate::api::{ALL, SECOND};
use crate::certificates::Flaw;
use crate::scene::{Answer, Setting};
use crate::server::{Act, Behaviour, say};
use crate::table::{Case, Place, Row, case, row};
use crate::ways;

/// This machine as well, where nobody listens.
const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// This machine as well, where somebody listens and nobody answers.
const FULL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Nobody has a connection with many.
const MANY: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1));

/// What the resolver says of the provider from the second poll on.
fn named(name: &str, answer: Answer) -> Case {
    case(name, ALL)
        .tls()
        .does(move |place, behaviour| {
            place.world.names.answer(place.host, answer.clone());
            behaviour
        })
        .sends(0, 0)
}

fn to(name: &str, addresses: &[IpAddr]) -> Case {
    named(name, Answer::Addresses(addresses.to_vec()))
}

/// A certificate that is not as it should be.
fn flawed(name: &str, flaw: Flaw) -> Case {
    case(name, ALL)
        .tls()
        .does(move |place, behaviour| Behaviour { tls: Some(place.world.certificates.flawed(flaw)), ..behaviour })
        .fails(Tls)
        .sends(0, 0)
}

/// What is not TLS, from the first byte.
fn greeted(name: &str, acts: Vec<Act>) -> Case {
    case(name, ALL).tls().does(move |_, behaviour| behaviour.greeting(acts.clone())).fails(Tls).sends(0, 0)
}

/// The same without TLS.
fn plainly(name: &str, acts: Vec<Act>) -> Case {
    case(name, ALL).does(move |_, behaviour| behaviour.greeting(acts.clone())).fails(Connect).sends(0, 0)
}

/// Cuts off a session in the middle of a good answer.
fn cut(name: &str, bytes: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Case {
    case(name, ALL).tls().answers(move |api| vec![say(bytes(api.good(SECOND).to_the_end())), Act::Cut]).fails(Malformed)
}

/// A listener whose queue is full: the system drops whoever comes next without a word.
fn fill(place: &Place<'_>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((FULL, place.address.port()))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let callers: Vec<_> =
        (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()).collect();
    assert!(callers.len() < 8, "the queue of a listener is never full on this system");
    place.world.keep((listener, callers));
}

/// A hello of a server that speaks no version of ours, or no suite.
fn hello(version: u8, suite: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![0x16, 3, version, 0, 0x2a, 2, 0, 0, 0x26, 3, version];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(suite);
    hello.push(0);
    hello
}

pub(crate) fn rows() -> Vec<Row> {
    [names(), connections(), handshakes(), proxies()].into_iter().flatten().collect()
}

fn names() -> Vec<Row> {
    vec![
        row(
            "P01",
            [
                named("no such name", Answer::Failure).fails(Dns),
                named("a name without an address", Answer::Addresses(Vec::new())).fails(Dns),
            ],
        ),
        row("P02", [named("a resolver that is silent", Answer::Silence).fails(Dns).hurried()]),
        row(
            "P03",
            [
                to(
                    "an address of this machine, and the provider's own certificate",
                    &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
                )
                .sends(1, 0),
                case("an address of this machine, and a stranger's certificate", ALL)
                    .tls()
                    .does(|place, behaviour| Behaviour {
                        tls: Some(place.world.certificates.flawed(Flaw::AnotherName)),
                        ..behaviour
                    })
                    .fails(Tls)
                    .sends(0, 0),
            ],
        )
        .shown("a `localhost` that is elsewhere", ALL, |world, api| {
            Box::pin(async move { ways::localhost_stays_here(&world, api).await })
        })
        .note(
            "private addresses are not refused: who answers there has to prove itself by its certificate all the same, \
             and providers are rightly reached that way over leased lines. http has no such proof, so `localhost` is \
             taken for this machine's own addresses only",
        ),
        row("P04", [to("a dead address before a good one", &[DEAD, IpAddr::V4(Ipv4Addr::LOCALHOST)]).sends(1, 0)]),
    ]
}

fn connections() -> Vec<Row> {
    vec![
        row("P05", [to("refused", &[DEAD]).fails(Connect)]),
        row(
            "P06",
            [case("no answer to the call", ALL)
                .tls()
                .does(|place, behaviour| {
                    fill(place);
                    place.world.names.answer(place.host, Answer::Addresses(vec![FULL.into()]));
                    behaviour
                })
                .fails(Connect)
                .sends(0, 0)
                .hurried()],
        ),
        row(
            "P07",
            [
                plainly("reset at once", vec![Act::Reset]),
                case("closed instead of an answer", ALL).answers(|_| Vec::new()).fails(Connect),
                case("closed within the head of an answer", ALL)
                    .says(|_| b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())
                    .fails(Connect),
                case("reset instead of an answer", ALL).answers(|_| vec![Act::Reset]).fails(Connect),
                greeted("reset in the handshake", vec![Act::Reset]).fails(Connect),
                greeted("closed in the handshake", Vec::new()).fails(Connect),
                greeted("closed within a hello", vec![say(&hello(3, [0, 0x2f])[..20])]).fails(Connect),
            ],
        )
        .note(
            "a connection that the peer ends before the head of an answer is whole is `connect`, whether by a close or by \
             a reset, in a handshake or behind it: which of these is seen depends on what the peer had read and on which \
             packet came first, and whoever is turned away has to look at the same things",
        ),
        row("P08", [to("no route", &[MANY]).fails(Connect)]),
    ]
}

fn handshakes() -> Vec<Row> {
    vec![
        row("P09", [flawed("expired", Flaw::Expired), flawed("not valid yet", Flaw::NotYetValid)]),
        row(
            "P10",
            [
                flawed("for another name", Flaw::AnotherName),
                flawed("with a name in the subject only", Flaw::SubjectOnly),
            ],
        ),
        row(
            "P11",
            [
                flawed("self-signed", Flaw::SelfSigned),
                flawed("by an unknown authority", Flaw::UnknownAuthority),
                flawed("without the one between", Flaw::IntermediateMissing),
                flawed("for clients only", Flaw::ForClients),
            ],
        ),
        row(
            "P12",
            [
                greeted("TLS 1.1", vec![say(hello(2, [0, 0x2f])), Act::Wait]),
                greeted("TLS 1.0", vec![say(hello(1, [0, 0x2f])), Act::Wait]),
                greeted("a suite that was not offered", vec![say(hello(3, [0, 0x2f])), Act::Wait]),
                greeted("no suite in common", vec![say(b"\x15\x03\x03\x00\x02\x02\x28"), Act::Wait]),
            ],
        ),
        row("P13", [greeted("a handshake that stalls", vec![Act::Wait]).hurried()]),
        row(
            "P14",
            [
                greeted("plain HTTP", vec![say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), Act::Wait]),
                greeted("garbage", vec![say(b"\xde\xad\xbe\xef\x00\x00\x00\x00"), Act::Wait]),
            ],
        ),
        row(
            "P15",
            [case("another authority than the one that is pinned", ALL)
                .set(|world, _| Setting {
                    tls: true,
                    provider_keys: "tls: { ca: { env: PIN } }".to_owned(),
                    secrets: [("PIN".to_owned(), world.certificates.other_pem())].into(),
                    ..Setting::default()
                })
                .first(|place, behaviour| Behaviour { tls: Some(place.world.certificates.by_the_other()), ..behaviour })
                .fails(Tls)
                .sends(0, 0)],
        ),
        row(
            "P16",
            [
                cut("cut off behind a whole answer whose length is not told", |good| good),
                cut("cut off within an answer whose length is told", |good| {
                    let text = String::from_utf8(good).unwrap();
                    text.replacen("\r\n\r\n", "\r\ncontent-length: 60000\r\n\r\n", 1).into_bytes()
                }),
            ],
        ),
    ]
}

fn proxies() -> Vec<Row> {
    vec![
        row("P17", []).shown("proxies in the environment", ALL, |_, api| {
            Box::pin(async move { ways::environment_is_ignored(api).await })
        }),
        row("P18", [])
            .shown("a proxy that refuses with 407", ALL, |world, api| {
                Box::pin(async move { ways::proxy_refuses(&world, api, "407 Proxy Authentication Required").await })
            })
            .shown("a proxy that refuses with 502", ALL, |world, api| {
                Box::pin(async move { ways::proxy_refuses(&world, api, "502 Bad Gateway").await })
            })
            .shown("a proxy that does not answer", ALL, |world, api| {
                Box::pin(async move { ways::proxy_stalls(&world, api).await })
            })
            .shown("a proxy that is not there", ALL, |world, api| {
                Box::pin(async move { ways::proxy_is_gone(&world, api).await })
            }),
    ]
}
