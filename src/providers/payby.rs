//! PayBy, now Botim Money: the balance of a merchant's member account.
//!
//! One signed request, one signed reply: <https://developers.payby.com/docs/member/get-balance>.
//! Requests and replies carry RSA signatures over their very bytes in the header `sign`. Some errors
//! come unsigned; they can only choose among reasons of failure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::signature::{BalanceInquiry, SigningKey, VerifyingKey};
use super::wire::{self, Object};
use super::{Adapter, Exchange, Facts, Postmark, Provider, Reading, Site, Step};
use crate::account::{Balance, Wallet};
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure, quoted};
use crate::money::{Amount, Currency};
use crate::secret::{Secrets, Source};

/// A merchant's connection: what all of its accounts share.
#[derive(Clone)]
pub(super) struct PayBy(Arc<Merchant>);

struct Merchant {
    endpoint: String,
    partner_id: HeaderValue,
    private_key: SigningKey,
    platform_public_key: VerifyingKey,
}

/// PayBy's own keys of a provider entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The partner id from the merchant portal, sent as `Partner-Id`.
    #[schemars(regex(pattern = r"^[0-9A-Za-z_-]{1,12}$"))]
    partner_id: String,
    /// The merchant's RSA private key: PEM, or base64 of its DER.
    private_key: Source,
    /// PayBy's RSA public key from the merchant portal, which its replies are verified with.
    platform_public_key: Source,
}

/// PayBy's own keys of an account entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The currency whose balance is asked for.
    currency: Currency,
    /// The member id that replies must name; left out, the one that the first reply names.
    #[schemars(length(min = 1))]
    member_id: Option<String>,
}

impl Adapter for PayBy {
    const FACTS: Facts = Facts {
        name: "payby",
        title: "PayBy",
        documentation: "https://developers.payby.com/docs/member/get-balance",
        authentication: "RSA signature of request and reply",
        production: "https://api.payby.com",
        sandbox: Some("https://uat.test2pay.com"),
        rate_limit: &[(30, Duration::from_secs(60))],
        rate_limit_source: "our own care: the vendor publishes no number",
        wallets: &["main"],
    };
    type Settings = Settings;
    type Account = Account;

    fn secrets(settings: &Settings) -> Vec<(&'static str, &Source)> {
        vec![("private_key", &settings.private_key), ("platform_public_key", &settings.platform_public_key)]
    }

    fn check(settings: &Settings, _: &Site) -> Result<(), Problem> {
        if (1..=12).contains(&settings.partner_id.len()) && wire::is_plain(&settings.partner_id) {
            return Ok(());
        }
        Err(Problem::at("partner_id", "expected 1 to 12 letters, digits, `_` or `-`"))
    }

    fn check_account(_: &Settings, account: &Account) -> Result<(), Problem> {
        match account.member_id.as_deref() {
            Some("") => Err(Problem::at("member_id", "expected the member id, or nothing at all")),
            Some(_) | None => Ok(()),
        }
    }

    fn wallets(_: &Settings, account: &Account) -> Vec<(Wallet, Currency)> {
        vec![(Wallet::MAIN, account.currency.clone())]
    }

    fn connect(settings: &Settings, site: &Site, secrets: &Secrets) -> Result<Self, Problem> {
        let partner_id = HeaderValue::from_str(&settings.partner_id)
            .map_err(|_| Problem::at("partner_id", "expected a text that fits a header"))?;
        let private_key = SigningKey::configured(secrets, "private_key")?;
        let platform_public_key = VerifyingKey::configured(secrets, "platform_public_key")?;
        if platform_public_key.belongs_to(&private_key) {
            return Err(Problem::at(
                "platform_public_key",
                "this is the public half of `private_key`: expected PayBy's own public key from its portal",
            ));
        }
        Ok(Self(Arc::new(Merchant {
            endpoint: wire::endpoint(&site.base_url, "/sgs/api/member/getBalance"),
            partner_id,
            private_key,
            platform_public_key,
        })))
    }

    fn account(&self, account: &Account) -> Arc<dyn Provider> {
        Arc::new(Member {
            merchant: Arc::clone(&self.0),
            currency: account.currency.clone(),
            id: account.member_id.clone(),
        })
    }
}

/// One currency of a member account.
struct Member {
    merchant: Arc<Merchant>,
    currency: Currency,
    /// The id that replies must name, if it is configured.
    id: Option<String>,
}

impl Provider for Member {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        match exchange.replies {
            [] => self.request(exchange.at).map(Step::Send),
            [reply, ..] => self.read(reply, exchange).map(Step::Done),
        }
    }

    fn private(&self) -> Vec<&str> {
        self.id.as_deref().into_iter().collect()
    }

    fn signs(&self) -> bool {
        true
    }
}

