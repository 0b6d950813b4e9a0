//! The JSON beside the page: what it says is what its description says.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;
use crate::account::AccountId;
use crate::schedule::{Cause, NotNow};

/// Decides about polls as it is told, and remembers who was asked for.
#[derive(Debug, Default)]
struct Scripted {
    outcomes: Mutex<VecDeque<Result<(), NotNow>>>,
    asked: Mutex<Vec<String>>,
}

impl Prompter for Scripted {
    fn prompt(&self, id: AccountId) -> Prompting<'_> {
        self.asked.lock().unwrap().push(id.to_string());
        let outcome = self.outcomes.lock().unwrap().pop_front().expect("nobody else may be asked for");
        Box::pin(async move { outcome })
    }
}

fn prompted(outcomes: impl IntoIterator<Item = Result<(), NotNow>>) -> (Handle, Arc<Scripted>) {
    let prompter = Arc::new(Scripted { outcomes: Mutex::new(outcomes.into_iter().collect()), ..Scripted::default() });
    (serve(state().with_prompter(Some(prompter.clone())), Limits::default()), prompter)
}

/// What is wrong with a value by a schema of the description. It knows the words that occur there, and no others.
fn wrong(schema: &Value, value: &Value, whole: &Value, at: &str) -> Option<String> {
    if let Some(pointer) = schema["$ref"].as_str() {
        let schema = whole.pointer(pointer.strip_prefix('#').unwrap()).expect("what is referred to");
        return wrong(schema, value, whole, at);
    }
    for (word, _) in schema.as_object().expect("a schema") {
        let known = "type properties required additionalProperties items enum const anyOf oneOf format description minimum maximum";
        assert!(known.split(' ').any(|known| known == word), "{at}: {word} is not understood");
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[word].as_array() {
            let fits = choices.iter().any(|choice| wrong(choice, value, whole, at).is_none());
            return (!fits).then(|| format!("{at}: none of the choices: {value}"));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{at}: {value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return Some(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |name: &Value| name == kind || (name == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Array(names) => names.iter().any(is),
        Value::Null => true,
        name @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => is(name),
    };
    if !fits {
        return Some(format!("{at}: {value} is not of type {}", schema["type"]));
    }
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str())
        && text.parse::<jiff::Timestamp>().is_err()
    {
        return Some(format!("{at}: {text} is no time"));
    }
    match value {
        Value::Array(entries) if schema["items"].is_object() => {
            let mut each = entries.iter().enumerate();
            each.find_map(|(place, entry)| wrong(&schema["items"], entry, whole, &format!("{at}[{place}]")))
        }
        Value::Object(entries) if schema["properties"].is_object() => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            if let Some(missing) = required.iter().find(|key| value.get(key.as_str().unwrap()).is_none()) {
                return Some(format!("{at}: {missing} is missing"));
            }
            entries.iter().find_map(|(key, entry)| match schema["properties"].get(key) {
                Some(schema) => wrong(schema, entry, whole, &format!("{at}.{key}")),
                None => Some(format!("{at}: {key} is not described")),
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn until(seconds: u64) -> crate::clock::BootTime {
    at(100).boot + Duration::from_millis(seconds * 1_000 - 500)
}

const SETTLEMENT: &str = "/api/v1/accounts/payby-uae/settlement";

#[test]
fn the_description_is_true() {
    let left_alone = |cause| Err(NotNow::LeftAlone { cause, until: until(60) });
    let (server, _) = prompted([
        Ok(()),
        Err(NotNow::Unknown),
        Err(NotNow::UnderWay),
        Err(NotNow::HadOne { until: until(7) }),
        left_alone(Cause::Throttled),
        left_alone(Cause::Refused),
        Err(NotNow::Stopping),
    ]);
    let description: Value = serde_json::from_str(ask(&server, "GET", "/api/v1/openapi.json", &[]).text()).unwrap();
    assert_eq!((&description["openapi"], &description["servers"]), (&json!("3.1.0"), &json!([{ "url": "/" }])));
    let mut seen = Vec::new();
    let poll = "/api/v1/accounts/{provider}/{account}/poll";
    let account = "/api/v1/accounts/{provider}/{account}";
    let health = "/health/accounts/{provider}/{account}";
    let polled = format!("{SETTLEMENT}/poll");
    for (method, template, path, header, status) in [
        ("GET", "/api/v1/accounts", "/api/v1/accounts", "X: x", 200),
        ("GET", "/api/v1/accounts", "/api/v1/accounts?q=settle&state=fresh&sort=-age&page=9&per_page=1", "X: x", 200),
        ("GET", "/api/v1/accounts", "/api/v1/accounts?q=nobody", "X: x", 200),
        ("GET", account, SETTLEMENT, "X: x", 200),
        ("GET", account, "/api/v1/accounts/payby-uae/old", "X: x", 200),
        ("GET", account, "/api/v1/accounts/payby-uae/young", "X: x", 200),
        ("GET", account, "/api/v1/accounts/bridge/settlement", "X: x", 404),
        ("GET", health, "/health/accounts/payby-uae/settlement", "X: x", 200),
        ("GET", health, "/health/accounts/bridge/fleet", "X: x", 503),
        ("GET", health, "/health/accounts/no/body", "X: x", 404),
        ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", "X: x", 200),
        ("POST", poll, &polled, "X: x", 202),
        ("POST", poll, &polled, "X: x", 404),
        ("POST", poll, &polled, "X: x", 409),
        ("POST", poll, &polled, "X: x", 429),
        ("POST", poll, &polled, "X: x", 503),
        ("POST", poll, &polled, "X: x", 503),
        ("POST", poll, &polled, "X: x", 503),
        ("POST", poll, &polled, "Sec-Fetch-Site: cross-site", 403),
    ] {
        let reply = ask(&server, method, path, &[header]);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        let operation = &description["paths"][template][method.to_lowercase()];
        let described = &operation["responses"][status.to_string()];
        let (kind, body) = described["content"].as_object().unwrap().iter().next().unwrap();
        assert!(reply.header("content-type").unwrap().starts_with(kind.as_str()), "{method} {path}");
        if kind == "application/json" {
            let value: Value = serde_json::from_str(reply.text()).unwrap();
            assert_eq!(wrong(&body["schema"], &value, &description, path), None, "{value:#}");
        }
        if reply.header("retry-after").is_some() {
            assert!(described["headers"]["Retry-After"].is_object(), "{method} {path} {status}");
        }
        seen.push((template, method.to_lowercase(), status.to_string()));
    }
    for (template, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                let place = (template.as_str(), method.clone(), status.clone());
                assert!(seen.contains(&place), "{place:?} is described and was not seen");
            }
        }
    }
}

#[test]
fn amounts_are_texts_with_all_their_digits() {
    let server = serve(state(), Limits::default());
    let account: Value = serde_json::from_str(ask(&server, "GET", SETTLEMENT, &[]).text()).unwrap();
    let wallet = &account["wallets"][0];
    let figures = ["spendable", "available", "amount", "frozen", "credit_limit"].map(|name| wallet[name].clone());
    assert_eq!(figures, ["99.05", "99.05", "120.00", "20.95", "0"].map(Value::from));
    assert_eq!(wallet["thresholds"], json!({ "warning": "50000", "critical": "0.50" }));
    assert_eq!(account["states"], json!(["throttled", "low", "fresh"]));
    assert_eq!(account["polling"]["waiting"]["cause"], "throttled");
    let old: Value = serde_json::from_str(ask(&server, "GET", "/api/v1/accounts/payby-uae/old", &[]).text()).unwrap();
    assert_eq!(old["last_failure"]["reason"], "auth");
    assert_eq!(
        old["past"],
        json!([
            { "ended": "2023-11-14T22:13:21Z", "good": true },
            { "ended": "2023-11-14T22:15:00Z", "good": false },
        ])
    );
}

#[test]
fn health_is_told_without_amounts() {
    let state = state();
    let board = state.board.clone();
    let config = board.account(&AccountId { provider: "payby-uae".into(), account: "settlement".into() }).unwrap();
    let server = serve(state, Limits::default());
    let health = |path: &str| {
        let reply = ask(&server, "GET", &format!("/health/accounts/{path}"), &[]);
        (reply.status, reply.text().to_owned())
    };
    let told = |status: u16, text: &str| (status, format!("{text}\n"));
    assert_eq!(health("payby-uae/settlement"), told(200, "payby-uae/settlement is healthy: throttled, low, fresh"));
    assert_eq!(health("payby-uae/young"), told(503, "payby-uae/young is not healthy: throttled, not polled yet"));
    board.file(&config.config, Ok(snapshot("0.49", at(100))), at(100));
    assert_eq!(health("payby-uae/settlement").0, 503, "below its critical level");
    for path in ["settlement", "payby-uae/", "/settlement", "payby-uae/settlement/", "payby-uae/settlement/x", "a/b/c"]
    {
        assert_eq!(health(path).0, 404, "{path}");
    }
    assert_eq!(health("no/%3Cb%3E"), told(404, "there is no account \"no/%3Cb%3E\""));
}

#[test]
fn a_poll_is_asked_for_by_its_own_page_or_program() {
    let poll = format!("{SETTLEMENT}/poll");
    let had_one = Err(NotNow::HadOne { until: until(7) });
    let (server, prompter) = prompted([Ok(()), had_one, Ok(()), Ok(()), Ok(()), had_one]);
    let reply = ask(&server, "POST", &poll, &[]);
    assert_eq!(reply.text(), "{\n  \"message\": \"settlement is polled now\",\n  \"until\": null\n}\n");
    let reply = ask(&server, "POST", &poll, &[]);
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    for (header, status) in [
        ("Sec-Fetch-Site: same-origin", 202),
        ("Sec-Fetch-Site: none", 202),
        ("Origin: http://x", 202),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
    ] {
        assert_eq!(ask(&server, "POST", &poll, &[header]).status, status, "{header}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert_eq!(ask(&server, method, &poll, &[]).status, 405, "{method}");
    }
    let page = ask(&server, "POST", &poll, &["Accept: text/html,*/*;q=0.8", "Sec-Fetch-Site: same-origin"]);
    assert_eq!((page.status, page.header("retry-after")), (429, Some("7")));
    assert!(page.text().contains("<a href=\"/\">Back to the accounts</a>"), "{}", page.text());
    assert_eq!(*prompter.asked.lock().unwrap(), ["payby-uae/settlement"; 6], "nobody else was let through");
}

#[test]
fn nothing_is_brought_about_unless_that_is_allowed() {
    let server = serve(state(), Limits::default());
    let reply = ask(&server, "POST", &format!("{SETTLEMENT}/poll"), &[]);
    assert!(reply.status == 403 && reply.text().contains("start with --web.enable-lifecycle"), "{}", reply.text());
    assert!(!ask(&server, "GET", "/", &[]).text().contains("Poll now"));
    let (server, _) = prompted([]);
    assert!(ask(&server, "GET", "/", &[]).text().contains("Poll now"));
    let (reloader, mut asked) = Told::new(Ok(()));
    let server = serve(state_with(board(), Some(reloader)), Limits::default());
    assert_eq!(ask(&server, "POST", "/-/reload", &["Origin: http://evil.example"]).status, 403);
    asked.try_recv().expect_err("a page of somebody else must not reload");
}
