//! Files on the disk and what they come to.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::super::activity::Activity;
use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let (cert, key) = pair();
        folder.write("cert.pem", &cert);
        folder.write("key.pem", &key);
        folder.write("other.pem", &pair().1);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn guard(&self, text: &str) -> Result<Guard, String> {
        self.write("web.yaml", text);
        Guard::new(Some(self.0.path().join("web.yaml")))
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (pem("CERTIFICATE", made.cert.der()), pem("PRIVATE KEY", &made.signing_key.serialize_der()))
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn credentials(text: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

const NOW: BootTime = BootTime::from_boot(std::time::Duration::from_secs(100));
const PAIR: &str = "  cert_file: cert.pem\n  key_file: key.pem\n";

#[test]
fn what_is_wrong_is_told_by_its_place() {
    let folder = Folder::new();
    for (text, place, says) in [
        ("", "1:1", "empty"),
        ("tls_server_config:\n", "1:", "nothing is written here"),
        ("tls_config: {}\n", "1:1", "unknown key `tls_config`"),
        ("tls_server_config: {}\n", "1:", "expected a certificate and its key"),
        ("tls_server_config:\n  cert_file: cert.pem\n", "2:3", "expected a certificate and its key"),
        ("tls_server_config:\n  cert_file: absent.pem\n  key_file: key.pem\n", "2:14", "the file cannot be read"),
        ("tls_server_config:\n  cert_file: .\n  key_file: key.pem\n", "2:14", "is not a regular file"),
        ("tls_server_config:\n  cert_file: key.pem\n  key_file: key.pem\n", "2:14", "holds no certificate"),
        ("tls_server_config:\n  cert_file: cert.pem\n  key_file: cert.pem\n", "3:13", "holds no private key"),
        ("tls_server_config:\n  cert_file: cert.pem\n  key_file: other.pem\n", "3:13", "is not the key of the cert"),
        ("tls_server_config:\nPAIR  min_version: TLS11\n", "4:16", "TLS 1.0 and 1.1 are broken"),
        ("tls_server_config:\nPAIR  min_version: TLS1.2\n", "4:16", "expected TLS12 or TLS13"),
        ("tls_server_config:\nPAIR  min_version: TLS13\n  max_version: TLS12\n", "5:16", "is below min_version"),
        ("tls_server_config:\nPAIR  client_auth_type: Require\n", "4:21", "expected"),
        ("tls_server_config:\nPAIR  client_auth_type: RequireAndVerifyClientCert\n", "4:21", "give client_ca_file"),
        ("tls_server_config:\nPAIR  client_ca_file: cert.pem\n", "4:19", "asks no client for a certificate"),
        ("tls_server_config:\nPAIR  client_allowed_sans: [a]\n", "4:25", "asks no client for a certificate"),
        (
            "tls_server_config:\nPAIR  client_ca_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert\n",
            "4:19",
            "holds no certificate",
        ),
        ("tls_server_config:\nPAIR  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "4:19", "not safe enough"),
        ("tls_server_config:\nPAIR  curve_preferences: [CurveP521]\n", "4:23", "not spoken here"),
        ("tls_server_config:\nPAIR  cert: x\n", "4:9", "stands here and in a file"),
        ("http_server_config:\n  http3: true\n", "2:3", "did you mean `http2`?"),
        ("http_server_config:\n  headers: { Server: x }\n", "2:14", "this header cannot be set"),
        ("http_server_config:\n  headers: { X-Frame-Options: allow }\n", "2:31", "expected `deny` or `sameorigin`"),
        ("http_server_config:\n  headers: { X-Content-Type-Options: x }\n", "2:38", "expected `nosniff`"),
        ("basic_auth_users:\n  ali: open-sesame\n", "2:8", "expected a bcrypt hash"),
        ("basic_auth_users: { \"a:b\": \"HASH\" }\n", "1:21", "no `:`"),
        ("basic_auth_users: [ali]\n", "1:20", "expected a mapping"),
        ("rate_limit: { interval: 1s }\n", "1:15", "the key `burst` is missing"),
        ("rate_limit: { interval: 1s, burst: 0 }\n", "1:36", "expected at least 1"),
        ("rate_limit: { interval: 1, burst: 1 }\n", "1:25", "expected text"),
        ("rate_limit: { interval: soon, burst: 1 }\n", "1:25", "expected a duration"),
    ] {
        let text = text.replace("PAIR", PAIR).replace("HASH", &hash("x"));
        let why = folder.guard(&text).expect_err(&text);
        let first = why.lines().next().unwrap();
        assert!(first.contains(&format!("web.yaml:{place}")) && first.contains(says), "{text}\n{why}");
        for value in ["open-sesame", "absent.pem", "TLS_RSA_WITH_RC4_128_SHA", "soon"] {
            assert!(!why.contains(value), "a value is shown: {why}");
        }
    }
}

#[test]
fn what_is_right_is_taken() {
    let folder = Folder::new();
    let (cert, key) = pair();
    let block = |pem: &str| pem.lines().flat_map(|line| ["    ", line, "\n"]).collect::<String>();
    let inline = format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", block(&cert), block(&key));
    for (text, scheme) in [
        (inline.as_str(), "https"),
        ("tls_server_config:\nPAIR", "https"),
        ("tls_server_config:\nPAIR  client_auth_type: RequestClientCert\n", "https"),
        ("tls_server_config:\nPAIR  client_auth_type: RequireClientCert\n", "https"),
        ("tls_server_config:\nPAIR  client_auth_type: RequireAnyClientCert\n", "https"),
        ("tls_server_config:\nPAIR  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n", "https"),
        (
            "tls_server_config:\nPAIR  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n  \
             client_allowed_sans: [a.example, 127.0.0.1]\n",
            "https",
        ),
        ("tls_server_config:\nPAIR  min_version: TLS13\n  max_version: TLS13\n", "https"),
        (
            "tls_server_config:\nPAIR  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  \
             curve_preferences: [X25519, CurveP256]\n  prefer_server_cipher_suites: false\n",
            "https",
        ),
        ("http_server_config:\n  http2: true\n  headers: { X-Frame-Options: deny }\n", "http"),
        ("basic_auth_users: { ali: \"HASH\" }\n", "http"),
        ("rate_limit: { interval: 1s, burst: 3 }\n", "http"),
        ("rate_limit: { interval: 0s, burst: 0 }\n", "http"),
    ] {
        let text = text.replace("PAIR", PAIR).replace("HASH", &hash("x"));
        let guard = folder.guard(&text).unwrap_or_else(|why| panic!("{text}\n{why}"));
        assert_eq!(guard.scheme(), scheme, "{text}");
    }
}

#[tokio::test]
async fn a_change_is_taken_in_and_a_bad_one_is_not() {
    let folder = Folder::new();
    let users =
        |password: &str| format!("tls_server_config:\n{PAIR}basic_auth_users: {{ ali: \"{}\" }}\n", hash(password));
    let guard = folder.guard(&users("old")).unwrap();
    let admitted = async |text: &str| guard.admits(&credentials(text), &Activity::default(), NOW).await;
    assert_eq!(admitted("ali:old").await, Admission::Welcome);
    assert_eq!(guard.admits(&HeaderMap::new(), &Activity::default(), NOW).await, Admission::Stranger);
    assert_eq!(guard.look(), Look::Unchanged);

    folder.write("web.yaml", &users("new"));
    assert_eq!((guard.look(), guard.look()), (Look::Taken, Look::Unchanged));
    assert_eq!(admitted("ali:old").await, Admission::Stranger, "what was right before is right no more");
    assert_eq!(admitted("ali:new").await, Admission::Welcome);

    let before = guard.tls().unwrap();
    folder.write("key.pem", "no key");
    assert!(matches!(guard.look(), Look::Refused(why) if why.contains("holds no private key")));
    assert_eq!(guard.look(), Look::Unchanged, "told once");
    assert!(Arc::ptr_eq(&before, &guard.tls().unwrap()), "the certificate before stays");
    let (cert, key) = pair();
    folder.write("cert.pem", &cert);
    folder.write("key.pem", &key);
    assert_eq!(guard.look(), Look::Taken);
    assert!(!Arc::ptr_eq(&before, &guard.tls().unwrap()));

    folder.write("web.yaml", "basic_auth_users: {}\n");
    assert!(matches!(guard.look(), Look::Refused(why) if why.contains("restart")), "TLS does not go away by itself");
    assert_eq!(admitted("ali:new").await, Admission::Welcome);
}

#[tokio::test]
async fn the_limit_comes_before_the_password() {
    let folder = Folder::new();
    let text = format!("rate_limit: {{ interval: 1h, burst: 1 }}\nbasic_auth_users: {{ ali: \"{}\" }}\n", hash("x"));
    let guard = folder.guard(&text).unwrap();
    assert_eq!(guard.admits(&HeaderMap::new(), &Activity::default(), NOW).await, Admission::Stranger);
    assert_eq!(guard.admits(&credentials("ali:x"), &Activity::default(), NOW).await, Admission::Crowded);
    folder.write("web.yaml", &format!("{text}http_server_config: {{}}\n"));
    assert_eq!(guard.look(), Look::Taken);
    assert_eq!(
        guard.admits(&credentials("ali:x"), &Activity::default(), NOW).await,
        Admission::Crowded,
        "a change elsewhere fills no bucket"
    );
}

#[test]
fn every_example_of_the_documentation_is_taken() {
    let folder = Folder::new();
    folder.write("ca.pem", &pair().0);
    let page = include_str!("../../../docs/web-config.md");
    let examples: Vec<_> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        folder.guard(example).unwrap_or_else(|why| panic!("{example}\n{why}"));
    }
}
