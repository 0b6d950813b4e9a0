//! Smilepayz: the balance of a merchant's pay-in or pay-out account.
//!
//! One signed request; replies are not signed: <https://docs.smilepayz.com/en/reference/>. The vendor's
//! pages differ from region to region in the shape of the reply and in the unit of its figures, so
//! every documented shape is read and the unit is a setting, `divisor`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::account_infos::Block;
use super::signature::{BalanceInquiry, SigningKey, smilepayz_time};
use super::wire;
use super::{Adapter, Environment, Exchange, Facts, Postmark, Provider, Reading, Site, Step};
use crate::account::Wallet;
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure, quoted_without};
use crate::money::Currency;
use crate::secret::{Secret, Secrets, Source};

/// The currencies that the vendor's pages list.
const CURRENCIES: [&str; 11] = ["BRL", "CLP", "COP", "IDR", "INR", "MXN", "PEN", "PHP", "THB", "VND", "USDT"];

/// Codes of failure whose reason is known; any other is `rejected`. The vendor publishes none so far.
const CODES: &[(&str, ErrorReason)] = &[];

/// A reply whose `X-TIMESTAMP` is further from the request than this is not an answer to it.
const MOST_APART: Duration = Duration::from_secs(10 * 60);

/// A merchant's connection: what all of its accounts share.
pub(super) struct Smilepayz(Arc<Merchant>);

struct Merchant {
    endpoint: String,
    id: HeaderValue,
    secret: Secret,
    private_key: SigningKey,
}

/// Smilepayz's own keys of a provider entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The merchant id, sent as `X-PARTNER-ID`. Those of the sandbox begin with `sandbox`.
    #[schemars(regex(pattern = r"^[0-9A-Za-z_-]{1,64}$"))]
    merchant_id: String,
    /// The merchant secret: it is part of what is signed, and never sent.
    merchant_secret: Source,
    /// The merchant's RSA private key: PEM, or base64 of its DER.
    private_key: Source,
}

/// Smilepayz's own keys of an account entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The account number from the portal, Finance > Balance. Pay-in and pay-out accounts differ.
    #[serde(rename = "account_no")]
    #[schemars(length(min = 1, max = 64))]
    number: String,
    /// The account's currency: one of those that the provider lists.
    currency: Currency,
    /// What the account's only wallet is called.
    #[serde(default)]
    wallet: Name,
    /// What one unit of `currency` is in the figures of the replies: 1 if they are in major units,
    /// 100 if they are in cents. Confirm it with the provider; its pages contradict each other.
    #[serde(default = "major_units")]
    #[schemars(range(min = 1, max = 100_000_000))]
    divisor: u32,
    /// Which of the account's balances is asked for.
    #[serde(default = "all_of_it")]
    #[schemars(regex(pattern = r"^[0-9A-Za-z_-]{1,64}$"))]
    balance_type: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Name {
    #[default]
    Main,
    Payin,
    Payout,
}

impl Name {
    const fn wallet(self) -> Wallet {
        match self {
            Self::Main => Wallet::MAIN,
            Self::Payin => Wallet::new("payin"),
            Self::Payout => Wallet::new("payout"),
        }
    }
}

const fn major_units() -> u32 {
    1
}

fn all_of_it() -> String {
    "BALANCE".to_owned()
}

/// How many places a division by `divisor` moves the decimal point; `None` unless it is a power of ten.
fn places(divisor: u32) -> Option<u8> {
    (0..=8).find(|places| 10_u32.pow(u32::from(*places)) == divisor)
}

impl Adapter for Smilepayz {
    const FACTS: Facts = Facts {
        name: "smilepayz",
        title: "Smilepayz",
        documentation: "https://docs.smilepayz.com/en/reference/",
        authentication: "RSA signature of request, merchant secret",
        production: "https://gateway.smilepayz.com",
        sandbox: Some("https://sandbox-gateway.smilepayz.com"),
        rate_limit: &[(30, Duration::from_secs(60))],
        rate_limit_source: "our own care: the vendor publishes no number",
        wallets: &["main", "payin", "payout"],
    };
    type Settings = Settings;
    type Account = Account;

    fn secrets(settings: &Settings) -> Vec<(&'static str, &Source)> {
        vec![("merchant_secret", &settings.merchant_secret), ("private_key", &settings.private_key)]
    }

    fn check(settings: &Settings, site: &Site) -> Result<(), Problem> {
        let id = &settings.merchant_id;
        if !(1..=64).contains(&id.len()) || !wire::is_plain(id) {
            return Err(Problem::at("merchant_id", "expected 1 to 64 letters, digits, `_` or `-`"));
        }
        if id.starts_with("sandbox") && site.environment == Environment::Production {
            return Err(Problem::at(
                "merchant_id",
                "this is the id of a sandbox merchant; set `environment: sandbox` or use the production id",
            ));
        }
        Ok(())
    }

