//! Certificates as they should be, and in every way that they should not.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};

/// The names of all providers here.
const NAMES: &str = "*.provider.test";

type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) struct Certificates {
    root: Authority,
    stranger: Authority,
    between: Authority,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flaw {
    Expired,
    NotYetValid,
    AnotherName,
    SubjectOnly,
    SelfSigned,
    UnknownAuthority,
    IntermediateMissing,
    ForClients,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn params() -> CertificateParams {
    CertificateParams::new([NAMES.to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let alone = |name| CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap();
        let root = alone("root");
        let between = CertifiedIssuer::signed_by(authority_params("between"), KeyPair::generate().unwrap(), &root);
        Self { between: between.unwrap(), stranger: alone("stranger"), root }
    }

    /// The authority that the exporter trusts where the configuration says nothing.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// Another authority, as a configuration names it.
    pub(crate) fn other_pem(&self) -> String {
        pem("CERTIFICATE", self.stranger.der())
    }

    /// A provider that proves itself by the usual authority.
    pub(crate) fn good(&self) -> Arc<ServerConfig> {
        signed(&params(), &self.root)
    }

    /// A provider that proves itself by the other authority.
    pub(crate) fn by_the_other(&self) -> Arc<ServerConfig> {
        signed(&params(), &self.stranger)
    }

    /// A provider that wants to know whom it speaks to, and whom it would believe: one certificate with its key.
    pub(crate) fn mutual(&self) -> (Arc<ServerConfig>, String, String) {
        let (client, key) = Self::client(&self.root);
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), crypto()).build().unwrap();
        let (certificate, server_key) = leaf(&params(), &self.root);
        let config = builder(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], server_key)
            .unwrap();
        (Arc::new(config), client, key)
    }

    /// A client's certificate that such a provider does not believe.
    pub(crate) fn strange_client(&self) -> (String, String) {
        Self::client(&self.stranger)
    }

    fn client(issuer: &Issuer<'_, KeyPair>) -> (String, String) {
        let mut params = CertificateParams::new(["exporter.test".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }

    /// A provider that does not prove itself.
    pub(crate) fn flawed(&self, flaw: Flaw) -> Arc<ServerConfig> {
        let mut changed = params();
        match flaw {
            Flaw::Expired => changed.not_after = date_time_ymd(2020, 1, 1),
            Flaw::NotYetValid => changed.not_before = date_time_ymd(2999, 1, 1),
            Flaw::AnotherName => changed = CertificateParams::new(["other.test".to_owned()]).unwrap(),
            Flaw::SubjectOnly => {
                changed = CertificateParams::new(Vec::new()).unwrap();
                changed.distinguished_name.push(DnType::CommonName, NAMES);
            }
            Flaw::ForClients => changed.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Flaw::UnknownAuthority => return signed(&changed, &self.stranger),
            Flaw::IntermediateMissing => return signed(&changed, &self.between),
            Flaw::SelfSigned => {
                let key = KeyPair::generate().unwrap();
                let alone = changed.self_signed(&key).unwrap();
                return served(alone.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap());
            }
        }
        signed(&changed, &self.root)
    }
}

fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    rustls::crypto::aws_lc_rs::default_provider().into()
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(crypto()).with_protocol_versions(versions).unwrap()
}

fn leaf(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn signed(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Arc<ServerConfig> {
    let (certificate, key) = leaf(params, issuer);
    served(certificate, key)
}

fn served(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Arc<ServerConfig> {
    let versions = &[&rustls::version::TLS13, &rustls::version::TLS12];
    Arc::new(builder(versions).with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}
