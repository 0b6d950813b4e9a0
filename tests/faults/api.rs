//! The four APIs as a provider speaks them: the configuration that polls one, and replies that are as they should be.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What the first poll of a scene reads.
pub(crate) const FIRST: &str = "1204.50";
/// What a misbehaving provider tries to have shown.
pub(crate) const SECOND: &str = "77.25";

/// What the provider is told to echo wherever it can: every secret, and every number that is nobody's business.
pub(crate) const CANARIES: [&str; 12] = [
    "canary-client-secret",
    "canary-password",
    "canary-token",
    "canary-refresh",
    "canary-bridge-password",
    "canary-merchant-secret",
    "94770000000",
    "21220030202403071031",
    "200000030907",
    "Y2FuYXJ5LWlkOmNhbmFyeS1jbGllbnQtc2VjcmV0",
    "Y2FuYXJ5LXVzZXI6Y2FuYXJ5LWJyaWRnZS1wYXNzd29yZA==",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCxOF5aYHi6ZD2r",
];

const PRIVATE_KEY: &str = include_str!("../vectors/merchant.pkcs8.pem");
const PUBLIC_KEY: &str = include_str!("../vectors/key.pub.pem");
static PLATFORM: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::from_pkcs8(include_bytes!("../vectors/key.pkcs8.der")).unwrap());
static STRANGER: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    Bridge,
    Dialog,
    PayBy,
    Smilepayz,
}

use Api::{Bridge, Dialog, PayBy, Smilepayz};

pub(crate) const ALL: &[Api] = &[Bridge, Dialog, PayBy, Smilepayz];

impl Api {
    /// The value of `api:`, and the name of the provider entry.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Bridge => "bridge",
            Dialog => "dialog",
            PayBy => "payby",
            Smilepayz => "smilepayz",
        }
    }

    /// The wallet whose available figure a scene looks at.
    pub(crate) const fn wallet(self) -> &'static str {
        match self {
            Bridge => "payout",
            Dialog | PayBy | Smilepayz => "main",
        }
    }

    /// The API's own keys of a provider entry, each in a line.
    pub(crate) fn provider_keys(self) -> &'static str {
        match self {
            Bridge => "username: canary-user\npassword: { env: BRIDGE_PASSWORD }",
            Dialog => {
                "login: { grant: client_credentials, client_id: canary-id, client_secret: { env: CLIENT_SECRET } }"
            }
            PayBy => {
                "partner_id: '200000018128'\nprivate_key: { env: PRIVATE_KEY }\nplatform_public_key: { env: PUBLIC_KEY }"
            }
            Smilepayz => {
                "merchant_id: '20119'\nmerchant_secret: { env: MERCHANT_SECRET }\nprivate_key: { env: PRIVATE_KEY }"
            }
        }
    }

    /// The API's own keys of an account entry.
    pub(crate) const fn account_keys(self) -> &'static str {
        match self {
            Bridge => "service_id: 4101, currency: GHS",
            Dialog => "msisdn: '94770000000'",
            PayBy => "currency: AED",
            Smilepayz => "account_no: '21220030202403071031', currency: PEN",
        }
    }

    /// A figure as JSON writes it in this API: as a number or as a text.
    pub(crate) fn token(self, figure: &str) -> String {
        match self {
            Bridge | Dialog | PayBy => figure.to_owned(),
            Smilepayz => format!("\"{figure}\""),
        }
    }

    /// The body of a success with this token where the figure belongs, and these members beside the documented ones.
    pub(crate) fn body(self, token: &str, more: &str) -> String {
        match self {
            Bridge => format!(
                r#"{{{more}"response_data":{{"payout_balance":{token},"collection_balance":0.37,"sms_balance":0.0}},"response_message":"Success","response_code":"000"}}"#
            ),
            Dialog => format!(
                r#"{{{more}"endUserId":"94770000000","referenceCode":"REF-1","accountInfo":{{"accountType":"PREPAID","accountStatus":"Active","creditLimit":0,"balance":{token}}}}}"#
            ),
            PayBy => format!(
                r#"{{{more}"body":{{"balanceList":[{{"availableBalance":{{"amount":{token},"currency":"AED"}}}}],"memberId":"200000030907"}},"head":{{"applyStatus":"SUCCESS","code":"0","msg":"SUCCESS","success":true,"traceCode":"375099"}}}}"#
            ),
            Smilepayz => format!(
                r#"{{{more}"code":"00","message":"success","accountNo":"21220030202403071031","accountInfos":{{"balanceType":"BALANCE","amount":{{"currency":"PEN","value":{token}}},"availableBalance":{{"currency":"PEN","value":{token}}}}}}}"#
            ),
        }
    }

    /// A reply that is as it should be.
    pub(crate) fn good(self, figure: &str) -> Message {
        self.says(self.body(&self.token(figure), ""))
    }

    /// This body in a reply that is otherwise as it should be, signed where replies are.
    pub(crate) fn says(self, body: impl AsRef<[u8]>) -> Message {
        let message = Message::new(200, body.as_ref());
        if self == PayBy { message.signed() } else { message }
    }
}

/// The environment that the configuration's secrets come from.
pub(crate) fn secrets() -> BTreeMap<String, String> {
    let pairs = [
        ("BRIDGE_PASSWORD", "canary-bridge-password"),
        ("CLIENT_SECRET", "canary-client-secret"),
        ("USER_PASSWORD", "canary-password"),
        ("REFRESH_TOKEN", "canary-refresh"),
        ("MERCHANT_SECRET", "canary-merchant-secret"),
        ("PRIVATE_KEY", PRIVATE_KEY),
        ("PUBLIC_KEY", PUBLIC_KEY),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A body that gives away whatever it was sent.
pub(crate) fn echo() -> String {
    CANARIES.join(" ")
}

/// What the token endpoint answers.
pub(crate) fn token(members: &str) -> Message {
    Message::new(200, format!(r#"{{"scope":"default",{members}}}"#).as_bytes())
}

/// A token that is good for this many seconds.
pub(crate) fn token_for(seconds: u32) -> Message {
    let refresh = r#""refresh_token":"canary-refresh-2""#;
    token(&format!(r#""token_type":"bearer","expires_in":{seconds},"access_token":"canary-token",{refresh}"#))
}

/// A reply in the making.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Self { status, headers: vec![json], body: body.to_vec() }
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more line, even if there is one of that name.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Signs the body as PayBy does.
    pub(crate) fn signed(self) -> Self {
        let signature = signature(&PLATFORM, &self.body);
        self.header("sign", signature)
    }

    /// Signs the body as whoever is not PayBy does.
    pub(crate) fn signed_by_a_stranger(self) -> Self {
        let signature = signature(&STRANGER, &self.body);
        self.header("sign", signature)
    }

    /// Signs another body.
    pub(crate) fn signed_for(self, body: &str) -> Self {
        self.header("sign", signature(&PLATFORM, body.as_bytes()))
    }

    /// Everything before the body, without a statement of length and without the empty line.
    pub(crate) fn head(&self) -> String {
        let line = format!("HTTP/1.1 {} Said\r\n", self.status);
        self.headers.iter().fold(line, |head, (name, value)| head + name + ": " + value + "\r\n")
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes of it, with its length.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head(), self.body.len());
        [head.as_bytes(), &self.body].concat()
    }

    /// The bytes of it, ended by the end of the connection.
    pub(crate) fn to_the_end(&self) -> Vec<u8> {
        [self.head().as_bytes(), b"\r\n", &self.body].concat()
    }
}

fn signature(key: &KeyPair, message: &[u8]) -> String {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    BASE64_STANDARD.encode(signature)
}