    fn check_account(_: &Settings, account: &Account) -> Result<(), Problem> {
        if !(1..=64).contains(&account.number.len()) || !account.number.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Problem::at("account_no", "expected 1 to 64 printable ASCII characters without spaces"));
        }
        if !CURRENCIES.contains(&account.currency.as_str()) {
            let message = format!("the provider has no accounts in this currency; it lists {}", CURRENCIES.join(", "));
            return Err(Problem::at("currency", message));
        }
        if places(account.divisor).is_none() {
            return Err(Problem::at("divisor", "expected a power of ten from 1 to 100000000"));
        }
        if !(1..=64).contains(&account.balance_type.len()) || !wire::is_plain(&account.balance_type) {
            return Err(Problem::at("balance_type", "expected 1 to 64 letters, digits, `_` or `-`"));
        }
        Ok(())
    }

    fn wallets(_: &Settings, account: &Account) -> Vec<(Wallet, Currency)> {
        vec![(account.wallet.wallet(), account.currency.clone())]
    }

    fn connect(settings: &Settings, site: &Site, secrets: &Secrets) -> Result<Self, Problem> {
        let id = HeaderValue::from_str(&settings.merchant_id)
            .map_err(|_| Problem::at("merchant_id", "expected a text that fits a header"))?;
        Ok(Self(Arc::new(Merchant {
            endpoint: wire::endpoint(&site.base_url, "/v2.0/inquiry-balance"),
            id,
            secret: wire::secret(secrets, "merchant_secret")?.clone(),
            private_key: SigningKey::configured(secrets, "private_key")?,
        })))
    }

    fn account(&self, account: &Account) -> Arc<dyn Provider> {
        Arc::new(Pot {
            merchant: Arc::clone(&self.0),
            account_no: account.number.clone(),
            currency: account.currency.clone(),
            wallet: account.wallet.wallet(),
            places: places(account.divisor).unwrap_or_default(),
            balance_type: account.balance_type.clone(),
        })
    }
}

/// One account of the merchant.
struct Pot {
    merchant: Arc<Merchant>,
    account_no: String,
    currency: Currency,
    wallet: Wallet,
    places: u8,
    balance_type: String,
}

impl Provider for Pot {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        match exchange.replies {
            [] => self.request(exchange.at).map(Step::Send),
            [reply, ..] => self.read(reply, exchange).map(Step::Done),
        }
    }

    fn private(&self) -> Vec<&str> {
        vec![&self.account_no]
    }

    fn signs(&self) -> bool {
        true
    }
}

impl Pot {
    fn request(&self, at: Timestamp) -> Result<Request<Bytes>, Failure> {
        let merchant = &self.merchant;
        let inquiry = BalanceInquiry::smilepayz(at, &merchant.secret, &self.account_no, &self.balance_type);
        wire::built(
            Request::post(&merchant.endpoint)
                .header("content-type", "application/json")
                .header("x-timestamp", smilepayz_time(at))
                .header("x-signature", merchant.private_key.sign(&inquiry)?)
                .header("x-partner-id", &merchant.id)
                .body(inquiry.body()),
        )
    }

    fn read(&self, reply: &Response<Bytes>, exchange: &Exchange<'_>) -> Result<Reading, Failure> {
        let at = exchange.at;
        wire::success(reply, at)?;
        let answer: Answer = wire::object(reply.body())?;
        if answer.code != "00" {
            let known = CODES.iter().find(|(code, _)| *code == answer.code);
            let reason = known.map_or(ErrorReason::Rejected, |(_, reason)| *reason);
            // both are the provider's words, which may repeat what the request said
            let hidden = || [self.account_no.as_str(), self.merchant.secret.expose()];
            let code = if hidden().contains(&answer.code.as_str()) { "(not a code)" } else { wire::code(&answer.code) };
            let message = quoted_without(answer.message.as_deref().unwrap_or_default(), hidden());
            let detail = format!("the provider refused the inquiry with code {code}: {message}");
            return Err(Failure::new(reason, detail).retry_after(wire::retry_after(reply.headers(), at)));
        }
        let made = current(reply, at, exchange.previous)?;
        let infos = answer
            .account_infos
            .ok_or_else(|| Failure::new(ErrorReason::Schema, "the reply says success, but has no accountInfos"))?;
        let block = Block::asked_for(&self.balance_type, &infos)?;
        for echoed in [&answer.account_no, &block.account_no] {
            wire::same_identity("accountNo", Some(&self.account_no), echoed.as_deref())?;
        }
        let balance = block.balance(self.wallet, &self.currency, self.places)?;
        Ok(Reading::of(vec![balance])?.with_postmark(made.map(Postmark::Time)))
    }
}

