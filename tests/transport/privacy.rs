//! What leaves this machine, and to whom.

use std::process::Command;

use bytes::Bytes;
use http::Request;

use crate::server::{Act, Server};
use crate::{AMPLE, request, send, transport};
use balance_exporter::transport::Transport;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
/// Tells the child of the test below where the provider is.
const PROVIDER: &str = "TRANSPORT_TEST_PROVIDER";

/// What the server sees of a request: its lines, then its body.
async fn seen(build: impl FnOnce(&str) -> Request<Bytes>) -> (Vec<String>, Vec<u8>) {
    let server = Server::start(vec![Act::Read, Act::Say(OK.to_vec())]).await;
    let origin = format!("http://{}", server.address);
    transport().send(build(&origin), AMPLE).await.unwrap();
    let bytes = server.seen.requests().pop().unwrap();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap().replace(&server.address.to_string(), "HOST");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..].sort();
    (lines, bytes[head + 4..].to_vec())
}

/// Besides our own headers there are those that HTTP wants, a name for the provider's support to find us by, and
/// `accept`, without which some gateways refuse a request; a request that has its own `accept` keeps it.
#[tokio::test]
async fn a_request_arrives_as_it_is_and_little_is_added() {
    let agent = concat!("user-agent: balance-exporter/", env!("CARGO_PKG_VERSION"));
    let (lines, body) = seen(request).await;
    assert_eq!(
        lines,
        [
            "POST /canary-path?q=canary-query HTTP/1.1",
            "accept: */*",
            "authorization: canary-header",
            "content-length: 17",
            "content-type: application/json",
            "host: HOST",
            "sign: canary-sign",
            agent,
        ]
    );
    assert_eq!(body, b"{\"canary-body\":1}");

    let get = |origin: &str| {
        let uri = format!("{origin}/a%2Fb//c/tel%3A%2B94/.well?x=%7B%20&y=a+b&z='*~");
        Request::get(uri).header("accept", "application/json").body(Bytes::new()).unwrap()
    };
    let (lines, body) = seen(get).await;
    assert_eq!(
        lines,
        [
            "GET /a%2Fb//c/tel%3A%2B94/.well?x=%7B%20&y=a+b&z=%27*~ HTTP/1.1",
            "accept: application/json",
            "host: HOST",
            agent
        ]
    );
    assert!(body.is_empty());

    let all: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let (lines, body) = seen(|origin| Request::post(origin).body(Bytes::from(all.clone())).unwrap()).await;
    assert_eq!(lines[0], "POST / HTTP/1.1");
    assert_eq!(body, all);
}

/// Runs the test below in a process whose environment names proxies, since that is read once and by the process.
#[tokio::test]
async fn a_proxy_in_the_environment_is_ignored() {
    let proxy = Server::start(vec![Act::Read, Act::Say(OK.to_vec())]).await;
    let provider = Server::start(vec![Act::Read, Act::Say(OK.to_vec())]).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "privacy::sends_in_spite_of_proxies"]);
    child.env(PROVIDER, format!("http://{}", provider.address));
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        child.env(name, format!("http://{}", proxy.address));
        child.env(name.to_ascii_lowercase(), format!("http://{}", proxy.address));
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(provider.seen.requests().len(), 1);
    assert_eq!(proxy.seen.connections(), 0);
}

#[tokio::test]
#[ignore = "run by the test above, in an environment that names proxies"]
#[expect(clippy::disallowed_methods, reason = "the parent says by the environment where to send")]
async fn sends_in_spite_of_proxies() {
    let origin = std::env::var(PROVIDER).unwrap();
    send(&transport(), &origin, AMPLE).await.unwrap();
}
