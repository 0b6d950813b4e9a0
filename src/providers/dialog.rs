//! Dialog Axiata's `IdeaBiz`: the balance of a subscriber's number, read with an OAuth 2 token.
//!
//! The number is personal data. It stands in the path of the request and nowhere else: not in a
//! failure, not in the reading, not in any `Debug`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::msisdn::{Number, Subscriber, bare, is_path_segment};
use super::oauth::{self, OAuth};
use super::wire::Object;
use super::{Adapter, Exchange, Facts, Login, Provider, Reading, Renewal, Site, Step, token, wire, wso2};
use crate::account::{Balance, Wallet};
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure};
use crate::money::Currency;
use crate::secret::{Secret, Secrets, Source};

/// A connection to the gateway.
pub(super) struct Dialog {
    /// Up to the number.
    endpoint: Arc<str>,
    currency: Currency,
    access: Access,
}

/// Where the access token comes from.
#[derive(Clone)]
enum Access {
    /// From the configuration; somebody else renews it.
    Token(Secret),
    /// From a login, by way of the session.
    Login(Arc<OAuth>),
}

/// The keys of a provider entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The version segment of the API's path, as the application is subscribed to it.
    #[serde(default = "version")]
    version: String,
    /// The currency of all accounts, since no reply tells it.
    #[serde(default = "Currency::lkr")]
    currency: Currency,
    /// An access token that something else renews. This or `login`.
    token: Option<Source>,
    /// How to obtain access tokens. This or `token`.
    login: Option<oauth::Settings>,
}

/// The keys of an account entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The subscriber's number with country code, with or without `tel:` and `+`. This or
    /// `encrypted_msisdn`.
    msisdn: Option<Number>,
    /// The encrypted number as it goes into the path, percent-encoding included. This or `msisdn`.
    encrypted_msisdn: Option<Number>,
    /// Over the provider entry's.
    currency: Option<Currency>,
    /// Show the balance of a number that is not active, too.
    #[serde(default)]
    accept_inactive: bool,
}

fn subscriber(account: &Account) -> Result<Subscriber, Problem> {
    Subscriber::of(account.msisdn.as_ref(), account.encrypted_msisdn.as_ref())
}

fn version() -> String {
    "v3".to_owned()
}

impl Adapter for Dialog {
    const FACTS: Facts = Facts {
        name: "dialog",
        title: "Dialog Axiata IdeaBiz",
        documentation: "https://docs.ideabiz.lk/APIs/Main/Balance_Check/",
        authentication: "OAuth 2 bearer token",
        production: "https://ideabiz.lk",
        sandbox: None,
        rate_limit: &[(30, Duration::from_secs(60))],
        rate_limit_source: "our own care: tiers are set per application",
        wallets: &["main"],
    };
    type Settings = Settings;
    type Account = Account;

    fn secrets(settings: &Settings) -> Vec<(&'static str, &Source)> {
        let token = settings.token.iter().map(|source| ("token", source));
        token.chain(settings.login.iter().flat_map(oauth::Settings::secrets)).collect()
    }

    fn check(settings: &Settings, _: &Site) -> Result<(), Problem> {
        let version = &settings.version;
        let plain = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !plain || !(1..=16).contains(&version.len()) || !is_path_segment(version) {
            return Err(Problem::at("version", "expected a version such as v3 or v4.2"));
        }
        match (&settings.token, &settings.login) {
            (Some(_), None) => Ok(()),
            (None, Some(login)) => login.check(),
            (Some(_), Some(_)) => Err(Problem::at("token", "give this or `login`, not both")),
            (None, None) => Err(Problem::at("login", "give this or `token`")),
        }
    }

    fn check_account(_: &Settings, account: &Account) -> Result<(), Problem> {
        subscriber(account).map(drop)
    }

    fn wallets(settings: &Settings, account: &Account) -> Vec<(Wallet, Currency)> {
        vec![(Wallet::MAIN, account.currency.as_ref().unwrap_or(&settings.currency).clone())]
    }

    fn connect(settings: &Settings, site: &Site, secrets: &Secrets) -> Result<Self, Problem> {
        let access = match &settings.login {
            Some(login) => Access::Login(Arc::new(OAuth::connect(login, &site.base_url, "/apicall/token", secrets)?)),
            None => Access::Token(wire::secret(secrets, "token")?.clone()),
        };
        if let Access::Token(token) = &access
            && !token::is_token(token)
        {
            return Err(Problem::at("token", "expected an access token: printable ASCII without spaces"));
        }
        let endpoint = wire::endpoint(&site.base_url, &format!("/apicall/balancecheck/{}", settings.version)).into();
        Ok(Self { endpoint, currency: settings.currency.clone(), access })
    }

    fn login(&self) -> Option<Arc<dyn Login>> {
        match &self.access {
            Access::Token(_) => None,
            Access::Login(login) => Some(login.clone()),
        }
    }