/// When the reply was made, if it says so. Refuses an old reply served again: one from another time, or from before
/// the last good one. Replies are not signed, so this is against accidents only.
fn current(reply: &Response<Bytes>, at: Timestamp, previous: Option<&Postmark>) -> Result<Option<Timestamp>, Failure> {
    let integrity = |detail| Err(Failure::new(ErrorReason::Integrity, detail));
    let mut times = reply.headers().get_all("x-timestamp").iter();
    let said = match (times.next(), times.next()) {
        (None, _) => return Ok(None),
        (Some(said), None) => said.to_str().ok().and_then(|text| text.parse::<Timestamp>().ok()),
        (Some(_), Some(_)) => return integrity("the reply carries more than one X-TIMESTAMP"),
    };
    let Some(said) = said else { return Ok(None) };
    if at.duration_since(said).unsigned_abs() > MOST_APART {
        return integrity("the reply's X-TIMESTAMP is more than ten minutes from the request's");
    }
    match previous {
        Some(Postmark::Time(before)) if said < *before => {
            integrity("the reply's X-TIMESTAMP is earlier than that of the reply before: an old reply was served again")
        }
        Some(Postmark::Time(_) | Postmark::Word(_)) | None => Ok(Some(said)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    code: String,
    message: Option<String>,
    account_no: Option<String>,
    account_infos: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::golden_case::problem;

    const ACCOUNT: &str = "account_no: '1', currency: PEN";

    #[test]
    fn settings_are_checked() {
        let check = |id: &str, environment| {
            let keys = format!("{{ merchant_id: '{id}', merchant_secret: {{ env: A }}, private_key: {{ env: B }} }}");
            problem::<Smilepayz>(environment, &keys, &format!("{{ {ACCOUNT} }}"))
        };
        assert_eq!(check("20119", Environment::Production), None);
        assert_eq!(check("20119", Environment::Sandbox), None);
        assert_eq!(check("sandbox-20119", Environment::Sandbox), None);
        assert_eq!(check("sandbox-20119", Environment::Production).as_deref(), Some("merchant_id"));
        assert_eq!(check("", Environment::Production).as_deref(), Some("merchant_id"));
        assert_eq!(check("a b", Environment::Production).as_deref(), Some("merchant_id"));
    }

    #[test]
    fn accounts_are_checked() {
        let check = |account: &str| {
            let keys = "{ merchant_id: '1', merchant_secret: { env: A }, private_key: { env: B } }";
            problem::<Smilepayz>(Environment::Production, keys, &format!("{{ {account} }}"))
        };
        for divisor in [1, 10, 100, 100_000_000] {
            assert_eq!(check(&format!("{ACCOUNT}, divisor: {divisor}")), None);
        }
        for divisor in [0, 2, 20, 101, 1_000_000_000] {
            assert_eq!(check(&format!("{ACCOUNT}, divisor: {divisor}")).as_deref(), Some("divisor"));
        }
        for (account, expected) in [
            ("account_no: '1', currency: AED", "currency"),
            ("account_no: '', currency: PEN", "account_no"),
            ("account_no: '1 2', currency: PEN", "account_no"),
            ("account_no: '1', currency: PEN, balance_type: ''", "balance_type"),
            ("account_no: '1', currency: PEN, wallet: sms", "wallet"),
            ("account_no: '1'", ""),
        ] {
            assert_eq!(check(account).as_deref(), Some(expected), "{account}");
        }
    }

    #[test]
    fn a_reply_is_current_within_ten_minutes() {
        let at = "2020-12-18T20:06:00Z".parse().unwrap();
        let refused = |said: &str| {
            let mut reply = Response::new(Bytes::new());
            reply.headers_mut().insert("x-timestamp", said.parse().unwrap());
            current(&reply, at, None).map(drop).map_err(|failure| failure.reason)
        };
        for said in ["2020-12-18T20:06:01+00:00", "2020-12-18T15:16:00-05:00", "2020-12-18T19:56:00Z", "today", ""] {
            assert_eq!(refused(said), Ok(()), "{said}");
        }
        for said in ["2020-12-18T15:16:01-05:00", "2020-12-18T19:55:59Z", "2020-12-19T03:06:00+00:00"] {
            assert_eq!(refused(said), Err(ErrorReason::Integrity), "{said}");
        }
    }

    #[test]
    fn time_goes_forward_from_reply_to_reply() {
        let at: Timestamp = "2020-12-18T20:06:00Z".parse().unwrap();
        let before = Postmark::Time(at);
        let told = |said: &[&str]| {
            let mut reply = Response::new(Bytes::new());
            for said in said {
                reply.headers_mut().append("x-timestamp", said.parse().unwrap());
            }
            current(&reply, at, Some(&before)).map_err(|failure| failure.reason)
        };
        assert_eq!(told(&["2020-12-18T15:06:00-05:00"]), Ok(Some(at)), "the same second is not earlier");
        assert_eq!(told(&["2020-12-18T20:06:01Z"]), Ok(Some(at + Duration::from_secs(1))));
        assert_eq!(told(&["2020-12-18T20:05:59Z"]), Err(ErrorReason::Integrity));
        assert_eq!(told(&["2020-12-18T21:05:59+01:00"]), Err(ErrorReason::Integrity));
        assert_eq!(told(&["2020-12-18T20:06:01Z", "2020-12-18T20:06:01Z"]), Err(ErrorReason::Integrity));
        assert_eq!((told(&[]), told(&["today"])), (Ok(None), Ok(None)));
    }
}
