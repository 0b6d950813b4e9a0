//! Whom we trust, and how a session is made.

use std::sync::Arc;

use rustls::client::Tls13ClientSessionValue;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use super::phase::{Phase, note};
use crate::route::Identity;

/// TLS sessions kept for resumption, over all providers.
const SESSIONS: usize = 256;

/// Who may vouch for a provider.
#[derive(Clone, Debug, Default)]
pub enum Authorities {
    /// Whom the system trusts.
    #[default]
    System,
    /// These and nobody else.
    Only(Vec<CertificateDer<'static>>),
}

/// TLS 1.2 and 1.3, with sessions resumed: a fresh connection per request is cheap that way. Without authorities
/// nobody is trusted, and every handshake fails.
pub(super) fn config(authorities: Authorities, identity: Option<Identity>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut roots = RootCertStore::empty();
    let verified = match authorities {
        Authorities::Only(certificates) => {
            for certificate in certificates {
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
        Authorities::System => match builder.clone().with_platform_verifier() {
            Ok(verified) => verified,
            Err(error) => {
                tracing::warn!(%error, "no certificate authorities on this system: https providers will fail with reason tls");
                builder.with_root_certificates(roots)
            }
        },
    };
    let mut config = match identity {
        Some(Identity(pair)) => verified.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
        None => verified.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(NotingSessions(ClientSessionMemoryCache::new(SESSIONS))));
    Ok(config)
}

/// Sessions for resumption. A look-up is the first thing a handshake does, and so tells that it has begun.
#[derive(Debug)]
struct NotingSessions(ClientSessionMemoryCache);

impl ClientSessionStore for NotingSessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        note(Phase::Handshake);
        self.0.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        note(Phase::Handshake);
        self.0.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        note(Phase::Handshake);
        self.0.take_tls13_ticket(server)
    }
}
