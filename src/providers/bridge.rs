//! Bridge AGW: three wallets of a merchant's service, asked for with HTTP Basic credentials.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use jiff::tz::Offset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::Object;
use super::{Adapter, Exchange, Facts, Provider, Reading, Site, Step, wire};
use crate::account::{Balance, Wallet};
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure};
use crate::money::Currency;
use crate::secret::{Secrets, Source};

const PAYOUT: Wallet = Wallet::new("payout");
const COLLECTION: Wallet = Wallet::new("collection");
const SMS: Wallet = Wallet::new("sms");

/// A connection to the gateway.
pub(super) struct Bridge {
    endpoint: Arc<str>,
    credentials: HeaderValue,
    offset: Offset,
    success_code: String,
}

/// The keys of a provider entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The API's user name, which some call client key.
    username: String,
    /// The API's password, which some call secret key.
    password: Source,
    /// The offset from UTC of the local time that requests carry, such as `+00:00`, which is Ghana's.
    #[serde(default = "request_time_offset")]
    request_time_offset: String,
    /// The response code of a success. An older API of the vendor says `500`.
    #[serde(default = "success_code")]
    success_code: String,
}

fn request_time_offset() -> String {
    "+00:00".to_owned()
}

fn success_code() -> String {
    "000".to_owned()
}

/// The keys of an account entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The number of the service whose balances are asked for.
    service_id: u64,
    /// The account's base currency, since no reply tells it.
    currency: Currency,
    /// Wallets that are kept in another one.
    #[serde(default)]
    currencies: Currencies,
}

/// Currencies by wallet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Currencies {
    /// Of the wallet that payouts are made from.
    payout: Option<Currency>,
    /// Of the wallet that collections go to.
    collection: Option<Currency>,
    /// Of the wallet that messages are paid from.
    sms: Option<Currency>,
}

impl Account {
    /// Every wallet with its currency; payouts stop the business first.
    fn wallets(&self) -> [(Wallet, Currency); 3] {
        let own = &self.currencies;
        [(PAYOUT, &own.payout), (COLLECTION, &own.collection), (SMS, &own.sms)]
            .map(|(wallet, own)| (wallet, own.as_ref().unwrap_or(&self.currency).clone()))
    }
}

impl Adapter for Bridge {
    const FACTS: Facts = Facts {
        name: "bridge",
        title: "Bridge AGW",
        documentation: "https://docs.bridgeagw.com/docs/api-reference/06-get-account-balance",
        authentication: "HTTP Basic",
        production: "https://api.bridgeagw.com",
        sandbox: None,
        rate_limit: &[(100, Duration::from_secs(60)), (20, Duration::from_secs(1))],
        rate_limit_source: "https://docs.bridgeagw.com/docs/api-reference",
        wallets: &["payout", "collection", "sms"],
    };
    type Settings = Settings;
    type Account = Account;

    fn secrets(settings: &Settings) -> Vec<(&'static str, &Source)> {
        vec![("password", &settings.password)]
    }

    fn check(settings: &Settings, _: &Site) -> Result<(), Problem> {
        if settings.username.is_empty() || settings.username.contains(':') {
            return Err(Problem::at("username", "expected a name without a colon, which would end it"));
        }
        if settings.success_code.is_empty() {
            return Err(Problem::at("success_code", "expected the response code of a success, such as 000"));
        }
        offset(&settings.request_time_offset).map(drop)
    }

    fn wallets(_: &Settings, account: &Account) -> Vec<(Wallet, Currency)> {
        account.wallets().into()
    }

    fn connect(settings: &Settings, site: &Site, secrets: &Secrets) -> Result<Self, Problem> {
        let password = wire::secret(secrets, "password")?;
        Ok(Self {
            endpoint: wire::endpoint(&site.base_url, "/get_account_balance").into(),
            credentials: wire::basic(&settings.username, password)
                .map_err(|_| Problem::at("password", "does not fit into a header"))?,
            offset: offset(&settings.request_time_offset)?,
            success_code: settings.success_code.clone(),
        })
    }

    fn account(&self, account: &Account) -> Arc<dyn Provider> {
        Arc::new(Service {
            endpoint: self.endpoint.clone(),
            credentials: self.credentials.clone(),
            offset: self.offset,
            success_code: self.success_code.clone(),
            id: account.service_id,
            long_id: Some(account.service_id.to_string()).filter(|id| id.len() >= LONG_ID),
            wallets: account.wallets(),
        })
    }
}

