//! From the web configuration to what TLS needs.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use super::file::{ClientAuth, Tls, Version, problem};
use crate::document::{Problem, choice};

/// The names that the format has for what is offered here. Names of TLS 1.3 are accepted and choose nothing, since its
/// suites are not a matter of choice there.
const SUITES: [(&str, Option<SupportedCipherSuite>); 11] = [
    ("TLS_AES_128_GCM_SHA256", None),
    ("TLS_AES_256_GCM_SHA384", None),
    ("TLS_CHACHA20_POLY1305_SHA256", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        Some(aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        Some(aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
];

const CURVES: [(&str, &dyn SupportedKxGroup); 4] = [
    ("X25519MLKEM768", aws_lc_rs::kx_group::X25519MLKEM768),
    ("X25519", aws_lc_rs::kx_group::X25519),
    ("CurveP256", aws_lc_rs::kx_group::SECP256R1),
    ("CurveP384", aws_lc_rs::kx_group::SECP384R1),
];

/// The contents of certificate, key and authorities.
pub(super) type Contents = [Option<Vec<u8>>; 3];

/// What the server needs for a handshake.
pub(super) fn config(tls: &Tls, contents: &Contents) -> Result<ServerConfig, Problem> {
    let [(cert_key, _), (key_key, _), (authorities_key, _)] = tls.parts();
    let [cert, key, authorities] = contents.each_ref().map(|content| content.as_deref().unwrap_or_default());
    let provider = Arc::new(provider(tls)?);
    let chain = certificates(cert_key, cert)?;
    let no_key = "holds no private key: expected PEM, without a password";
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| problem(key_key, no_key))?;
    let versions: Vec<&SupportedProtocolVersion> =
        [(Version::Tls13, &rustls::version::TLS13), (Version::Tls12, &rustls::version::TLS12)]
            .into_iter()
            .filter(|(version, _)| (tls.min_version..=tls.max_version).contains(version))
            .map(|(_, version)| version)
            .collect();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|_| problem("cipher_suites", "leaves nothing for the versions that are spoken"))?;
    let builder = match tls.client_auth_type {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Request | ClientAuth::RequireAny | ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
            builder.with_client_cert_verifier(Arc::new(ClientCheck::new(tls, authorities_key, authorities, &provider)?))
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let is_another = matches!(error, Error::InconsistentKeys(_));
        problem(
            key_key,
            if is_another { "is not the key of the certificate" } else { "cannot be used with the certificate" },
        )
    })?;
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(problem(key, "holds no certificate: expected PEM")),
    }
}

fn provider(tls: &Tls) -> Result<CryptoProvider, Problem> {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.cipher_suites.is_empty() {
        let mut chosen = Vec::new();
        for name in &tls.cipher_suites {
            let Some((_, suite)) = SUITES.iter().find(|(known, _)| known == name) else {
                let wanted =
                    format!("unknown or not safe enough: expected of {}", choice(SUITES.iter().map(|(name, _)| *name)));
                return Err(problem("cipher_suites", &wanted));
            };
            chosen.extend(*suite);
        }
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        provider.cipher_suites.extend(chosen);
    }
    if !tls.curve_preferences.is_empty() {
        provider.kx_groups.clear();
        for name in &tls.curve_preferences {
            let Some((_, group)) = CURVES.iter().find(|(known, _)| known == name) else {
                let wanted = format!("not spoken here: expected of {}", choice(CURVES.iter().map(|(name, _)| *name)));
                return Err(problem("curve_preferences", &wanted));
            };
            provider.kx_groups.push(*group);
        }
    }
    Ok(provider)
}

/// What a client has to show: a certificate of somebody whom we trust, or any; and a name that we know, or none.
#[derive(Debug)]
struct ClientCheck {
    /// Who looks at the chain, if anybody does.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    mandatory: bool,
    allowed: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCheck {
    fn new(tls: &Tls, key: &str, pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, Problem> {
        let (is_verified, mandatory) = match tls.client_auth_type {
            ClientAuth::None | ClientAuth::Request => (false, false),
            ClientAuth::RequireAny => (false, true),
            ClientAuth::VerifyIfGiven => (true, false),
            ClientAuth::RequireAndVerify => (true, true),
        };
        let chain = if is_verified {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(key, pem)? {
                roots.add(certificate).map_err(|_| problem(key, "holds a certificate that cannot vouch for others"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Some(verifier.build().map_err(|_| problem(key, "cannot be used to verify clients"))?)
        } else {
            None
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { chain, mandatory, allowed: tls.client_allowed_sans.clone(), algorithms })
    }

    /// True if one of its names is one of the allowed.
    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
        self.allowed.iter().any(|allowed| {
            let is_its_address = |address: IpAddr| {
                certificate.verify_is_valid_for_subject_name(&ServerName::IpAddress(address.into())).is_ok()
            };
            certificate.valid_dns_names().any(|name| name == allowed)
                || certificate.valid_uri_names().any(|name| name == allowed)
                || allowed.parse().is_ok_and(is_its_address)
        })
    }
}

impl ClientCertVerifier for ClientCheck {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        if self.allowed.is_empty() || self.knows(end_entity) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
