//! A world by hand: requests without a socket, and a clock that moves when told.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::call::{Answer, Call};
use super::keys::tests::KEYS;
use super::world::World;
use super::{Limits, Settings, router};
use crate::clock::{BootTime, Now};

/// A world at noon, without limits, whose balances stand still.
pub(super) struct Trial {
    pub(super) world: World,
    pub(super) now: Now,
}

impl Trial {
    pub(super) fn new() -> Self {
        let limits = Limits { dialog: Vec::new(), payby: Vec::new(), bridge: Vec::new(), smilepayz: Vec::new() };
        Self::with(Settings { live: false, limits, ..Settings::default() })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let boot = BootTime::from_boot(Duration::from_secs(1_000));
        let now = Now { boot, wall: "2026-11-21T12:00:00Z".parse().unwrap() };
        Self { world: World::new(settings, KEYS.clone(), boot), now }
    }

    pub(super) fn pass(&mut self, span: Duration) {
        self.now = Now { boot: self.now.boot + span, wall: self.now.wall.checked_add(span).unwrap() };
    }

    pub(super) fn answer(&mut self, request: Request<String>) -> Answer {
        let (parts, body) = request.into_parts();
        router::answer(&mut self.world, &Call { parts: &parts, body: body.as_bytes(), now: self.now })
    }

    pub(super) fn send(&mut self, request: Request<String>) -> Response<Bytes> {
        match self.answer(request) {
            Answer::Reply(reply) => reply,
            other @ (Answer::Late(..) | Answer::Never | Answer::Close) => panic!("not a plain reply: {other:?}"),
        }
    }

    /// Status and body.
    pub(super) fn said(&mut self, request: Request<String>) -> (u16, String) {
        let reply = self.send(request);
        (reply.status().as_u16(), text(&reply).to_owned())
    }

    pub(super) fn control(&mut self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let request = Request::builder().method(method).uri(format!("/-/sandbox{path}")).body(body.to_owned()).unwrap();
        serde_json::from_slice(self.send(request).body()).unwrap()
    }
}

pub(super) fn text(reply: &Response<Bytes>) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}

/// The same request with a header set, or taken away if the value is empty.
pub(super) fn header(mut request: Request<String>, name: &'static str, value: &str) -> Request<String> {
    request.headers_mut().remove(name);
    if !value.is_empty() {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}
