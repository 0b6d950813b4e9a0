//! What an API's answers become, from its recorded exchanges, which the tests replay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::table::{code, joined, sentence, table};
use crate::failure::ErrorReason;
use crate::providers::recorded;

/// What is of interest here of a `case.yaml`.
#[derive(Deserialize)]
struct Case {
    about: String,
    outcome: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    reading: Option<Reading>,
    failure: Option<String>,
}

#[derive(Deserialize)]
struct Reading {
    balances: Vec<BTreeMap<String, String>>,
}

fn case(api: &str, name: &str) -> Option<Case> {
    serde_yaml::from_slice(recorded::file(api, name, "case.yaml")?).ok()
}

/// Figures of a recorded balance, and the metrics that they become.
const FIGURES: [(&str, &str); 4] = [
    ("amount", "balance_amount"),
    ("available", "balance_available_amount"),
    ("frozen", "balance_frozen_amount"),
    ("credit_limit", "balance_credit_limit_amount"),
];

/// A recorded success, and the series that it becomes.
pub(super) fn example(api: &str) -> Option<String> {
    let reply = recorded::replies(api, "success").pop()?;
    let body = serde_json::from_slice::<Value>(reply.body()).ok()?;
    let mut text = format!("This reply:\n\n```json\n{body:#}\n```\n\nbecomes these series:\n\n```text\n");
    for balance in case(api, "success")?.outcome.reading?.balances {
        let label = |name: &str| balance.get(name).map(String::as_str).unwrap_or_default();
        for (figure, metric) in FIGURES {
            if let Some(amount) = balance.get(figure) {
                let labels = format!("wallet=\"{}\",currency=\"{}\"", label("wallet"), label("currency"));
                // writing into a `String` cannot fail
                let _ = writeln!(text, "{metric}{{{labels}}} {amount}");
            }
        }
    }
    text.push_str("```\n");
    Some(text)
}

/// Replies that refuse with one code, for one reason.
#[derive(Default)]
struct Refusal {
    statuses: BTreeSet<u16>,
    about: String,
    /// Whether it is told by a case that is named after the code.
    named: bool,
}

/// The reasons that are about the shape of a reply, whatever it says.
const SHAPES: [&str; 2] = [ErrorReason::Malformed.as_str(), ErrorReason::Schema.as_str()];

/// Which answer gets which reason.
pub(super) fn answers(api: &str) -> String {
    let code_of_success = recorded::replies(api, "success").pop().and_then(|reply| code_of(reply.body()));
    let mut refusals: BTreeMap<(String, String), Refusal> = BTreeMap::new();
    let mut statuses: BTreeMap<(u16, String), String> = BTreeMap::new();
    let mut gates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in recorded::cases(api) {
        let (Some(case), Some(reply)) = (case(api, name), recorded::replies(api, name).pop()) else { continue };
        let Some(reason) = case.outcome.failure else { continue };
        let status = reply.status().as_u16();
        // who is of the wrong shape has no code
        let refusing = !SHAPES.contains(&reason.as_str());
        let code = code_of(reply.body()).filter(|code| refusing && Some(code) != code_of_success.as_ref());
        match code {
            Some(code) => {
                // a case that is named after the code says best what it is
                let named = name.contains(&code);
                let refusal = refusals.entry((code, reason)).or_default();
                refusal.statuses.insert(status);
                if refusal.about.is_empty() || (named && !refusal.named) {
                    (refusal.about, refusal.named) = (case.about, named);
                }
            }
            None if status != 200 => drop(statuses.entry((status, reason)).or_insert(case.about)),
            None => drop(gates.entry(reason).or_default().insert(case.about)),
        }
    }
    let with_code = refusals.into_iter().map(|((code_, reason), refusal)| {
        let statuses = joined(refusal.statuses.iter().map(u16::to_string));
        [code(&code_), statuses, linked(&reason), sentence(&refusal.about)]
    });
    let without = statuses
        .into_iter()
        .map(|((status, reason), about)| ["none".to_owned(), status.to_string(), linked(&reason), sentence(&about)]);
    let mut text = table(["Code in the reply", "HTTP status", "Reason", "Recorded as"], with_code.chain(without));
    text += "\nAnd these are refused although the HTTP status is 200 and no code refuses:\n\n";
    for reason in ErrorReason::ALL {
        if let Some(abouts) = gates.get(reason.as_str()) {
            let abouts = abouts.iter().map(|about| sentence(about)).collect::<Vec<_>>().join(" ");
            // writing into a `String` cannot fail
            let _ = writeln!(text, "- {}: {abouts}", linked(reason.as_str()));
        }
    }
    text
}

