//! Dialog's gateway: a login that ends the one before, then the balance of a subscriber.

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use super::account::{Figures, Listing, Tariff};
use super::call::{Call, Granted, Refusal, Verdict, json, reply, with};
use super::token::{Issued, Standing};
use super::world::World;

/// The application's credentials.
pub(super) const CONSUMER_KEY: &str = "sandbox-consumer";
pub(super) const CONSUMER_SECRET: &str = "sandbox-consumer-secret-7d1f";
/// The portal user of the grant `password`.
pub(super) const USERNAME: &str = "sandbox-operator";
pub(super) const PASSWORD: &str = "sandbox:operator=password";

pub(super) const TOKEN_PATH: &str = "/apicall/token";
pub(super) const BALANCE_PATHS: &str = "/apicall/balancecheck/";
const VERSIONS: &[&str] = &["v3", "v3.1", "v4", "v4.2"];

/// POST /apicall/token.
pub(super) fn token(world: &mut World, call: &Call<'_>) -> Verdict {
    let bad = |why| oauth_error(StatusCode::BAD_REQUEST, "invalid_request", why);
    if call.parts.method != Method::POST {
        return Err(bad("token: not a POST"));
    }
    if call.parts.uri.query().is_some() {
        return Err(bad("token: something in the URL query"));
    }
    if !call.is("application/x-www-form-urlencoded") {
        return Err(bad("token: content type"));
    }
    let form: Vec<_> = url::form_urlencoded::parse(call.body).collect();
    let field = |name: &str| {
        let mut values = form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_ref());
        values.next().filter(|_| values.next().is_none())
    };
    let basic = call.basic();
    let basic = basic.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
    let application = Some((CONSUMER_KEY, CONSUMER_SECRET));
    let issued = match field("grant_type") {
        Some("client_credentials") => {
            if field("client_id").zip(field("client_secret")) != application {
                return Err(invalid_client());
            }
            world.tokens.issue(false, call.now.boot)
        }
        Some("password") => {
            if basic != application {
                return Err(invalid_client());
            }
            if field("username").zip(field("password")) != Some((USERNAME, PASSWORD)) {
                return Err(oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", "token: user or password"));
            }
            world.tokens.issue(true, call.now.boot)
        }
        Some("refresh_token") => {
            if basic != application {
                return Err(invalid_client());
            }
            let issued = field("refresh_token").and_then(|refresh| world.tokens.refresh(refresh, call.now.boot));
            issued.ok_or_else(|| {
                oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", "token: refresh token used before or unknown")
            })?
        }
        Some(_) => return Err(oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "token: grant type")),
        None => return Err(bad("token: no grant type, or several")),
    };
    Ok(Granted { account: None, reply: json(StatusCode::OK, token_body(&issued)) })
}

/// GET /apicall/balancecheck/{version}/{MSISDN}/transactions/amount/balance.
pub(super) fn balance(world: &mut World, call: &Call<'_>) -> Verdict {
    let path: Vec<_> = call.parts.uri.path().strip_prefix(BALANCE_PATHS).unwrap_or_default().split('/').collect();
    let (&Method::GET, [version, subscriber, "transactions", "amount", "balance"]) = (&call.parts.method, &path[..])
    else {
        return Err(refusal(world, StatusCode::NOT_FOUND, "900906", "balance: path or method"));
    };
    if !VERSIONS.contains(version) {
        return Err(refusal(world, StatusCode::NOT_FOUND, "900906", "balance: version"));
    }
    let standing = call
        .header(header::AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(|access| world.tokens.standing(access, call.now.boot));
    match standing {
        Some(Standing::Good) => {}
        Some(Standing::Expired) => {
            return Err(refusal(world, StatusCode::UNAUTHORIZED, "900903", "balance: token expired"));
        }
        Some(Standing::Replaced) => {
            return Err(refusal(world, StatusCode::UNAUTHORIZED, "900901", "balance: token replaced by a younger one"));
        }
        Some(Standing::Unknown) => {
            return Err(refusal(world, StatusCode::UNAUTHORIZED, "900904", "balance: token unknown"));
        }
        None => return Err(refusal(world, StatusCode::UNAUTHORIZED, "900902", "balance: no bearer token")),
    }
    if call.parts.uri.query().is_some() || !call.body.is_empty() {
        return Err(service_exception("balance: a query or a body"));
    }
    if !call.header(header::ACCEPT).is_some_and(|accept| accept.contains("application/json")) {
        return Err(service_exception("balance: does not accept JSON"));
    }
    let found = world.accounts.iter().enumerate().find_map(|(index, account)| match account.listing {
        Listing::Dialog { segment, encrypted, tariff } if segment == *subscriber => Some((index, encrypted, tariff)),
        Listing::Dialog { .. } | Listing::PayBy | Listing::Bridge { .. } | Listing::Smilepayz { .. } => None,
    });
    let Some((index, encrypted, tariff)) = found else {
        let plain = !subscriber.is_empty() && subscriber.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if plain { policy_exception() } else { service_exception("balance: form of the number") });
    };
    let figures = world.figures(index, call.now);
    let reference = world.next_reference();
    let number = if encrypted { "etel:9477" } else { subscriber };
    let body = balance_body(number, reference, tariff, figures.first());
    Ok(Granted { account: Some(index), reply: json(StatusCode::OK, body) })
}

