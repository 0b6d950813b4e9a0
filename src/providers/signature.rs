//! RSA signatures, PKCS#1 v1.5 with SHA-256: what PayBy and Smilepayz both use.
//!
//! The same keys sign payouts. So a [`SigningKey`] signs a [`BalanceInquiry`] and nothing else, and an
//! inquiry can be made from an account's own parts only.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, PublicKey};
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::rsa_key::{self, Kind};
use super::wire;
use crate::document::Problem;
use crate::failure::{ErrorReason, Failure};
use crate::money::Currency;
use crate::secret::{Secret, Secrets};

/// A request for a balance, with the text that its provider wants signed.
pub(super) struct BalanceInquiry {
    body: Bytes,
    text: Zeroizing<Vec<u8>>,
}

impl BalanceInquiry {
    /// PayBy signs the body as it is.
    /// <https://developers.payby.com/docs/member/get-balance>
    pub(super) fn payby(currency: &Currency, at: Timestamp) -> Self {
        let request_time = at.as_millisecond();
        let body = json!({"bizContent": {"currencyCode": currency.as_str()}, "requestTime": request_time}).to_string();
        Self { text: Zeroizing::new(body.clone().into_bytes()), body: body.into() }
    }

    /// Smilepayz signs the time as the header `X-TIMESTAMP` has it, the merchant's secret and the body.
    /// <https://docs.smilepayz.com/en/product/overview/signature.html>
    pub(super) fn smilepayz(at: Timestamp, secret: &Secret, account_no: &str, balance_type: &str) -> Self {
        let body = json!({"accountNo": account_no, "balanceTypes": [balance_type]}).to_string();
        let time = smilepayz_time(at);
        let text = Zeroizing::new([&time, "|", secret.expose(), "|", &body].concat().into_bytes());
        Self { body: body.into(), text }
    }

    /// The bytes to send: exactly those that were signed.
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl fmt::Debug for BalanceInquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BalanceInquiry")
    }
}

/// The time as Smilepayz's `X-TIMESTAMP` has it: whole seconds with an offset, here always that of UTC.
pub(super) fn smilepayz_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// A merchant's private key.
pub(super) struct SigningKey(KeyPair);

impl SigningKey {
    /// Takes the secret that is configured under `key`: PEM (PKCS#8 or PKCS#1) or base64 of either's DER.
    pub(super) fn configured(secrets: &Secrets, key: &str) -> Result<Self, Problem> {
        Self::parse(wire::secret(secrets, key)?.expose()).map_err(|found| refused(key, "private", &found))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = rsa_key::find(text).map_err(|other| other.to_string())?;
        let pair = match found.kind {
            Kind::PrivatePkcs8 => KeyPair::from_pkcs8(&found.der),
            Kind::PrivatePkcs1 => KeyPair::from_der(&found.der),
            Kind::Public => return Err(found.kind.name().to_owned()),
        };
        pair.map(Self).map_err(|_| DAMAGED.to_owned())
    }

    /// The signature as a header carries it: base64 in one line, hidden from logs.
    pub(super) fn sign(&self, inquiry: &BalanceInquiry) -> Result<HeaderValue, Failure> {
        let failed = || Failure::new(ErrorReason::Internal, "could not sign the balance inquiry");
        let signature = self.sign_bytes(&inquiry.text).ok_or_else(failed)?;
        wire::sensitive(&signature).map_err(|_| failed())
    }

    /// Private, so that nothing but an inquiry is ever signed.
    fn sign_bytes(&self, message: &[u8]) -> Option<String> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(BASE64_STANDARD.encode(signature))
    }

    /// The fingerprint of the public half, to compare with what the provider's portal was given.
    pub(super) fn fingerprint(&self) -> Option<String> {
        fingerprint(self.0.public_key())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// A provider's public key.
pub(super) struct VerifyingKey {
    key: ParsedPublicKey,
    public: PublicKey,
}

impl VerifyingKey {
    /// Takes the secret that is configured under `key`: PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`) or base64
    /// of either's DER.
    pub(super) fn configured(secrets: &Secrets, key: &str) -> Result<Self, Problem> {
        Self::parse(wire::secret(secrets, key)?.expose()).map_err(|found| refused(key, "public", &found))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = rsa_key::find(text).map_err(|other| other.to_string())?;
        match found.kind {
            Kind::PrivatePkcs8 | Kind::PrivatePkcs1 => return Err(found.kind.name().to_owned()),
            Kind::Public => {}
        }
        let public = PublicKey::from_der(&found.der).map_err(|_| DAMAGED)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public).map_err(|_| DAMAGED)?;
        Ok(Self { key, public })
    }

    /// Whether `signature`, in base64, is this key's over these very bytes.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        BASE64_STANDARD.decode(signature).is_ok_and(|signature| self.key.verify_sig(message, &signature).is_ok())
    }

    /// Whether it is the public half of this very key.
    pub(super) fn belongs_to(&self, key: &SigningKey) -> bool {
        self.public.as_ref() == key.0.public_key().as_ref()
    }

    /// The fingerprint, to compare with the one that the provider publishes.
    pub(super) fn fingerprint(&self) -> Option<String> {
        fingerprint(&self.public)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey")
    }
}

