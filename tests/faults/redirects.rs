//! Redirects: five codes, six targets, four APIs; nobody is asked but the one that is configured.

use balance_exporter::failure::ErrorReason::Redirect;

use crate::api::{ALL, SECOND};
use crate::scene::World;
use crate::server::{Behaviour, Server, say};
use crate::table::case;

const CODES: [u16; 5] = [301, 302, 303, 307, 308];
const TARGETS: [&str; 6] = [
    "https://SAME:TLS/path",
    "https://other.provider.test:TLS/path",
    "http://127.0.0.1:PLAIN/path",
    "https://user:password@other.provider.test:TLS/path",
    "//other.provider.test:TLS/path",
    "data:application/json,{}",
];

#[tokio::test]
async fn no_redirect_is_followed() {
    let world = World::new(false);
    let mut tried = 0;
    for api in ALL.iter().copied() {
        // both would answer well
        let tls = Some(world.certificates.good());
        let elsewhere = Server::start(Behaviour { tls, ..Behaviour::good(api, SECOND) }).await;
        let plain = Server::start(Behaviour::good(api, SECOND)).await;
        let (elsewhere_port, plain_port) = (elsewhere.address.port().to_string(), plain.address.port().to_string());
        for code in CODES {
            for target in TARGETS {
                let location = target.replace("TLS", &elsewhere_port).replace("PLAIN", &plain_port);
                let redirected =
                    case(format!("{code} to {target}"), ALL).tls().fails(Redirect).does(move |place, behaviour| {
                        let location = location.replace("SAME", place.host);
                        // a body that would do, so that nothing but the status is in its way
                        let reply = place.api.good(SECOND).status(code).header("location", location);
                        behaviour.answering(vec![say(reply.bytes())])
                    });
                redirected.run(&world, api).await.unwrap_or_else(|why| panic!("{api:?}: {code} to {target}: {why}"));
                tried += 1;
            }
        }
        assert_eq!((elsewhere.seen.connections(), plain.seen.connections()), (0, 0), "{api:?}");
    }
    assert_eq!(tried, 120);
}