/// An offset from UTC as `+hh:mm` or `-hh:mm`, at most 14 hours either way, which no place on earth exceeds.
fn offset(text: &str) -> Result<Offset, Problem> {
    let seconds = || {
        let (hours, minutes) = text.get(1..)?.split_once(':')?;
        let two = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<i32>().ok())?
        };
        let seconds = (two(hours)? * 60 + two(minutes).filter(|minutes| *minutes < 60)?) * 60;
        match text.as_bytes().first()? {
            b'+' => Some(seconds),
            b'-' => Some(-seconds),
            _ => None,
        }
    };
    seconds()
        .filter(|seconds| seconds.abs() <= 14 * 60 * 60)
        .and_then(|seconds| Offset::from_seconds(seconds).ok())
        .ok_or_else(|| Problem::at("request_time_offset", "expected an offset from UTC such as +00:00 or -05:30"))
}

/// One service of the merchant.
struct Service {
    endpoint: Arc<str>,
    credentials: HeaderValue,
    offset: Offset,
    success_code: String,
    id: u64,
    /// The same, if it is long enough to be told from the digits of a balance.
    long_id: Option<String>,
    wallets: [(Wallet, Currency); 3],
}

/// Digits from which on a service's number is masked wherever it stands, and not in its field alone.
const LONG_ID: usize = 5;

impl Provider for Service {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        match exchange.replies.last() {
            None => self.request(exchange.at).map(Step::Send),
            Some(reply) => self.reading(reply, exchange.at).map(Step::Done),
        }
    }

    fn private(&self) -> Vec<&str> {
        self.long_id.as_deref().into_iter().collect()
    }
}

/// The fields go out in this order.
#[derive(Serialize)]
struct Inquiry {
    service_id: u64,
    request_time: String,
}

#[derive(Deserialize)]
struct Body {
    response_code: String,
    response_data: Option<Object<Balances>>,
}

#[derive(Deserialize)]
struct Balances {
    #[serde(rename = "payout_balance")]
    payout: Box<RawValue>,
    #[serde(rename = "collection_balance")]
    collection: Box<RawValue>,
    #[serde(rename = "sms_balance")]
    sms: Box<RawValue>,
}

impl Service {
    fn request(&self, at: Timestamp) -> Result<Request<Bytes>, Failure> {
        let local = self.offset.to_datetime(at);
        let inquiry = Inquiry { service_id: self.id, request_time: local.strftime("%Y-%m-%d %H:%M").to_string() };
        let body = serde_json::to_vec(&inquiry)
            .map_err(|_| Failure::new(ErrorReason::Internal, "could not write the request's body"))?;
        let request = Request::post(&*self.endpoint)
            .header(header::AUTHORIZATION, self.credentials.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.into());
        wire::built(request)
    }

    /// The gates of a reply: redirect, throttling, response code, status, shape, the numbers.
    fn reading(&self, reply: &Response<Bytes>, at: Timestamp) -> Result<Reading, Failure> {
        let by_status = wire::success(reply, at);
        if reply.status().is_redirection() || reply.status() == StatusCode::TOO_MANY_REQUESTS {
            by_status.clone()?;
        }
        let body = wire::object::<Body>(reply.body());
        if let Ok(Body { response_code, .. }) = &body
            && *response_code != self.success_code
        {
            let refusal = refused(response_code).or(by_status.err()).unwrap_or_else(|| unlisted(response_code));
            return Err(refusal.retry_after(wire::retry_after(reply.headers(), at)));
        }
        by_status?;
        let Object(sent) = body?
            .response_data
            .ok_or_else(|| Failure::new(ErrorReason::Schema, "the reply reports a success without response_data"))?;
        let figures =
            [("payout_balance", sent.payout), ("collection_balance", sent.collection), ("sms_balance", sent.sms)];
        let balances = self.wallets.iter().zip(figures).map(|((wallet, currency), (field, figure))| {
            let available = Some(wire::number(field, &figure)?);
            Ok(Balance { available, ..Balance::empty(*wallet, currency.clone()) })
        });
        Reading::of(balances.collect::<Result<_, Failure>>()?)
    }
}