    fn account(&self, account: &Account) -> Arc<dyn Provider> {
        Arc::new(Line {
            endpoint: self.endpoint.clone(),
            subscriber: subscriber(account).ok(),
            currency: account.currency.as_ref().unwrap_or(&self.currency).clone(),
            accept_inactive: account.accept_inactive,
            access: self.access.clone(),
        })
    }
}

/// One subscriber's line.
struct Line {
    endpoint: Arc<str>,
    /// There, since `check_account` passed.
    subscriber: Option<Subscriber>,
    currency: Currency,
    accept_inactive: bool,
    access: Access,
}

impl Provider for Line {
    fn step(&self, exchange: &Exchange<'_>) -> Result<Step, Failure> {
        let Some(subscriber) = &self.subscriber else {
            return Err(Failure::new(ErrorReason::Internal, "the subscriber's number was never checked"));
        };
        match exchange.replies.last() {
            None => self.request(subscriber, exchange).map(Step::Send),
            Some(reply) => self.judge(subscriber, reply, exchange.at),
        }
    }

    fn private(&self) -> Vec<&str> {
        self.subscriber.iter().map(Subscriber::segment).collect()
    }
}

impl Line {
    fn request(&self, subscriber: &Subscriber, exchange: &Exchange<'_>) -> Result<Request<Bytes>, Failure> {
        let token = match &self.access {
            Access::Token(token) => Some(token),
            Access::Login(_) => exchange.session.map(|session| &session.token),
        };
        let token = token.ok_or_else(|| Failure::new(ErrorReason::Internal, "there is no session to read with"))?;
        let bearer = Secret::new(format!("Bearer {}", token.expose()));
        let bearer = wire::sensitive(bearer.expose())
            .map_err(|_| Failure::new(ErrorReason::Internal, "the access token does not fit into a header"))?;
        let request = Request::get(format!("{}/{}/transactions/amount/balance", self.endpoint, subscriber.segment()))
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::new());
        wire::built(request)
    }

    /// The gates of a reply: redirect, the gateway's fault, throttling, the backend's exception, status,
    /// shape, the subscriber, the numbers.
    fn judge(&self, subscriber: &Subscriber, reply: &Response<Bytes>, at: Timestamp) -> Result<Step, Failure> {
        if reply.status().is_redirection() {
            wire::success(reply, at)?;
        }
        if let Some(fault) = wso2::fault(reply) {
            return self.over(renewal(fault.meaning), fault.failure(reply, at));
        }
        let body = wire::object::<Body>(reply.body());
        if let Ok(Body { request_error: Some(exception), .. }) = &body
            && reply.status() != StatusCode::TOO_MANY_REQUESTS
        {
            return Err(refused(exception).retry_after(wire::retry_after(reply.headers(), at)));
        }
        if let Err(failure) = wire::success(reply, at) {
            let renewal = (reply.status() == StatusCode::UNAUTHORIZED).then_some(Renewal::LogIn);
            return self.over(renewal, failure);
        }
        self.reading(subscriber, body?).map(Step::Done)
    }

    /// The failure, or the end of the session that another login may bring back.
    fn over(&self, renewal: Option<Renewal>, failure: Failure) -> Result<Step, Failure> {
        match (&self.access, renewal) {
            (Access::Login(_), Some(renewal)) => Ok(Step::SessionOver { renewal, failure }),
            (Access::Token(_), _) | (_, None) => Err(failure),
        }
    }

    fn reading(&self, subscriber: &Subscriber, body: Body) -> Result<Reading, Failure> {
        if body.fault.is_some() {
            return Err(Failure::new(ErrorReason::Rejected, "the gateway answered with a fault without a known code"));
        }
        let Object(info) =
            body.account_info.ok_or_else(|| Failure::new(ErrorReason::Schema, "the reply has no accountInfo"))?;
        if let Subscriber::Plain(asked) = subscriber {
            let echoed = body.end_user_id.as_deref().map(bare);
            wire::same_identity("endUserId", Some(asked), Some(echoed.unwrap_or_default()))?;
        }
        let inactive = info.status.as_ref().is_none_or(|status| !status.eq_ignore_ascii_case("active"));
        if inactive && !self.accept_inactive {
            return Err(Failure::new(
                ErrorReason::Mismatch,
                "the reply does not say that the number is active; with `accept_inactive` its balance is shown all the same",
            ));
        }
        let amount = wire::number("balance", &info.balance)?;
        let prepaid = info.kind.as_ref().is_some_and(|kind| kind.eq_ignore_ascii_case("prepaid"));
        let balance = Balance {
            amount: Some(amount),
            available: prepaid.then_some(amount),
            credit_limit: info.credit_limit.map(|raw| wire::number("creditLimit", &raw)).transpose()?,
            ..Balance::empty(Wallet::MAIN, self.currency.clone())
        };
        let labels = [("type", info.kind), ("status", info.status)];
        let info = labels.into_iter().filter_map(|(name, value)| Some((name, label(&value?)?))).collect();
        Ok(Reading::of(vec![balance])?.with_info(info))
    }
}

