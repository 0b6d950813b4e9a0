//! Getting to the server, or not.

use std::time::Duration;

use balance_exporter::failure::ErrorReason;
use balance_exporter::transport::Settings;
use tokio::net::TcpSocket;

use crate::server::{Act, Server};
use crate::{AMPLE, give_up_at, send, transport, transport_with};

#[tokio::test]
async fn a_closed_port_is_connect() {
    // taken, so that no other test listens there
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port();
    for origin in
        [format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{port}"), format!("http://localhost:{port}")]
    {
        let failure = send(&transport(), &origin, AMPLE).await.unwrap_err();
        assert_eq!(failure.reason, ErrorReason::Connect, "{origin}: {failure:?}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_dns() {
    // where there is no resolver at all, the limit makes it so
    let transport = transport_with(Settings { connect_timeout: Duration::from_secs(2), ..Settings::default() });
    for origin in ["http://no-such-name.invalid", "https://no-such-name.invalid"] {
        let failure = send(&transport, origin, AMPLE).await.unwrap_err();
        assert_eq!(failure.reason, ErrorReason::Dns, "{origin}: {failure:?}");
    }
}

#[tokio::test]
async fn a_name_with_an_address_is_reached() {
    let server =
        Server::start(vec![Act::Read, Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec())]).await;
    // the name may have an address of the other family first, where nobody listens
    let reply = send(&transport(), &format!("http://localhost:{}", server.address.port()), AMPLE).await.unwrap();
    assert_eq!(reply.body().len(), 2);
    server.ended().await;
    assert_eq!(server.seen.requests().len(), 1);
}

#[tokio::test]
async fn a_reset_at_any_moment_is_connect() {
    let transport = transport();
    for _ in 0..100 {
        let server = Server::start(vec![Act::Reset]).await;
        let failure = send(&transport, &format!("http://{}", server.address), AMPLE).await.unwrap_err();
        assert_eq!(failure.reason, ErrorReason::Connect, "{failure:?}");
        assert_eq!(server.seen.connections(), 1);
        assert_eq!(server.seen.requests().len(), 0);
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_no_connection_behind() {
    let transport = transport();
    let server = Server::start(vec![Act::Read, Act::Wait]).await;
    let origin = format!("http://{}", server.address);
    give_up_at(&transport, &origin, &server, 1).await;
    server.ended().await;
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_thousand_requests_are_a_thousand_connections() {
    let transport = transport();
    // closing right after the answer is what trips up those who use a connection twice
    let server =
        Server::start(vec![Act::Read, Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec())]).await;
    let origin = format!("http://{}", server.address);
    for _ in 0..1000 {
        send(&transport, &origin, AMPLE).await.unwrap();
    }
    assert_eq!(server.seen.connections(), 1000);
    assert_eq!(server.seen.requests().len(), 1000);
}