/// Response codes, the reason of each, and what it means in words.
/// <https://docs.bridgeagw.com/docs/response-codes>.
#[rustfmt::skip]
const CODES: &[(&str, ErrorReason, &str)] = &[
    ("001", ErrorReason::Rejected,    "a transaction failed, which was not asked for"),
    ("002", ErrorReason::Rejected,    "a transaction is pending, which was not asked for"),
    ("003", ErrorReason::Rejected,    "a transaction was cancelled, which was not asked for"),
    ("100", ErrorReason::Auth,        "the credentials may not use this service"),
    ("202", ErrorReason::Rejected,    "a payment was queued, which was not asked for"),
    ("370", ErrorReason::Rejected,    "a message was queued, which was not asked for"),
    ("400", ErrorReason::Rejected,    "the request was not understood; check `service_id` and the clock"),
    ("401", ErrorReason::Auth,        "the credentials were refused"),
    ("402", ErrorReason::Rejected,    "the balance is insufficient, for what was not asked for"),
    ("403", ErrorReason::Auth,        "the credentials are not allowed to ask this"),
    ("404", ErrorReason::Rejected,    "there is no such service; check `service_id`"),
    ("429", ErrorReason::RateLimited, "too many requests"),
    ("500", ErrorReason::Unavailable, "the provider is out of order"),
];

/// What a listed code makes of a poll.
fn refused(code: &str) -> Option<Failure> {
    let (code, reason, meaning) = CODES.iter().find(|(listed, ..)| *listed == code)?;
    Some(Failure::new(*reason, format!("the provider answered with response code {code}: {meaning}")))
}

/// What an unlisted code makes of it, if the HTTP status says nothing either.
fn unlisted(code: &str) -> Failure {
    let detail = format!("the provider answered with a response code that is not listed: {}", wire::code(code));
    Failure::new(ErrorReason::Rejected, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> Result<(), String> {
        let site = Site {
            base_url: "https://bridge.example".parse().unwrap(),
            environment: super::super::Environment::Production,
        };
        let settings = serde_yaml::from_str::<Settings>(&format!("{{ password: {{ file: p }}, {yaml} }}")).unwrap();
        Bridge::check(&settings, &site).map_err(|problem| problem.path.to_string())
    }

    #[test]
    fn problems_name_their_key() {
        for (yaml, problem) in [
            ("username: u", None),
            ("username: ''", Some("username")),
            ("username: 'a:b'", Some("username")),
            ("username: u, success_code: ''", Some("success_code")),
            ("username: u, success_code: '500'", None),
            ("username: u, request_time_offset: Z", Some("request_time_offset")),
        ] {
            assert_eq!(settings(yaml).err().as_deref(), problem, "{yaml}");
        }
    }

    #[test]
    fn offsets_reach_fourteen_hours() {
        for (text, seconds) in [
            ("+00:00", Some(0)),
            ("-00:00", Some(0)),
            ("+05:30", Some(19_800)),
            ("-03:45", Some(-13_500)),
            ("+14:00", Some(50_400)),
            ("-14:00", Some(-50_400)),
            ("+14:01", None),
            ("+15:00", None),
            ("+05:60", None),
            ("+5:30", None),
            ("+0530", None),
            ("05:30", None),
            ("+-5:30", None),
            ("++5:30", None),
            ("+05:30:00", None),
            ("é05:30", None),
            ("", None),
        ] {
            assert_eq!(offset(text).ok().map(Offset::seconds), seconds, "{text:?}");
        }
    }

    #[test]
    fn codes_are_listed_once_and_never_as_a_success() {
        for (position, (code, ..)) in CODES.iter().enumerate() {
            assert!(CODES[..position].iter().all(|(earlier, ..)| earlier < code), "{code}");
            assert_ne!(*code, success_code());
        }
    }

    #[test]
    fn a_wallet_can_have_its_own_currency() {
        let account: Account =
            serde_yaml::from_str("{ service_id: 7, currency: GHS, currencies: { sms: USD } }").unwrap();
        assert_eq!(account.wallets().map(|(_, currency)| currency.to_string()), ["GHS", "GHS", "USD"]);
        for wrong in ["{ service_id: '7', currency: GHS }", "{ service_id: -7, currency: GHS }", "{ service_id: 7 }"] {
            assert!(serde_yaml::from_str::<Account>(wrong).is_err(), "{wrong}");
        }
    }
}
