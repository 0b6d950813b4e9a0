//! O: what a token endpoint can do.

use balance_exporter::failure::ErrorReason::{self, Auth, Connect, Malformed, Redirect, Schema, Timeout, Unavailable};

use crate::api::Api::{self, Dialog};
use crate::api::{Message, SECOND, echo, token, token_for};
use crate::scene::Setting;
use crate::server::{Act, Behaviour, say};
use crate::table::{Case, Row, case, left_out, row};
use crate::ways;

const ONLY: &[Api] = &[Dialog];
const PASSWORD: &str = "login: { grant: password, client_id: canary-id, client_secret: { env: CLIENT_SECRET }, username: u, password: { env: USER_PASSWORD } }";
const REFRESH: &str = "login: { grant: refresh_token, client_id: canary-id, client_secret: { env: CLIENT_SECRET }, refresh_token: { env: REFRESH_TOKEN } }";

/// The session is over, and each login is answered like this.
fn login(name: &str, acts: Vec<Act>) -> Case {
    case(name, ONLY).brief().does(move |_, behaviour| behaviour.logging_in(acts.clone())).sends(0, 1)
}

fn refused(name: &str, status: u16, error: &str) -> Message {
    let told = format!(r#"{{"error":"{error}","error_description":"{} {name}","password":"{}"}}"#, echo(), echo());
    Message::new(status, told.as_bytes()).header("x-echo", echo())
}

fn refusal(error: &str, status: u16) -> Case {
    login(error, vec![say(refused(error, status, error).bytes())]).fails(Auth)
}

/// A token with these members, and then the balance.
fn granted(name: &str, members: &str) -> Case {
    login(name, vec![say(token(members).bytes())])
}

/// Logs in with this grant, whose first session brings a refresh token; then each login gets the next answer.
fn with_grant(name: &str, grant: &'static str, logins: Vec<Message>) -> Case {
    case(name, ONLY).brief().set(move |_, _| Setting { other_keys: Some(grant), ..Setting::default() }).does(
        move |_, behaviour| Behaviour {
            logins: logins.iter().map(|message| vec![say(message.bytes())]).collect(),
            ..behaviour
        },
    )
}

/// The first inquiry is answered by a fault of the gateway, the others are not.
fn over_once(name: &str, fault: &'static str) -> Case {
    case(name, ONLY)
        .does(move |_, behaviour| {
            let fault = vec![say(Message::new(401, fault.as_bytes()).bytes())];
            let good = behaviour.inquiries[0].clone();
            Behaviour { inquiries: vec![fault, good], ..behaviour }
        })
        .sends(2, 1)
}

fn over_always(name: &str, fault: &'static str) -> Case {
    case(name, ONLY).says(move |_| Message::new(401, fault.as_bytes()).bytes()).fails(Auth).sends(2, 1)
}

pub(crate) fn rows() -> Vec<Row> {
    [endings(), grants(), tokens()].into_iter().flatten().collect()
}

const EXPIRED: &str =
    "<ams:fault xmlns:ams=\"x\"><ams:code>900903</ams:code><ams:message>94770000000</ams:message></ams:fault>";
const INACTIVE: &str = r#"{"fault":{"code":900904,"message":"Access Token Inactive canary-token"}}"#;
const INVALID: &str = r#"{"fault":{"code":900901,"message":"Invalid Credentials canary-token"}}"#;

fn endings() -> Vec<Row> {
    let status = |status: u16, reason: ErrorReason| {
        login(&format!("status {status}"), vec![say(refused("x", status, "weird").bytes())]).fails(reason)
    };
    vec![
        row("O01", [status(500, Unavailable), status(502, Unavailable), status(503, Unavailable)]),
        row(
            "O14",
            [
                login("silence", vec![Act::Wait]).fails(Timeout).hurried(),
                login("reset", vec![Act::Reset]).fails(Connect),
                login("closed", Vec::new()).fails(Connect),
                login("garbage", vec![say(b"\xde\xad\xbe\xef\r\n\r\n".to_vec())]).fails(Malformed),
                login("a page", vec![say(Message::new(200, b"<html>").bytes())]).fails(Malformed),
                login(
                    "a redirect",
                    vec![say(token_for(60).status(307).header("location", "https://other.test/").bytes())],
                )
                .fails(Redirect),
            ],
        ),
        row("O02", [over_once("expired, once", EXPIRED), over_always("expired, always", EXPIRED)]),
        row(
            "O03",
            [
                over_once("inactive, once", INACTIVE),
                over_once("invalid, once", INVALID),
                over_always("inactive, always", INACTIVE),
                over_always("invalid, always", INVALID),
            ],
        ),
        left_out("O08", "it takes a process that is killed: the end-to-end tests kill one around its refreshes"),
        row("O09", []).shown("a hundred accounts and one session that is over", ONLY, |world, api| {
            Box::pin(async move { ways::one_login_for_all(&world, api).await })
        }),
    ]
}

fn grants() -> Vec<Row> {
    let spent = || refused("spent", 400, "invalid_grant");
    vec![
        row(
            "O06",
            [
                with_grant("a spent refresh token, and the password", PASSWORD, vec![spent(), token_for(60)])
                    .sends(1, 2),
                with_grant("a spent refresh token, and a refused password", PASSWORD, vec![spent(), spent()])
                    .fails(Auth)
                    .sends(0, 2),
                with_grant("a refresh token that is good", PASSWORD, vec![token_for(60)]).sends(1, 1),
            ],
        ),
        row(
            "O07",
            [refusal("invalid_client", 401), refusal("unauthorized_client", 400), refusal("never_heard_of", 400)],
        ),
        row(
            "O11",
            [
                // what the session could be refreshed with is refused, and then the configured grant
                refusal("invalid_grant", 400).sends(0, 2),
                login("a secret for an error", vec![say(refused("x", 400, "canary-client-secret").bytes())])
                    .fails(Auth),
                granted("a secret for a type", r#""token_type":"canary-client-secret","access_token":"canary-token""#)
                    .fails(Schema),
            ],
        ),
        row(
            "O13",
            [with_grant("a refresh token that somebody else has spent", REFRESH, vec![spent(), spent()])
                .fails(Auth)
                .sends(0, 2)],
        )
        .note("nothing is shared between daemons: the one that comes second is refused, and says so"),
    ]
}

fn tokens() -> Vec<Row> {
    let lasting = |expires_in: &str, seconds: u64| {
        let members = format!(r#""token_type":"bearer","access_token":"canary-token"{expires_in}"#);
        granted(&format!("a token{expires_in}"), &members).reads(SECOND).sends(1, 1).lasts(seconds)
    };
    let odd = |name: &str, text: &str| {
        granted(name, &format!(r#""token_type":"bearer","expires_in":60,"access_token":"{text}""#)).fails(Schema)
    };
    vec![
        row("O04", [odd("an empty token", ""), granted("no token", r#""token_type":"bearer""#).fails(Schema)]),
        row(
            "O05",
            [
                lasting(r#","expires_in":0"#, 30),
                lasting(r#","expires_in":-5"#, 30),
                lasting(r#","expires_in":1e12"#, 86_400),
                lasting(r#","expires_in":"3600""#, 3600),
                lasting(r#","expires_in":null"#, 300),
                lasting("", 300),
            ],
        ),
        row(
            "O10",
            [
                odd("a token of two lines", "a\\r\\nx-evil: 1"),
                odd("a token with a space", "a b"),
                odd("a token beyond ASCII", "\u{e9}"),
                odd("a token with a NUL", "a\\u0000"),
                odd("a token of more than 4 KiB", &"x".repeat(4097)),
            ],
        ),
        row(
            "O12",
            [
                granted("a token of type mac", r#""token_type":"mac","access_token":"canary-token""#).fails(Schema),
                granted("a token of no type", r#""access_token":"canary-token""#).fails(Schema),
            ],
        ),
    ]
}