const DAMAGED: &str = "an RSA key whose numbers do not belong together";

fn refused(key: &str, half: &str, found: &str) -> Problem {
    Problem::at(key, format!("expected an RSA {half} key, in PEM or as base64 of its DER, but found {found}"))
}

/// What kind of key a secret is, and the fingerprint of its public half, for a person to compare; `None` for any
/// other secret.
pub fn described(secret: &Secret) -> Option<String> {
    let text = secret.expose();
    let (kind, print) = match (SigningKey::parse(text), VerifyingKey::parse(text)) {
        (Ok(key), _) => ("private RSA key, its public half", key.fingerprint()?),
        (_, Ok(key)) => ("public RSA key", key.fingerprint()?),
        (Err(_), Err(_)) => return None,
    };
    Some(format!("{kind} SHA-256 {print}"))
}

/// SHA-256 of the key as `SubjectPublicKeyInfo`, in hexadecimal: what
/// `openssl pkey -pubin -outform DER | sha256sum` prints.
fn fingerprint(key: &PublicKey) -> Option<String> {
    let der = key.as_der().ok()?;
    Some(format!("{:x}", Sha256::digest(der.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey};
    use rsa::signature::{SignatureEncoding, Signer, Verifier};

    const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const FINGERPRINT: &str = "ff3a920331a824f8bb59ab94aa22c9a1e7a7711404f7a86d6225ed810b5bd5a8";

    fn vector(name: &str) -> String {
        std::fs::read_to_string(format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn key() -> SigningKey {
        SigningKey::parse(&vector("key.pkcs8.pem")).unwrap()
    }

    fn public_key() -> VerifyingKey {
        VerifyingKey::parse(&vector("key.pub.pem")).unwrap()
    }

    fn account() -> (Currency, Timestamp) {
        (Currency::parse("AED").unwrap(), "2024-02-21T03:15:34.645Z".parse().unwrap())
    }

    #[test]
    fn every_encoding_of_the_key_gives_the_same_signature() {
        let pem = vector("key.pkcs8.pem");
        for (name, text) in [
            ("PKCS#8", pem.clone()),
            ("PKCS#1", vector("key.pkcs1.pem")),
            ("base64", vector("key.pkcs8.b64")),
            ("CRLF", pem.replace('\n', "\r\n")),
            ("indented", pem.replace('\n', "\n  ")),
        ] {
            let key = SigningKey::parse(&text).unwrap();
            assert_eq!(
                key.sign_bytes(vector("payby.body").as_bytes()).unwrap(),
                vector("payby.sig.b64").trim(),
                "{name}"
            );
            assert_eq!(key.fingerprint().unwrap(), FINGERPRINT, "{name}");
        }
    }

    #[test]
    fn signatures_are_those_that_openssl_makes() {
        let smile = |time: &str| format!("{time}|{SECRET}|{}", vector("smile.body"));
        for (message, expected) in [
            (vector("payby.body"), "Hvewy+bUefHnZb/YBXDoKj3ABurgL2OrRUMwPkCqqcHxgDDsfYws"),
            (vector("payby.crlf.body"), "mgJ81V6TKv5AxUZFXst/HPzHI5IdKgY72X8bUnC0fSqv29qyMy9z"),
            (vector("payby.utf8.body"), "k/WjQNl297jWtgMZODcDNF1mmVVZkwFfXHAoC5U8oC8o8uPwUeV1"),
            (vector("payby.resp"), "Q9XEM95aIStaniF5k2vJzylqdPwI+YISX9oxmT6Nl3Lm2/tyJajf"),
            (smile("2020-12-18T15:06:00-05:00"), "WQ98PBsGyWqcz5aoPBZKwexvM9fIuH69xFHtJCNTqKKCYwABSvum"),
            (smile("2020-12-18T20:06:00Z"), "JckVOMPWZaJ+Q09J+hyloPFu7sWsHl1GEKBeOgYvWqrzrqHvdIJ6"),
            (smile("2020-12-18T20:06:00+00:00"), "L68nHCU7w+aZfTfPHHpp+Zb8qhp03WO2KtzotbK1F9RS2ISPlrGI"),
            (vector("smile.cb"), "rYyQtyjC+M6ETikwCizgGHRf9feg423W3CpYTM0dUrEWAdZZhZz2"),
        ] {
            let signature = key().sign_bytes(message.as_bytes()).unwrap();
            assert!(signature.starts_with(expected) && signature.len() == 344, "{message}: {signature}");
            assert!(public_key().verifies(message.as_bytes(), signature.as_bytes()));
        }
        for (message, signature) in
            [("payby.body", "payby.sig.b64"), ("payby.resp", "payby.resp.sig.b64"), ("smile.cb", "smile.cb.sig.b64")]
        {
            assert_eq!(key().sign_bytes(vector(message).as_bytes()).unwrap(), vector(signature).trim());
        }
    }

    #[test]
    fn inquiries_are_the_bytes_of_the_vectors() {
        let (currency, at) = account();
        let inquiry = BalanceInquiry::payby(&currency, at);
        assert_eq!(inquiry.body(), vector("payby.body"));
        let header = key().sign(&inquiry).unwrap();
        assert_eq!(header.to_str().unwrap(), vector("payby.sig.b64").trim());
        assert!(header.is_sensitive());

        let at = "2020-12-18T20:06:00.999Z".parse().unwrap();
        let inquiry = BalanceInquiry::smilepayz(at, &Secret::new(SECRET), "21220030202403071031", "BALANCE");
        assert_eq!(inquiry.body(), vector("smile.body"));
        assert_eq!(*inquiry.text, vector("smile.sts").into_bytes());
    }

    #[test]
    fn text_of_the_configuration_cannot_leave_its_place_in_the_body() {
        let at = account().1;
        let inquiry = BalanceInquiry::smilepayz(at, &Secret::new("s"), "1\",\"x\":\"", "BALANCE");
        assert_eq!(inquiry.body(), r#"{"accountNo":"1\",\"x\":\"","balanceTypes":["BALANCE"]}"#);
    }

    #[test]
    fn replies_are_verified_over_their_very_bytes() {
        let (reply, signature) = (vector("payby.resp"), vector("payby.resp.sig.b64"));
        let signature = signature.trim();
        let verifies = |reply: &str, signature: &str| public_key().verifies(reply.as_bytes(), signature.as_bytes());
        assert!(verifies(&reply, signature));
        assert!(!verifies(&reply.replace("897993.88", "897993.8"), signature));
        assert!(!verifies(&(reply.clone() + "\n"), signature));
        assert!(!verifies(&reply, vector("payby.sig.b64").trim()));
        for garbage in ["", "%", "AAAA", &signature[1..], &format!("{signature}="), &"A".repeat(1 << 20)] {
            assert!(!verifies(&reply, garbage));
        }
    }

    #[test]
    fn another_implementation_agrees() {
        let private = rsa::RsaPrivateKey::from_pkcs8_pem(&vector("key.pkcs8.pem")).unwrap();
        let public = rsa::RsaPublicKey::from_public_key_pem(&vector("key.pub.pem")).unwrap();
        let theirs = rsa::pkcs1v15::SigningKey::<Sha256>::new(private);
        let verifier = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(public.clone());
        for message in [&b""[..], b"one", &[0xff; 4096]] {
            let ours = BASE64_STANDARD.decode(key().sign_bytes(message).unwrap()).unwrap();
            verifier.verify(message, &ours.as_slice().try_into().unwrap()).unwrap();
            assert_eq!(ours, theirs.sign(message).to_vec());
        }
        let der = public.to_public_key_der().unwrap();
        assert_eq!(format!("{:x}", Sha256::digest(der.as_bytes())), FINGERPRINT);
    }

    #[test]
    fn a_public_key_is_read_in_every_encoding() {
        use rsa::pkcs1::EncodeRsaPublicKey;
        let public = rsa::RsaPublicKey::from_public_key_pem(&vector("key.pub.pem")).unwrap();
        let pkcs1 = public.to_pkcs1_der().unwrap();
        for text in [
            vector("key.pub.pem"),
            vector("key.pub.b64"),
            public.to_pkcs1_pem(rsa::pkcs8::LineEnding::CRLF).unwrap(),
            BASE64_STANDARD.encode(pkcs1.as_bytes()),
        ] {
            let key = VerifyingKey::parse(&text).unwrap();
            assert_eq!(key.fingerprint().unwrap(), FINGERPRINT);
            assert!(key.verifies(vector("payby.resp").as_bytes(), vector("payby.resp.sig.b64").trim().as_bytes()));
        }
    }

    #[test]
    fn the_wrong_half_is_refused_by_name_and_never_shown() {
        let secrets: Secrets = [
            ("private_key", Secret::new(vector("key.pub.pem"))),
            ("platform_public_key", Secret::new(vector("key.pkcs1.pem"))),
        ]
        .into_iter()
        .collect();
        let text = |problem: Problem| format!("{}: {}", problem.path, problem.message);
        assert_eq!(
            SigningKey::configured(&secrets, "private_key").map_err(text).unwrap_err(),
            "private_key: expected an RSA private key, in PEM or as base64 of its DER, but found a public key"
        );
        assert_eq!(
            VerifyingKey::configured(&secrets, "platform_public_key").map_err(text).unwrap_err(),
            "platform_public_key: expected an RSA public key, in PEM or as base64 of its DER, but found a private key"
        );
        let mut damaged = std::fs::read(format!("{}/tests/vectors/key.pkcs8.der", env!("CARGO_MANIFEST_DIR"))).unwrap();
        damaged[300] ^= 1;
        assert_eq!(SigningKey::parse(&BASE64_STANDARD.encode(damaged)).unwrap_err(), DAMAGED);
    }

    crate::secret::never_shown!(SigningKey, BalanceInquiry, VerifyingKey);

    /// Text that would break out of the place where it stands, if anything could.
    fn hostile() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    "\"",
                    "\\",
                    "|",
                    "{",
                    "}",
                    "[",
                    "]",
                    ",",
                    ":",
                    "\n",
                    "\u{0}",
                    "\u{2028}",
                    "\"payOrder\":{}",
                    "\"],\"amount\":[\"1",
                    "{\"bizContent\":",
                    "/v2.0/disbursement",
                    "BALANCE",
                    "1",
                    "\u{d7ff}",
                ])
                .prop_map(str::to_owned),
                any::<char>().prop_map(String::from),
            ],
            0..12,
        )
        .prop_map(|pieces| pieces.concat())
    }

    fn only<'a>(object: &'a serde_json::Value, keys: &[&str]) -> &'a serde_json::Map<String, serde_json::Value> {
        let object = object.as_object().unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), keys);
        object
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50_000, ..ProptestConfig::default() })]

        #[test]
        fn payby_is_asked_for_the_balance_in_the_configured_currency_and_for_nothing_else(
            code in prop::sample::select(vec!["AED", "USD", "KWD", "USDT"]),
            millis in 0_i64..4_000_000_000_000,
        ) {
            let at = Timestamp::from_millisecond(millis).unwrap();
            let inquiry = BalanceInquiry::payby(&Currency::parse(code).unwrap(), at);
            prop_assert_eq!(&*inquiry.text, &inquiry.body()[..], "what is sent is what is signed");
            let signed: serde_json::Value = serde_json::from_slice(&inquiry.text).unwrap();
            let fields = only(&signed, &["bizContent", "requestTime"]);
            prop_assert_eq!(&only(&fields["bizContent"], &["currencyCode"])["currencyCode"], code);
            prop_assert_eq!(&fields["requestTime"], millis);
        }

        #[test]
        fn smilepayz_is_asked_for_the_balance_of_the_configured_account_and_for_nothing_else(
            (secret, account, kind) in (hostile(), hostile(), hostile()),
            seconds in 0_i64..4_000_000_000,
        ) {
            let at = Timestamp::from_second(seconds).unwrap();
            let inquiry = BalanceInquiry::smilepayz(at, &Secret::new(&*secret), &account, &kind);
            let head = format!("{}|{secret}|", smilepayz_time(at));
            let signed = inquiry.text.strip_prefix(head.as_bytes()).expect("the time and the secret come first");
            prop_assert_eq!(signed, &inquiry.body()[..], "what is sent is what is signed");
            let signed: serde_json::Value = serde_json::from_slice(signed).unwrap();
            let fields = only(&signed, &["accountNo", "balanceTypes"]);
            prop_assert_eq!(&fields["accountNo"], &account);
            prop_assert_eq!(&fields["balanceTypes"], &json!([kind]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn the_signature_is_over_the_inquiry(account in hostile(), seconds in 0_i64..4_000_000_000) {
            let at = Timestamp::from_second(seconds).unwrap();
            let inquiry = BalanceInquiry::smilepayz(at, &Secret::new(SECRET), &account, "BALANCE");
            let signature = key().sign(&inquiry).unwrap();
            prop_assert!(signature.is_sensitive());
            prop_assert!(public_key().verifies(&inquiry.text, signature.as_bytes()));
        }
    }

    #[test]
    fn debug_shows_the_type_only() {
        let inquiry = BalanceInquiry::payby(&account().0, account().1);
        assert_eq!(format!("{:?} {:?} {inquiry:?}", key(), public_key()), "SigningKey VerifyingKey BalanceInquiry");
    }
}
