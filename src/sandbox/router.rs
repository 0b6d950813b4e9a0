//! Which provider a request is for, and what it gets: an answer in that provider's words, or a fault that was asked
//! for.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::call::{Answer, Call, Refusal, json};
use super::fault::REDIRECTED;
use super::world::{Endpoint, World};
use super::{Api, bridge, control, dialog, payby, smilepayz};
use crate::clock::Now;

/// What happens to a request.
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Answer {
    let path = call.parts.uri.path();
    if path != REDIRECTED && path.starts_with(control::ROOT) {
        return Answer::Reply(control::answer(world, call));
    }
    let Some((api, endpoint)) = route(path) else {
        world.strays += 1;
        return Answer::Reply(json(StatusCode::NOT_FOUND, r#"{"message":"no provider has this path"}"#));
    };
    if !world.arrive(call.now, api, endpoint) {
        return Answer::Reply(throttled(world, api, call.now));
    }
    let verdict = match (api, endpoint) {
        (Api::Dialog, Endpoint::Token) => dialog::token(world, call),
        (Api::Dialog, Endpoint::Balance) => dialog::balance(world, call),
        (Api::PayBy, _) => payby::answer(world, call),
        (Api::Bridge, _) => bridge::answer(world, call),
        (Api::Smilepayz, _) => smilepayz::answer(world, call),
    };
    match verdict {
        Ok(granted) => match world.grant(call.now, api, endpoint, granted.account) {
            Some(fault) => fault.answer(api, &world.keys, granted.reply),
            None => Answer::Reply(granted.reply),
        },
        Err(Refusal { why, reply }) => {
            world.refuse(call.now, api, endpoint, why);
            Answer::Reply(*reply)
        }
    }
}

/// Which provider a path belongs to.
fn route(path: &str) -> Option<(Api, Endpoint)> {
    match path {
        dialog::TOKEN_PATH => Some((Api::Dialog, Endpoint::Token)),
        payby::PATH => Some((Api::PayBy, Endpoint::Balance)),
        bridge::PATH => Some((Api::Bridge, Endpoint::Balance)),
        smilepayz::PATH => Some((Api::Smilepayz, Endpoint::Balance)),
        path if path.starts_with(dialog::BALANCE_PATHS) => Some((Api::Dialog, Endpoint::Balance)),
        _ => None,
    }
}

fn throttled(world: &mut World, api: Api, now: Now) -> Response<Bytes> {
    match api {
        Api::Dialog => dialog::throttled(world),
        Api::PayBy => payby::throttled(world),
        Api::Bridge => bridge::throttled(),
        Api::Smilepayz => smilepayz::throttled(now),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;
    use crate::sandbox::throttle::Window;
    use crate::sandbox::trial::Trial;
    use crate::sandbox::world::Outcome;
    use crate::sandbox::{FaultFormat, Limits, Settings};

    fn good(api: Api, trial: &Trial) -> Request<String> {
        match api {
            Api::Dialog => dialog::tests::login("grant_type=password"),
            Api::PayBy => payby::tests::good(trial),
            Api::Bridge => bridge::tests::good(),
            Api::Smilepayz => smilepayz::tests::good(),
        }
    }

    #[test]
    fn over_the_limit_each_provider_says_so_in_its_own_words() {
        let one = || vec![Window::new(1, Duration::from_secs(60))];
        let limits = Limits { dialog: one(), payby: one(), bridge: one(), smilepayz: one() };
        let settings = Settings { limits, fault_format: FaultFormat::Xml, live: false, ..Settings::default() };
        for (api, status, code) in [
            (Api::Dialog, 503, "<amt:code>900800</amt:code>"),
            (Api::PayBy, 200, r#""code":"402","msg":"RATE_LIMIT_REJECT""#),
            (Api::Bridge, 429, r#""response_code":"429""#),
            (Api::Smilepayz, 429, r#""code":"429""#),
        ] {
            let mut trial = Trial::with(settings.clone());
            let first = good(api, &trial);
            assert!(!trial.said(first).1.contains(code));
            // a refused request counts, and so does one that was throttled
            for wait in [1, 59] {
                trial.pass(Duration::from_secs(wait));
                let next = good(api, &trial);
                let reply = trial.send(next);
                assert_eq!(reply.status(), status);
                assert!(crate::sandbox::trial::text(&reply).contains(code), "{reply:?}");
                assert!(!reply.headers().contains_key("sign"));
            }
            assert_eq!((trial.world.desk(api).requests, trial.world.desk(api).throttled), (3, 2));
            let outcomes: Vec<_> = trial.world.arrivals.iter().map(|arrival| arrival.outcome.clone()).collect();
            assert_eq!(outcomes[1..], [Outcome::Throttled, Outcome::Throttled]);
            assert_eq!(trial.world.arrivals[2].at, Duration::from_secs(60));
        }
    }

    #[test]
    fn faults_replace_the_right_answer_only() {
        let mut trial = Trial::new();
        let set = |trial: &mut Trial, body: &str| trial.control("PUT", "/accounts/bridge/gh-operations", body);
        for (fault, expected) in [("hang", "Never"), ("drop", "Close"), ("slow:3", "Late(3s"), ("redirect", "302")] {
            assert_eq!(set(&mut trial, &format!(r#"{{"fault":"{fault}"}}"#)), serde_json::json!({}));
            let answer = trial.answer(bridge::tests::good());
            assert!(format!("{answer:?}").contains(expected), "{answer:?}");
            assert_eq!(trial.world.accounts[6].reported.is_some(), fault.starts_with("slow"));
            trial.world.accounts[6].reported = None;
            let stranger = Request::post(bridge::PATH).body(String::new()).unwrap();
            assert_eq!(trial.said(stranger).0, 401);
        }
        set(&mut trial, r#"{"fault":null}"#);
        assert_eq!(trial.said(bridge::tests::good()).0, 200);
    }
}
