//! How a provider is reached, beyond its address: who may vouch for it, who we are to it, through which proxy, and
//! whether connections are kept.
//!
//! Everything is read and checked here, when the configuration is, so that nothing is left to go wrong at a poll: a
//! route that cannot be gone is refused, and never replaced by another.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use url::Url;

use crate::document::Problem;
use crate::secret::{Secret, Secrets};

/// Where the certificates of the authorities are, among the secrets.
pub const CA: &str = "tls.ca";
/// Where our own certificate is.
pub const CLIENT_CERTIFICATE: &str = "tls.client_certificate";
/// Where its key is.
pub const CLIENT_KEY: &str = "tls.client_key";

/// The way to one provider. By default it is the one that leads to everybody.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Those who alone may vouch for the provider, if it is not for the system to say.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Who we are, if the provider asks.
    pub identity: Option<Identity>,
    /// The HTTP proxy that is asked to connect us.
    pub proxy: Option<Url>,
    /// Whether connections are used again.
    pub keep_alive: bool,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity(pub Arc<CertifiedKey>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Route {
    /// True for the way that leads to everybody, gone as usual: with a connection for each request.
    pub const fn is_usual(&self) -> bool {
        self.leads_as_usual() && !self.keep_alive
    }

    /// True for the way that leads to everybody.
    pub const fn leads_as_usual(&self) -> bool {
        self.authorities.is_none() && self.identity.is_none() && self.proxy.is_none()
    }

    /// Takes in what was read from the sources under [`CA`], [`CLIENT_CERTIFICATE`] and [`CLIENT_KEY`].
    pub fn of(secrets: &Secrets, proxy: Option<Url>, keep_alive: bool) -> Result<Self, Problem> {
        let authorities = secrets.get(CA).map(authorities).transpose()?;
        let identity = match (secrets.get(CLIENT_CERTIFICATE), secrets.get(CLIENT_KEY)) {
            (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
            (None, None) => None,
            (Some(_), None) => return Err(Problem::at(CLIENT_KEY, "the client certificate needs its key")),
            (None, Some(_)) => return Err(Problem::at(CLIENT_CERTIFICATE, "the client key needs its certificate")),
        };
        Ok(Self { authorities, identity, proxy, keep_alive })
    }
}

/// Every certificate of the text, each fit to vouch for others. An empty list would trust nobody, which nobody means.
fn authorities(pem: &Secret) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let refused = || Problem::at(CA, "expected certificates of authorities in PEM");
    let certificates = certificates(pem).ok_or_else(refused)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|_| refused())?;
    }
    Ok(certificates)
}

fn identity(certificate: &Secret, key: &Secret) -> Result<Identity, Problem> {
    let chain = certificates(certificate)
        .ok_or_else(|| Problem::at(CLIENT_CERTIFICATE, "expected a certificate in PEM, followed by those between"))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| Problem::at(CLIENT_KEY, "expected a private key in PEM, without a passphrase"))?;
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let pair = CertifiedKey::from_der(chain, key, &crypto).map_err(|error| {
        let (at, why) = if matches!(error, rustls::Error::InconsistentKeys(_)) {
            (CLIENT_KEY, "this is not the key of the client certificate")
        } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
            (CLIENT_CERTIFICATE, "this is not a certificate that can be used")
        } else {
            (CLIENT_KEY, "this is not a key that can be used: expected RSA, ECDSA or Ed25519")
        };
        Problem::at(at, why)
    })?;
    Ok(Identity(Arc::new(pair)))
}

/// `None` unless there is at least one, and nothing that looks like one but is none.
fn certificates(pem: &Secret) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose().as_bytes()).collect();
    read.ok().filter(|certificates| !certificates.is_empty())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A certificate and its key, in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    }

    fn route(secrets: &[(&'static str, &str)]) -> Result<Route, String> {
        let secrets = secrets.iter().map(|&(key, text)| (key, Secret::new(text))).collect();
        Route::of(&secrets, None, false).map_err(|problem| format!("{}: {}", problem.path, problem.message))
    }

    #[test]
    fn what_is_configured_is_taken_in_whole() {
        let ((certificate, key), (other, _)) = (pair(), pair());
        assert!(route(&[]).unwrap().is_usual());
        let pinned = route(&[(CA, &format!("{certificate}{other}"))]).unwrap();
        assert_eq!(pinned.authorities.as_ref().map(Vec::len), Some(2));
        assert!(!pinned.is_usual());
        let known = route(&[(CLIENT_CERTIFICATE, &certificate), (CLIENT_KEY, &key)]).unwrap();
        assert!(known.identity.is_some() && known.authorities.is_none());
        assert_eq!(format!("{:?}", known.identity), "Some(Identity)");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_key_and_not_shown() {
        let ((certificate, key), (_, stranger)) = (pair(), pair());
        let broken = certificate.replace("MII", "!!!");
        let no_certificate = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        for (secrets, said) in [
            (&[(CA, "canary")][..], "tls.ca: expected certificates"),
            (&[(CA, key.as_str())], "tls.ca: expected certificates"),
            (&[(CA, broken.as_str())], "tls.ca: expected certificates"),
            (&[(CA, no_certificate)], "tls.ca: expected certificates"),
            (&[(CLIENT_CERTIFICATE, certificate.as_str())], "tls.client_key: the client certificate needs its key"),
            (&[(CLIENT_KEY, key.as_str())], "tls.client_certificate: the client key needs its certificate"),
            (
                &[(CLIENT_CERTIFICATE, certificate.as_str()), (CLIENT_KEY, stranger.as_str())],
                "tls.client_key: this is not the key of",
            ),
            (&[(CLIENT_CERTIFICATE, certificate.as_str()), (CLIENT_KEY, "canary")], "tls.client_key: expected a"),
            (&[(CLIENT_CERTIFICATE, "canary"), (CLIENT_KEY, key.as_str())], "tls.client_certificate: expected a"),
            (
                &[(CLIENT_CERTIFICATE, no_certificate), (CLIENT_KEY, key.as_str())],
                "tls.client_certificate: this is not a certificate",
            ),
        ] {
            let refused = route(secrets).unwrap_err();
            assert!(refused.starts_with(said), "{refused}");
            assert!(!refused.contains("canary"), "{refused}");
        }
    }
}