/// The answer over the limit: 503, as Dialog documents it, with the gateway's own code.
pub(super) fn throttled(world: &mut World) -> Response<Bytes> {
    *refusal(world, StatusCode::SERVICE_UNAVAILABLE, "900800", "over the limit").reply
}

/// A refusal by the gateway, in the form whose turn it is.
fn refusal(world: &mut World, status: StatusCode, code: &str, why: &'static str) -> Refusal {
    Refusal::new(why, fault(status, code, world.takes_xml()))
}

fn fault(status: StatusCode, code: &str, xml: bool) -> Response<Bytes> {
    let message = match code {
        "900800" => "Too many requests in this period",
        "900906" => "There is no such resource",
        _ => "The token was not accepted",
    };
    if !xml {
        return json(status, format!(r#"{{"fault":{{"code":"{code}","message":"{message}","description":""}}}}"#));
    }
    let (prefix, space) = if code == "900800" { ("amt", "throttling") } else { ("ams", "security") };
    let body = format!(
        "<{prefix}:fault xmlns:{prefix}=\"http://wso2.org/apimanager/{space}\"><{prefix}:code>{code}</{prefix}:code>\
         <{prefix}:message>{message}</{prefix}:message><{prefix}:description></{prefix}:description></{prefix}:fault>"
    );
    reply(status, "application/xml; charset=UTF-8", body)
}

fn token_body(issued: &Issued) -> String {
    let refresh = issued.refresh.as_ref().map(|text| format!(r#""refresh_token":"{text}","#)).unwrap_or_default();
    format!(
        r#"{{"scope":"PRODUCTION","token_type":"bearer","expires_in":{},{refresh}"access_token":"{}"}}"#,
        issued.lifetime.as_secs(),
        issued.access
    )
}

fn balance_body(number: &str, reference: u64, tariff: Tariff, figures: Option<&Figures>) -> String {
    let text = |amount: Option<crate::money::Amount>| amount.unwrap_or(crate::money::Amount::ZERO).to_string();
    let tariff = match tariff {
        Tariff::Prepaid => "PREPAID",
        Tariff::Postpaid { .. } => "POSTPAID",
    };
    format!(
        r#"{{"endUserId":"{number}","referenceCode":"SBX-{reference}","accountInfo":{{"accountType":"{tariff}","accountStatus":"Active","creditLimit":{},"balance":{}}}}}"#,
        text(figures.and_then(|figures| figures.credit_limit)),
        text(figures.and_then(|figures| figures.amount)),
    )
}

fn invalid_client() -> Refusal {
    let Refusal { why, reply } = oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", "token: client credentials");
    Refusal::new(why, with(*reply, "www-authenticate", "Basic realm=\"sandbox\""))
}

fn oauth_error(status: StatusCode, error: &str, why: &'static str) -> Refusal {
    let body = format!(r#"{{"error":"{error}","error_description":"The sandbox refused the login."}}"#);
    Refusal::new(why, json(status, body))
}

fn service_exception(why: &'static str) -> Refusal {
    exception(why, "serviceException", "SVC0002", "Invalid input value for message part %1")
}

fn policy_exception() -> Refusal {
    exception("balance: unknown number", "policyException", "POL0001", "The number %1 is not open to this application")
}

fn exception(why: &'static str, kind: &str, id: &str, text: &str) -> Refusal {
    let body =
        format!(r#"{{"requestError":{{"{kind}":{{"messageId":"{id}","text":"{text}","variables":["address"]}}}}}}"#);
    Refusal::new(why, json(StatusCode::BAD_REQUEST, body))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use http::Request;
    use serde_json::Value;

    use super::*;
    use crate::sandbox::trial::{Trial, header, text};
    use crate::sandbox::{Api, FaultFormat, Settings};

    // sandbox-consumer:sandbox-consumer-secret-7d1f
    const BASIC: &str = "Basic c2FuZGJveC1jb25zdW1lcjpzYW5kYm94LWNvbnN1bWVyLXNlY3JldC03ZDFm";
    const CLIENT: &str =
        "grant_type=client_credentials&client_id=sandbox-consumer&client_secret=sandbox-consumer-secret-7d1f";
    const USER: &str =
        "grant_type=password&username=sandbox-operator&password=sandbox%3Aoperator%3Dpassword&scope=PRODUCTION";

    pub(in crate::sandbox) fn login(form: &str) -> Request<String> {
        let request = Request::post(TOKEN_PATH).header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(form.to_owned()).unwrap();
        if form.contains("client_id") { request } else { header(request, "authorization", BASIC) }
    }

    fn logged_in(trial: &mut Trial, form: &str) -> Value {
        let reply = trial.send(login(form));
        assert_eq!(reply.status(), 200, "{}", text(&reply));
        serde_json::from_slice(reply.body()).unwrap()
    }

    fn token(trial: &mut Trial) -> String {
        logged_in(trial, CLIENT)["access_token"].as_str().unwrap().to_owned()
    }

    fn asking(subscriber: &str, token: &str) -> Request<String> {
        Request::get(format!("{BALANCE_PATHS}v4/{subscriber}/transactions/amount/balance"))
            .header("accept", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(String::new())
            .unwrap()
    }

    #[test]
    fn prepaid_and_postpaid_subscribers_have_balances() {
        let mut trial = Trial::new();
        let token = token(&mut trial);
        for (name, segment, number, account) in [
            (
                "lk-reload-pool",
                "94770000101",
                "94770000101",
                r#""PREPAID","accountStatus":"Active","creditLimit":66.80,"balance":66.80"#,
            ),
            (
                "lk-field-line",
                "94770000103",
                "94770000103",
                r#""POSTPAID","accountStatus":"Active","creditLimit":15000.00,"balance":66.80"#,
            ),
            (
                "lk-wallet-app",
                "etel%3A9477-k7%252BQx%25A3m",
                "etel:9477",
                r#""PREPAID","accountStatus":"Active","creditLimit":66.80,"balance":66.80"#,
            ),
        ] {
            trial.control("PUT", &format!("/accounts/dialog/{name}"), r#"{"available":"66.80"}"#);
            let (status, body) = trial.said(asking(segment, &token));
            assert_eq!(status, 200, "{body}");
            assert!(body.starts_with(&format!(r#"{{"endUserId":"{number}","#)) && body.contains(account), "{body}");
        }
    }

    #[test]
    fn the_three_grants() {
        let mut trial = Trial::new();
        assert_eq!(logged_in(&mut trial, CLIENT)["refresh_token"], Value::Null);
        let first = logged_in(&mut trial, USER);
        assert_eq!((first["token_type"].as_str(), first["expires_in"].as_u64()), (Some("bearer"), Some(3600)));
        let refresh = format!("grant_type=refresh_token&refresh_token={}", first["refresh_token"].as_str().unwrap());
        let second = logged_in(&mut trial, &refresh);
        assert_ne!(second["refresh_token"], first["refresh_token"]);
        assert_ne!(second["access_token"], first["access_token"]);
        let (status, body) = trial.said(login(&refresh));
        assert!(status == 400 && body.contains(r#""error":"invalid_grant""#), "{body}");
    }

    #[test]
    fn each_broken_rule_of_the_login_has_its_answer() {
        let mut trial = Trial::new();
        let mut in_query = login("");
        *in_query.uri_mut() = format!("{TOKEN_PATH}?{USER}").parse().unwrap();
        let mut get = login(CLIENT);
        *get.method_mut() = Method::GET;
        for (request, status, error) in [
            (in_query, 400, "invalid_request"),
            (get, 400, "invalid_request"),
            (header(login(CLIENT), "content-type", "application/json"), 400, "invalid_request"),
            (login(""), 400, "invalid_request"),
            (login("grant_type=password&grant_type=password"), 400, "invalid_request"),
            (login("grant_type=authorization_code"), 400, "unsupported_grant_type"),
            (login(&CLIENT.replace("7d1f", "0000")), 401, "invalid_client"),
            (header(login("grant_type=client_credentials"), "authorization", BASIC), 401, "invalid_client"),
            (header(login(USER), "authorization", ""), 401, "invalid_client"),
            (header(login("grant_type=refresh_token&refresh_token=x"), "authorization", ""), 401, "invalid_client"),
            (login(&USER.replace("operator&", "stranger&")), 400, "invalid_grant"),
            (login("grant_type=refresh_token&refresh_token=x"), 400, "invalid_grant"),
        ] {
            let shown = format!("{request:?}");
            let (answered, body) = trial.said(request);
            assert_eq!(answered, status, "{shown}");
            assert!(body.contains(&format!(r#""error":"{error}""#)), "{shown}: {body}");
        }
        assert_eq!(trial.world.desk(Api::Dialog).violations.values().sum::<u64>(), 12);
    }

    #[test]
    fn tokens_expire_and_die_on_renewal() {
        let limits = crate::sandbox::Limits { dialog: Vec::new(), ..Default::default() };
        let lifetime = Duration::from_secs(60);
        let mut trial = Trial::with(Settings { token_lifetime: lifetime, limits, ..Settings::default() });
        let fault = |trial: &mut Trial, request| {
            let (status, body) = trial.said(request);
            let code = body.split("90090").nth(1).map(|rest| rest[..1].to_owned());
            (status, code)
        };
        let first = token(&mut trial);
        trial.pass(Duration::from_secs(59));
        assert_eq!(fault(&mut trial, asking("94770000101", &first)), (200, None));
        trial.pass(Duration::from_secs(1));
        assert_eq!(fault(&mut trial, asking("94770000101", &first)), (401, Some("3".to_owned())));
        let second = token(&mut trial);
        assert_eq!(fault(&mut trial, asking("94770000101", &first)), (401, Some("1".to_owned())));
        assert_eq!(fault(&mut trial, asking("94770000101", "unheard-of")), (401, Some("4".to_owned())));
        let without = header(asking("94770000101", &second), "authorization", "");
        assert_eq!(fault(&mut trial, without), (401, Some("2".to_owned())));
        trial.control("POST", "/tokens/expire", "");
        assert_eq!(fault(&mut trial, asking("94770000101", &second)), (401, Some("3".to_owned())));
    }

    #[test]
    fn each_broken_rule_of_the_balance_has_its_answer() {
        let mut trial = Trial::new();
        let token = token(&mut trial);
        let versioned = |version: &str| {
            let mut request = asking("94770000101", &token);
            *request.uri_mut() = request.uri().to_string().replace("/v4/", version).parse().unwrap();
            request
        };
        for (request, status, expected) in [
            (asking("94770000999", &token), 400, r#""policyException":{"messageId":"POL"#),
            (asking("+94770000101", &token), 400, r#""serviceException":{"messageId":"SVC0002""#),
            (asking("tel:+94770000101", &token), 400, "SVC0002"),
            (asking("tel%3A%2B94770000101", &token), 400, "SVC0002"),
            (asking("", &token), 400, "SVC0002"),
            (header(asking("94770000101", &token), "accept", ""), 400, "SVC0002"),
            (versioned("/v9/"), 404, "900906"),
            (versioned("/"), 404, "900906"),
        ] {
            let shown = request.uri().to_string();
            let (answered, body) = trial.said(request);
            assert_eq!(answered, status, "{shown}: {body}");
            assert!(body.contains(expected), "{shown}: {body}");
        }
    }

    #[test]
    fn faults_come_in_the_form_that_is_asked_for() {
        for (format, first, second) in [
            (FaultFormat::Json, "{\"fault\"", "{\"fault\""),
            (FaultFormat::Xml, "<ams:fault", "<ams:fault"),
            (FaultFormat::Alternating, "{\"fault\"", "<ams:fault"),
        ] {
            let mut trial = Trial::with(Settings { fault_format: format, ..Settings::default() });
            for expected in [first, second] {
                let (_, body) = trial.said(asking("94770000101", "unheard-of"));
                assert!(body.starts_with(expected) && body.contains("900904"), "{format:?}: {body}");
            }
        }
    }
}