/// The reason, leading to what can be done about it.
fn linked(reason: &str) -> String {
    format!("[`{reason}`](../troubleshooting.md#{reason})")
}

/// Where providers put their codes.
const CODES: [&str; 4] = ["response_code", "code", "messageId", "error"];

/// The code in a reply's body, if it looks like one.
fn code_of(body: &[u8]) -> Option<String> {
    let code = match serde_json::from_slice::<Value>(body) {
        Ok(json) => CODES.iter().find_map(|name| member(&json, name)),
        Err(_) => element(&String::from_utf8_lossy(body)),
    }?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // more digits than that are the number of an account
    let number = code.len() > 8 && code.bytes().all(|byte| byte.is_ascii_digit());
    (!code.is_empty() && code.chars().all(plain) && !number).then_some(code)
}

fn member(json: &Value, name: &str) -> Option<String> {
    match json {
        Value::Object(members) => match members.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) | None => members.values().find_map(|below| member(below, name)),
        },
        Value::Array(entries) => entries.iter().find_map(|entry| member(entry, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The first number in an XML element whose name ends in `code`.
fn element(text: &str) -> Option<String> {
    let values = text.split("code>").skip(1).filter_map(|rest| rest.split('<').next());
    values.map(str::trim).find(|value| value.parse::<u32>().is_ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ALL;

    #[test]
    fn codes_are_found_in_every_form() {
        for (body, code) in [
            (r#"{"response_code":"100"}"#, Some("100")),
            (r#"{"head":{"code":"402"}}"#, Some("402")),
            (r#"{"fault":{"code":900903}}"#, Some("900903")),
            (r#"{"requestError":{"serviceException":{"messageId":"SVC0270"}}}"#, Some("SVC0270")),
            ("<e><faultcode>e:Server</faultcode><a:code>900800</a:code></e>", Some("900800")),
            (r#"{"code":"4 0"}"#, None),
            (r#"{"code":""}"#, None),
            (r#"{"code":"94770000000"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(code_of(body.as_bytes()).as_deref(), code, "{body}");
        }
    }

    #[test]
    fn every_recorded_case_can_be_read() {
        for api in ALL.iter().map(|api| api.facts().name) {
            for name in recorded::cases(api) {
                assert!(case(api, name).is_some(), "{api}/{name}");
                assert!(recorded::replies(api, name).pop().is_some(), "{api}/{name}");
            }
        }
    }

    #[test]
    fn a_code_gets_the_reason_that_its_recording_has() {
        for (api, row) in [
            ("bridge", "| `100` | 200, 401 | [`auth`](../troubleshooting.md#auth) | The response code 100"),
            ("bridge", "| none | 401 | [`auth`](../troubleshooting.md#auth) |"),
            ("payby", "| `402` | 200, 429 | [`rate_limited`](../troubleshooting.md#rate_limited) |"),
            (
                "dialog",
                "| `900800` | 200, 503 | [`rate_limited`](../troubleshooting.md#rate_limited) | The fault 900800",
            ),
            ("smilepayz", "| none | 503 | [`unavailable`](../troubleshooting.md#unavailable) |"),
        ] {
            let text = answers(api);
            assert!(text.lines().any(|line| line.starts_with(row)), "{row}\n{text}");
        }
    }

    #[test]
    fn an_example_shows_what_is_exported() {
        let text = example("bridge").unwrap();
        assert!(text.contains("balance_available_amount{wallet=\"payout\",currency=\"GHS\"} 19.1\n"), "{text}");
        for api in ALL.iter().map(|api| api.facts().name) {
            assert!(example(api).is_some(), "{api}");
        }
    }
}