impl Member {
    fn request(&self, at: Timestamp) -> Result<Request<Bytes>, Failure> {
        let inquiry = BalanceInquiry::payby(&self.currency, at);
        wire::built(
            Request::post(&self.merchant.endpoint)
                .header("content-type", "application/json")
                .header("content-language", "en")
                .header("partner-id", &self.merchant.partner_id)
                .header("sign", self.merchant.private_key.sign(&inquiry)?)
                .body(inquiry.body()),
        )
    }

    fn read(&self, reply: &Response<Bytes>, exchange: &Exchange<'_>) -> Result<Reading, Failure> {
        let signed = self.signed(reply)?;
        if reply.status().is_redirection() {
            wire::success(reply, exchange.at)?;
        }
        let envelope = match wire::object::<Envelope>(reply.body()) {
            Ok(envelope) => envelope,
            Err(failure) => {
                wire::success(reply, exchange.at)?;
                return Err(if failure.reason == ErrorReason::Schema && !signed { unsigned() } else { failure });
            }
        };
        let head = envelope.head.0;
        // whoever cannot verify our signature may not be able to sign either, and a failure is no number
        let about_us = head.apply_status == "ERROR" && head.code != "0";
        if !signed && !about_us && !may_be_unsigned(&head.code) {
            return Err(unsigned());
        }
        if !head.says_success()? {
            return Err(head.failure().retry_after(wire::retry_after(reply.headers(), exchange.at)));
        }
        wire::success(reply, exchange.at)?;
        let body = envelope.body.ok_or_else(|| schema("the reply says success, but has no body"))?;
        let reading = self.balance(wire::part::<Object<Body>>("body", &body)?.0, exchange.pinned)?;
        Ok(reading.with_postmark(head.postmark()))
    }

    /// Whether the reply is signed. A signature that is there must be right, whatever the reply says.
    fn signed(&self, reply: &Response<Bytes>) -> Result<bool, Failure> {
        let mut signatures = reply.headers().get_all("sign").iter();
        match (signatures.next(), signatures.next()) {
            (None, _) => Ok(false),
            (Some(signature), None)
                if self.merchant.platform_public_key.verifies(reply.body(), signature.as_bytes()) =>
            {
                Ok(true)
            }
            (Some(_), None) => Err(integrity("the signature of the reply is not one that the configured key made")),
            (Some(_), Some(_)) => Err(integrity("the reply carries more than one signature")),
        }
    }

    fn balance(&self, body: Body, pinned: Option<&str>) -> Result<Reading, Failure> {
        let expected = self.id.as_deref().or(pinned);
        wire::same_identity("memberId", expected, Some(&body.member_id))?;
        let mut rows = body
            .balance_list
            .into_iter()
            .map(|Object(row)| row)
            .filter(|row| row.available_balance.0.currency == self.currency.as_str());
        let row = match (rows.next(), rows.next()) {
            (Some(row), None) => row,
            (None, _) => return Err(mismatch(&format!("the reply has no balance in {}", self.currency))),
            (Some(_), Some(_)) => {
                return Err(mismatch(&format!("the reply has more than one balance in {}", self.currency)));
            }
        };
        let figure = |field: &str, money: &Object<Money>| {
            wire::same_currency(&self.currency, &money.0.currency)?;
            wire::number(field, &money.0.amount)
        };
        let optional = |field: &str, money: &Option<Object<Money>>| -> Result<Option<Amount>, Failure> {
            money.as_ref().map(|money| figure(field, money)).transpose()
        };
        let balance = optional("balance", &row.balance)?;
        let total = optional("totalBalance", &row.total_balance)?;
        if balance.is_some() && total.is_some() && balance != total {
            return Err(schema("the fields balance and totalBalance contradict each other"));
        }
        let balance = Balance {
            amount: balance.or(total),
            available: Some(figure("availableBalance", &row.available_balance)?),
            frozen: optional("frozenBalance", &row.frozen_balance)?,
            ..Balance::empty(Wallet::MAIN, self.currency.clone())
        };
        Ok(Reading::of(vec![balance])?.with_identity(body.member_id))
    }
}

#[derive(Deserialize)]
struct Envelope {
    head: Object<Head>,
    body: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    apply_status: String,
    code: String,
    msg: Option<String>,
    success: Option<bool>,
    /// Of the request that this answers: the signature covers no time, so only this tells two replies apart.
    trace_code: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    member_id: String,
    balance_list: Vec<Object<Row>>,
}

/// The documentation promises available, frozen and total, but shows the first only.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    available_balance: Object<Money>,
    balance: Option<Object<Money>>,
    total_balance: Option<Object<Money>>,
    frozen_balance: Option<Object<Money>>,
}

