//! The sandbox's key pairs, and its half of every signature: made with `rsa` and `sha2`, an implementation
//! independent of the one that the exporter signs and verifies with.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use rsa::pkcs1v15::{Signature, SigningKey, VerifyingKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::signature::{SignatureEncoding, Signer, Verifier};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::Sha256;

use super::call::with;

/// The public half of the key that stands in for PayBy's in the recorded exchanges.
const RECORDING_KEY: &str = include_str!("../../tests/vectors/key.pub.pem");

/// A key could not be made or written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey(&'static str);

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} of the sandbox", self.0)
    }
}

impl std::error::Error for BadKey {}

/// Everything that signs or verifies.
#[derive(Clone)]
pub(super) struct Keys {
    /// The merchant's key pair, which signs requests to PayBy and Smilepayz.
    pub(super) merchant: Pair,
    /// PayBy's key pair, which signs its replies.
    pub(super) platform: Pair,
    recording: VerifyingKey<Sha256>,
}

impl Keys {
    /// Fresh ones. They protect nothing.
    pub(super) fn generate() -> Result<Self, BadKey> {
        Self::of(Pair::generate()?, Pair::generate()?)
    }

    pub(super) fn of(merchant: Pair, platform: Pair) -> Result<Self, BadKey> {
        let recording = RsaPublicKey::from_public_key_pem(RECORDING_KEY).map_err(|_| BadKey("read the test key"))?;
        Ok(Self { merchant, platform, recording: VerifyingKey::new(recording) })
    }

    /// True if a recorded reply was signed by the key of the recordings.
    pub(super) fn signed_when_recorded(&self, text: &[u8], signature: &str) -> bool {
        verifies(&self.recording, text, signature)
    }

    /// A reply of PayBy's, signed by the platform over its exact bytes.
    pub(super) fn signed(&self, reply: Response<Bytes>) -> Response<Bytes> {
        match self.platform.sign(reply.body()) {
            Some(signature) => with(reply, "sign", &signature),
            None => reply,
        }
    }
}

/// A key pair, and both halves as texts for a configuration.
#[derive(Clone)]
pub(super) struct Pair {
    signing: SigningKey<Sha256>,
    verifying: VerifyingKey<Sha256>,
    pub(super) private_pem: String,
    pub(super) public_pem: String,
}

impl Pair {
    /// A fresh pair. Only the primes come from `aws-lc-rs`, because `rsa` is slow at finding them.
    fn generate() -> Result<Self, BadKey> {
        const FAILED: BadKey = BadKey("generate a key");
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| FAILED)?;
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| FAILED)?;
        Self::of(RsaPrivateKey::from_pkcs8_der(der.as_ref()).map_err(|_| FAILED)?)
    }

    /// The pair of a private key.
    pub(super) fn of(private: RsaPrivateKey) -> Result<Self, BadKey> {
        const FAILED: BadKey = BadKey("write down a key");
        let public = private.to_public_key();
        Ok(Self {
            private_pem: private.to_pkcs8_pem(LineEnding::LF).map_err(|_| FAILED)?.to_string(),
            public_pem: public.to_public_key_pem(LineEnding::LF).map_err(|_| FAILED)?,
            signing: SigningKey::new(private),
            verifying: VerifyingKey::new(public),
        })
    }

    /// RSA with SHA-256, in base64 on one line; `None` if the key is too small to sign.
    pub(super) fn sign(&self, text: &[u8]) -> Option<String> {
        self.signing.try_sign(text).ok().map(|signature| STANDARD.encode(signature.to_bytes()))
    }

    /// True if `signature` is this pair's over `text`, in base64 on one line.
    pub(super) fn verifies(&self, text: &[u8], signature: &str) -> bool {
        verifies(&self.verifying, text, signature)
    }
}

fn verifies(key: &VerifyingKey<Sha256>, text: &[u8], signature: &str) -> bool {
    let bytes = STANDARD.decode(signature).ok();
    let signature = bytes.and_then(|bytes| Signature::try_from(bytes.as_slice()).ok());
    signature.is_some_and(|signature| key.verify(text, &signature).is_ok())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// The merchant has the key of the vectors, the platform another.
    pub(in crate::sandbox) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let vectors = RsaPrivateKey::from_pkcs8_pem(include_str!("../../tests/vectors/key.pkcs8.pem")).unwrap();
        Keys::of(Pair::of(vectors).unwrap(), Pair::generate().unwrap()).unwrap()
    });

    #[test]
    fn the_vectors_verify_and_are_reproduced() {
        let body = include_bytes!("../../tests/vectors/payby.body");
        let signature = include_str!("../../tests/vectors/payby.sig.b64").trim();
        assert!(KEYS.merchant.verifies(body, signature));
        assert_eq!(KEYS.merchant.sign(body).unwrap(), signature);
        assert!(!KEYS.merchant.verifies(&body[1..], signature));
        assert!(!KEYS.platform.verifies(body, signature));
        for bad in ["", "====", &signature[..340], &signature[4..], &format!("{signature}\n")] {
            assert!(!KEYS.merchant.verifies(body, bad), "{bad:?}");
        }
    }

    #[test]
    fn a_recorded_signature_is_recognised() {
        let body = include_bytes!("../../tests/vectors/payby.resp");
        let signature = include_str!("../../tests/vectors/payby.resp.sig.b64").trim();
        assert!(KEYS.signed_when_recorded(body, signature));
        assert!(!KEYS.signed_when_recorded(body, &KEYS.platform.sign(body).unwrap()));
    }

    #[test]
    fn generated_pairs_are_usable_and_differ() {
        let pair = Pair::generate().unwrap();
        assert!(pair.verifies(b"text", &pair.sign(b"text").unwrap()));
        assert!(!pair.verifies(b"text", &KEYS.platform.sign(b"text").unwrap()));
        assert!(pair.private_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(pair.public_pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    }
}