const fn renewal(meaning: wso2::Meaning) -> Option<Renewal> {
    match meaning {
        wso2::Meaning::SessionExpired => Some(Renewal::Refresh),
        wso2::Meaning::SessionInvalid => Some(Renewal::LogIn),
        wso2::Meaning::Throttled
        | wso2::Meaning::OutOfOrder
        | wso2::Meaning::Forbidden
        | wso2::Meaning::NoSuchResource
        | wso2::Meaning::Unknown => None,
    }
}

/// A word of the provider as the value of a label: in capitals, since versions of the API differ in that;
/// left out if it is not a plain word.
fn label(word: &str) -> Option<String> {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-".contains(&byte));
    (plain && (1..=16).contains(&word.len())).then(|| word.to_ascii_uppercase())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    end_user_id: Option<String>,
    account_info: Option<Object<AccountInfo>>,
    request_error: Option<Box<RawValue>>,
    fault: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct AccountInfo {
    #[serde(rename = "accountType")]
    kind: Option<String>,
    #[serde(rename = "accountStatus")]
    status: Option<String>,
    #[serde(rename = "creditLimit", default, deserialize_with = "wire::sent")]
    credit_limit: Option<Box<RawValue>>,
    balance: Box<RawValue>,
}

/// The backend's exception, by its message id: the texts of it can hold the number.
fn refused(exception: &RawValue) -> Failure {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RequestError {
        service_exception: Option<Exception>,
        policy_exception: Option<Exception>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Exception {
        message_id: String,
    }
    // digits alone could be the number
    let plain = |id: &String| {
        let word = id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        word && id.len() <= 16 && id.starts_with(|first: char| first.is_ascii_uppercase())
    };
    let id = serde_json::from_str::<RequestError>(exception.get())
        .ok()
        .and_then(|error| error.service_exception.or(error.policy_exception))
        .map(|exception| exception.message_id)
        .filter(plain);
    let detail = match id {
        Some(id) => format!("the provider refused the request with {id}; check that it allows this number"),
        None => "the provider refused the request without a known message id".to_owned(),
    };
    Failure::new(ErrorReason::Rejected, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Environment;

    fn site() -> Site {
        Site { base_url: "https://ideabiz.example/pre/".parse().unwrap(), environment: Environment::Production }
    }

    fn settings(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    const LOGIN: &str = "login: { grant: client_credentials, client_id: key, client_secret: { file: s } }";

    #[test]
    fn problems_name_their_key() {
        let token = "token: { file: t }";
        for (yaml, problem) in [
            (token.to_owned(), None),
            (LOGIN.to_owned(), None),
            (format!("{token}, {LOGIN}"), Some("token")),
            ("currency: USD".to_owned(), Some("login")),
            (LOGIN.replace("client_id: key", "client_id: ''"), Some("login.client_id")),
            (format!("{token}, version: v4.2"), None),
            (format!("{token}, version: ''"), Some("version")),
            (format!("{token}, version: .."), Some("version")),
            (format!("{token}, version: v3/x"), Some("version")),
            (format!("{token}, version: v%33"), Some("version")),
            (format!("{token}, version: v1234567890123456"), Some("version")),
        ] {
            let checked = Dialog::check(&settings(&format!("{{ {yaml} }}")), &site());
            assert_eq!(checked.err().map(|problem| problem.path.to_string()).as_deref(), problem, "{yaml}");
        }
    }

    #[test]
    fn the_number_is_private_and_mute() {
        let account: Account = serde_yaml::from_str("msisdn: 'tel:+94770000000'").unwrap();
        assert!(!format!("{account:?}").contains("9477"));
        let secrets = [("token", Secret::new("t"))].into_iter().collect();
        let dialog = Dialog::connect(&settings("token: { file: t }"), &site(), &secrets).unwrap();
        assert_eq!(dialog.account(&account).private(), ["94770000000"]);
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_refused_at_once() {
        for text in ["", "a b", "a\nb"] {
            let secrets = [("token", Secret::new(text))].into_iter().collect();
            let problem = Dialog::connect(&settings("token: { file: t }"), &site(), &secrets).err().unwrap();
            assert_eq!(problem.path.to_string(), "token", "{text:?}");
        }
    }

    #[test]
    fn only_plain_words_become_labels() {
        for (word, expected) in [
            ("Active", Some("ACTIVE")),
            ("pre-paid_2x", None),
            ("pre-paid_x", Some("PRE-PAID_X")),
            ("", None),
            ("abcdefghijklmnopq", None),
            ("94770000000", None),
            ("\u{130}", None),
        ] {
            assert_eq!(label(word).as_deref(), expected, "{word:?}");
        }
    }
}
