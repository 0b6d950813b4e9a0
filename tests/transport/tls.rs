//! Not a byte of a request leaves before the provider has proved who it is.

use balance_exporter::failure::ErrorReason;
use balance_exporter::transport::{Authorities, HttpTransport, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion};

use crate::server::{Act, Server};
use crate::{AMPLE, CANARIES, SHORT, send, transport, transport_with};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// A server's configuration for these versions of TLS.
type Make<'a> = Box<dyn Fn(&[&'static SupportedProtocolVersion]) -> ServerConfig + 'a>;
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate for this machine, with this changed about it.
pub(crate) fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    params
}

pub(crate) fn config(
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    server_config(certificate.der().clone(), &key, versions)
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

fn trusting(authority: &Authority) -> HttpTransport {
    let authorities = Authorities::Only(vec![authority.der().clone()]);
    transport_with(Settings { authorities, ..Settings::default() })
}

#[tokio::test]
async fn a_peer_that_cannot_prove_itself_is_told_nothing() {
    let root = authority("root");
    let stranger = authority("stranger");
    let namesake = authority("root");
    let intermediate =
        CertifiedIssuer::signed_by(authority_params("between"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let alone = params(|_| ()).self_signed(&key).unwrap();
    let cases: Vec<(&str, &str, Make<'_>)> = vec![
        (
            "self-signed",
            "no trusted authority vouches for its certificate",
            Box::new(|versions| server_config(alone.der().clone(), &key, versions)),
        ),
        (
            "unknown authority",
            "no trusted authority vouches for its certificate",
            Box::new(|versions| config(&params(|_| ()), &stranger, versions)),
        ),
        (
            "unknown authority with a trusted name",
            "its certificate is not valid",
            Box::new(|versions| config(&params(|_| ()), &namesake, versions)),
        ),
        (
            "intermediate left out",
            "no trusted authority vouches for its certificate",
            Box::new(|versions| config(&params(|_| ()), &intermediate, versions)),
        ),
        (
            "expired",
            "its certificate has expired, or the local clock is wrong",
            Box::new(|versions| config(&params(|p| p.not_after = date_time_ymd(2020, 1, 1)), &root, versions)),
        ),
        (
            "not yet valid",
            "its certificate is not valid yet, or the local clock is wrong",
            Box::new(|versions| config(&params(|p| p.not_before = date_time_ymd(2999, 1, 1)), &root, versions)),
        ),
        (
            "another name",
            "its certificate is for another name",
            Box::new(|versions| {
                let other = CertificateParams::new(["provider.test".to_owned()]).unwrap();
                config(&other, &root, versions)
            }),
        ),
        (
            "a name in the subject only",
            "its certificate is for another name",
            Box::new(|versions| {
                let mut subject = CertificateParams::new(Vec::new()).unwrap();
                subject.distinguished_name.push(DnType::CommonName, "localhost");
                config(&subject, &root, versions)
            }),
        ),
        (
            "for clients only",
            "its certificate is not for servers",
            Box::new(|versions| {
                let usage = vec![ExtendedKeyUsagePurpose::ClientAuth];
                config(&params(|p| p.extended_key_usages = usage), &root, versions)
            }),
        ),
    ];
    let transport = trusting(&root);
    for (case, said, config) in cases {
        for version in [&TLS12, &TLS13] {
            let server = Server::start_tls(config(&[version]), vec![Act::Read, Act::Say(OK.to_vec())]).await;
            let origin = format!("https://localhost:{}", server.address.port());
            let failure = send(&transport, &origin, AMPLE).await.unwrap_err();
            assert_eq!(failure.reason, ErrorReason::Tls, "{case}, {version:?}: {failure:?}");
            assert!(failure.detail.ends_with(said), "{case}: {}", failure.detail);
            server.ended().await;
            assert_eq!(server.seen.connections(), 1, "{case}");
            assert_eq!(server.seen.bytes(), 0, "{case}");
        }
    }
}

#[tokio::test]
async fn the_system_does_not_trust_a_certificate_made_here() {
    let root = authority("root");
    for transport in
        [transport(), transport_with(Settings { authorities: Authorities::Only(Vec::new()), ..Settings::default() })]
    {
        let config = config(&params(|_| ()), &root, &[&TLS13]);
        let server = Server::start_tls(config, vec![Act::Read, Act::Say(OK.to_vec())]).await;
        let failure = send(&transport, &format!("https://{}", server.address), AMPLE).await.unwrap_err();
        assert_eq!(failure.reason, ErrorReason::Tls);
        server.ended().await;
        assert_eq!(server.seen.bytes(), 0);
    }
}

#[tokio::test]
async fn an_authority_that_is_none_is_refused_when_it_is_given() {
    let authorities = Authorities::Only(vec![CertificateDer::from(b"not a certificate".to_vec())]);
    let error = HttpTransport::with(Settings { authorities, ..Settings::default() }).unwrap_err();
    assert!(error.to_string().starts_with("cannot set up the HTTP client: "), "{error}");
}

/// Servers that do not get as far as a certificate. What they see must be the hello of a handshake and no more.
#[tokio::test]
async fn what_is_not_tls_is_told_nothing() {
    let say = |bytes: &[u8]| vec![Act::Read, Act::Say(bytes.to_vec()), Act::Wait];
    // a hello of the server: TLS 1.1, TLS_RSA_WITH_AES_128_CBC_SHA
    let mut old = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02".to_vec();
    old.extend([7; 32]);
    old.extend(b"\x00\x00\x2f\x00");
    let cases = [
        ("plain HTTP", say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), AMPLE),
        ("garbage", say(&[0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0]), AMPLE),
        ("a handshake alert", say(b"\x15\x03\x03\x00\x02\x02\x28"), AMPLE),
        ("TLS 1.1", say(&old), AMPLE),
        ("a hello of the server that breaks off", vec![Act::Say(old[..20].to_vec())], AMPLE),
        ("a stall, cut by the limit for connections", vec![Act::Wait], AMPLE),
        ("a stall, cut by the deadline", vec![Act::Wait], SHORT / 3),
        ("closed at once", vec![], AMPLE),
        ("reset", vec![Act::Reset], AMPLE),
    ];
    // whoever hangs up has not said anything that is wrong with TLS
    let ended = ["a hello of the server that breaks off", "closed at once", "reset"];
    let settings = Settings { connect_timeout: SHORT, ..Settings::default() };
    let transport = transport_with(settings);
    for (case, mut script, deadline) in cases {
        // there is no request to wait for
        script.retain(|act| !matches!(act, Act::Read));
        let server = Server::start(script).await;
        let failure = send(&transport, &format!("https://{}", server.address), deadline).await.unwrap_err();
        let expected = if ended.contains(&case) { ErrorReason::Connect } else { ErrorReason::Tls };
        assert_eq!(failure.reason, expected, "{case}: {failure:?}");
        let by_limit = case.contains("the limit for connections");
        assert_eq!(failure.detail.starts_with("gave up after 600ms: "), by_limit, "{case}: {failure:?}");
        server.ended().await;
        assert_eq!(server.seen.connections(), 1, "{case}");
    }
}

#[tokio::test]
async fn a_trusted_provider_is_asked_and_its_session_resumed() {
    let root = authority("root");
    for version in [&TLS12, &TLS13] {
        let server =
            Server::start_tls(config(&params(|_| ()), &root, &[version]), vec![Act::Read, Act::Say(OK.to_vec())]).await;
        let transport = trusting(&root);
        for host in ["localhost", "127.0.0.1"] {
            for _ in 0..2 {
                let reply =
                    send(&transport, &format!("https://{host}:{}", server.address.port()), AMPLE).await.unwrap();
                assert_eq!(reply.body(), "{}");
            }
        }
        server.ended().await;
        let kinds: Vec<bool> = server.seen.handshakes().iter().map(|kind| *kind == HandshakeKind::Resumed).collect();
        assert_eq!(kinds, [false, true, false, true], "{version:?}: a session is resumed, and only with its own name");
        let requests = server.seen.requests();
        assert_eq!(requests.len(), 4);
        for canary in CANARIES {
            assert!(String::from_utf8_lossy(&requests[0]).contains(canary), "the request has a canary in every part");
        }
    }
}

#[tokio::test]
async fn a_session_that_is_cut_off_is_no_end_of_a_body() {
    let root = authority("root");
    let transport = trusting(&root);
    for (case, script, expected) in [
        ("ended", vec![Act::Read, Act::Say(b"HTTP/1.1 200 OK\r\n\r\n{}".to_vec())], Ok(2)),
        (
            "cut off",
            vec![Act::Read, Act::Say(b"HTTP/1.1 200 OK\r\n\r\n{}".to_vec()), Act::Cut],
            Err(ErrorReason::Malformed),
        ),
        (
            "cut off within its length",
            vec![Act::Read, Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".to_vec()), Act::Cut],
            Err(ErrorReason::Malformed),
        ),
        ("cut off before an answer", vec![Act::Read, Act::Cut], Err(ErrorReason::Connect)),
    ] {
        let server = Server::start_tls(config(&params(|_| ()), &root, &[&TLS13]), script).await;
        let outcome = send(&transport, &format!("https://{}", server.address), AMPLE).await;
        let outcome = outcome.map(|reply| reply.body().len()).map_err(|failure| failure.reason);
        assert_eq!(outcome, expected, "{case}");
        server.ended().await;
        assert_eq!(server.seen.requests().len(), 1, "{case}");
    }
}

#[tokio::test]
async fn a_silent_peer_is_timeout_once_it_has_proved_itself() {
    let root = authority("root");
    let server = Server::start_tls(config(&params(|_| ()), &root, &[&TLS13]), vec![Act::Read, Act::Wait]).await;
    let failure = send(&trusting(&root), &format!("https://{}", server.address), SHORT * 2).await.unwrap_err();
    assert_eq!(failure.reason, ErrorReason::Timeout);
    server.ended().await;
}

#[tokio::test]
async fn a_redirect_out_of_tls_is_not_followed() {
    let root = authority("root");
    let elsewhere = Server::start(vec![Act::Read]).await;
    let redirect =
        format!("HTTP/1.1 307 Elsewhere\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", elsewhere.address);
    let config = config(&params(|_| ()), &root, &[&TLS13]);
    let server = Server::start_tls(config, vec![Act::Read, Act::Say(redirect.into_bytes())]).await;
    let reply = send(&trusting(&root), &format!("https://{}", server.address), AMPLE).await.unwrap();
    assert_eq!(reply.status().as_u16(), 307);
    assert_eq!(elsewhere.seen.connections(), 0);
}