#[derive(Deserialize)]
struct Money {
    amount: Box<RawValue>,
    currency: String,
}

impl Head {
    /// Whether all that speaks of success agrees that it is one, or that it is none.
    fn says_success(&self) -> Result<bool, Failure> {
        let applied = self.apply_status == "SUCCESS";
        if applied == (self.code == "0") && self.success.is_none_or(|success| success == applied) {
            return Ok(applied);
        }
        Err(schema("the fields applyStatus, code and success contradict each other"))
    }

    /// The trace code as it is written, whatever its type: it is compared, and decides about no number.
    fn postmark(&self) -> Option<Postmark> {
        let word = self.trace_code.as_ref()?.get().trim_matches('"');
        (!word.is_empty()).then(|| Postmark::Word(word.to_owned()))
    }

    /// What the code of an error means.
    fn failure(&self) -> Failure {
        let msg = self.msg.as_deref().unwrap_or_default();
        let (reason, what) = if self.apply_status == "ERROR" {
            (ErrorReason::Auth, "the provider could not verify our signature")
        } else if self.code == "400" && CLOCK_MESSAGES.contains(&msg) {
            (ErrorReason::Clock, "the provider refused our time of day")
        } else {
            let known = CODES.iter().find(|(code, _)| *code == self.code);
            (known.map_or(ErrorReason::Rejected, |(_, reason)| *reason), "the provider refused the inquiry")
        };
        // its messages are words like INVALID_PARAMETER; anything else may repeat what the request said
        let word = msg.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let msg = quoted(if word { msg } else { "(not shown)" });
        Failure::new(reason, format!("{what} with code {}: {msg}", wire::code(&self.code)))
    }
}

/// What `head.code` means; a code that is not listed is `rejected`.
/// <https://developers.payby.com/docs/response-code>
const CODES: &[(&str, ErrorReason)] = &[
    ("400", ErrorReason::Rejected),
    ("402", ErrorReason::RateLimited),
    ("403", ErrorReason::Auth),
    ("404", ErrorReason::Unavailable),
    ("500", ErrorReason::Unavailable),
    ("504", ErrorReason::Unavailable),
    ("601", ErrorReason::Rejected),
    ("78001", ErrorReason::Rejected),
];

/// With these, code 400 is about `requestTime`: it was off by more than 15 minutes.
const CLOCK_MESSAGES: [&str; 2] = ["REQUESTTIME_TOO_EARLY", "REQUESTTIME_TOO_LATER"];

/// The errors that PayBy's gateway sends without a signature; its own client tolerates the same.
fn may_be_unsigned(code: &str) -> bool {
    ["400", "402", "403", "404", "500", "504", "601"].contains(&code) || code.starts_with("58")
}

fn unsigned() -> Failure {
    integrity("the reply is not signed")
}

fn integrity(detail: &str) -> Failure {
    Failure::new(ErrorReason::Integrity, detail)
}

fn schema(detail: &str) -> Failure {
    Failure::new(ErrorReason::Schema, detail)
}

fn mismatch(detail: &str) -> Failure {
    Failure::new(ErrorReason::Mismatch, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Environment;
    use crate::providers::golden_case::problem;

    #[test]
    fn settings_are_checked() {
        let check = |partner_id: &str, account: &str| {
            let keys = format!(
                "{{ partner_id: '{partner_id}', private_key: {{ env: A }}, platform_public_key: {{ env: B }} }}"
            );
            problem::<PayBy>(Environment::Production, &keys, account)
        };
        for partner_id in ["1", "200000018128", "a-b_C"] {
            assert_eq!(check(partner_id, "{ currency: AED }"), None, "{partner_id}");
        }
        for partner_id in ["", "2000000181281", "a b", "a:b", "é"] {
            assert_eq!(check(partner_id, "{ currency: AED }").as_deref(), Some("partner_id"), "{partner_id}");
        }
        assert_eq!(check("1", "{ currency: AED, member_id: '1' }"), None);
        assert_eq!(check("1", "{ currency: AED, member_id: '' }").as_deref(), Some("member_id"));
        assert_eq!(check("1", "{ currency: AED, member: '1' }").as_deref(), Some("member"));
        assert_eq!(check("1", "{ currency: aed }").as_deref(), Some("currency"));
    }

    #[test]
    fn the_gateways_errors_may_come_unsigned_and_nothing_else() {
        for code in ["400", "402", "403", "404", "500", "504", "601", "58", "58001"] {
            assert!(may_be_unsigned(code), "{code}");
        }
        for code in ["0", "", "401", "4000", "62026", "78001", "158", " 58"] {
            assert!(!may_be_unsigned(code), "{code}");
        }
    }
}
