//! The configuration as users meet it: what is accepted, what is refused, and in which words.

#![expect(clippy::unwrap_used, clippy::format_push_string, reason = "a test may be plain")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use balance_exporter::config::{self, Config, SecretReader, Severity};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a file of the repository. With `REGENERATE=1` it writes the file instead.
#[track_caller]
fn same(path: &Path, actual: &str) {
    #[expect(clippy::disallowed_methods, reason = "asked by whoever runs the tests")]
    if std::env::var_os("REGENERATE").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; REGENERATE=1 writes it anew", path.display());
}

fn refusal(name: &str, text: &str) -> String {
    match Config::parse(text) {
        Ok(_) => panic!("{name} should be refused"),
        Err(problems) => problems.render(name, text),
    }
}

/// Each `*.yaml` there is refused, with the words in the `*.txt` beside it.
#[test]
fn each_mistake_has_its_message() {
    let mut cases: Vec<_> = fs::read_dir(root().join("tests/config")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        same(&case.with_extension("txt"), &refusal("exporter.yaml", &text));
    }
}

const PREAMBLE: &str =
    "providers:\n  - name: p\n    api: bridge\n    username: u\n    password: { env: P }\n    accounts:\n";

/// A configuration of one Bridge account with these keys beside its name.
fn account(keys: &str) -> String {
    format!("{PREAMBLE}      - {{ name: a, service_id: 1, currency: GHS, {keys} }}\n")
}

#[test]
fn what_large_fleets_ask_for_is_off_unless_they_do() {
    let (usual, asked) = (account(""), format!("metrics: {{ every_reason: false }}\n{}", account("")));
    for (text, every_reason) in [(&usual, true), (&format!("metrics: {{}}\n{usual}"), true), (&asked, false)] {
        assert_eq!(Config::parse(text).unwrap().every_reason, every_reason, "{text}");
    }
    let [usual, kept] =
        ["false", "true"].map(|kept| usual.replace("    accounts:", &format!("    keep_alive: {kept}\n    accounts:")));
    let [usual, kept] = [usual, kept].map(|text| Config::parse(&text).unwrap());
    let [usual, kept] = [&usual.providers[0], &kept.providers[0]];
    // a reload takes it in, and a session stays
    assert!(usual != kept && usual.same_connection(kept));
    let secrets = SecretReader::with_environment([("P".to_owned(), "password".to_owned())].into());
    let routes = [usual, kept].map(|provider| provider.connect(&secrets).unwrap().route.keep_alive);
    assert_eq!(routes, [false, true]);
}

#[test]
fn the_example_is_accepted_and_means_what_it_says() {
    let config = Config::parse(&fs::read_to_string(root().join("exporter.yaml")).unwrap());
    let config = config.unwrap_or_else(|problems| panic!("{problems:?}"));
    let names: Vec<_> = config.providers.iter().map(|provider| provider.api.facts().name).collect();
    assert_eq!(names, ["payby", "dialog", "bridge", "smilepayz"]);
    let account = &config.providers[0].accounts[0];
    assert_eq!(account.id.to_string(), "payby-uae/uae-settlement");
    assert_eq!((account.interval.as_secs(), account.timeout.as_secs(), account.stale_after.as_secs()), (30, 15, 120));
    assert_eq!(account.labels, [("team", "treasury"), ("tier", "gold")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    let other = &config.providers[0].accounts[1];
    assert_eq!((other.interval.as_secs(), other.timeout.as_secs(), other.stale_after.as_secs()), (60, 10, 300));
    assert_eq!(other.thresholds[0].amount.to_string(), "2500.50");
    let bridge = &config.providers[2];
    assert_eq!(bridge.quota.windows.len(), 2);
    let thresholds: Vec<_> =
        bridge.accounts[0].thresholds.iter().map(|t| (t.wallet.as_str(), t.severity, t.amount.to_string())).collect();
    assert_eq!(
        thresholds,
        [
            ("payout", Severity::Warning, "20000".to_owned()),
            ("payout", Severity::Critical, "5000".to_owned()),
            ("sms", Severity::Warning, "500".to_owned()),
        ]
    );
    assert_eq!(config.providers[3].site.environment.as_str(), "sandbox");
}

/// Every key that the schema knows is explained by the example.
#[test]
fn the_example_shows_every_key() {
    fn keys(schema: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
        }
        match schema {
            serde_json::Value::Object(object) => object.values().for_each(|value| keys(value, found)),
            serde_json::Value::Array(array) => array.iter().for_each(|value| keys(value, found)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let mut known = Vec::new();
    keys(&config::schema(), &mut known);
    let example = fs::read_to_string(root().join("exporter.yaml")).unwrap();
    let said = |key: &String| example.contains(&format!("{key}:")) || example.contains(&format!("`{key}`"));
    let unsaid: Vec<_> = known.iter().filter(|key| !said(key)).collect();
    assert!(known.len() > 30 && unsaid.is_empty(), "{unsaid:?} of {} keys", known.len());
}

#[test]
fn the_schema_in_the_repository_is_the_schema() {
    let schema = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    same(&root().join("exporter.schema.json"), &schema);
}

#[test]
fn amounts_are_hidden_only_when_that_is_said() {
    for (section, hidden) in [
        ("", Some(false)),
        ("web: {}\n", Some(false)),
        ("web: { hide_amounts: false }\n", Some(false)),
        ("web: { hide_amounts: true }\n", Some(true)),
        ("web: { hide_amounts: yes please }\n", None),
        ("web: { hide_amount: true }\n", None),
        ("web: true\n", None),
    ] {
        let text = format!("{section}{}", account("interval: 1m"));
        assert_eq!(Config::parse(&text).ok().map(|config| config.hide_amounts), hidden, "{section}");
    }
}

#[test]
fn amounts_are_taken_to_the_digit_or_not_at_all() {
    let warning = |text: &str| {
        let config = Config::parse(&account(&format!("thresholds: {{ warning: {text} }}"))).ok()?;
        Some(config.providers[0].accounts[0].thresholds[0].amount.to_string())
    };
    for (text, amount) in [
        ("50000", "50000"),
        ("-500", "-500"),
        ("0.1", "0.1"),
        ("'0.10'", "0.10"),
        ("999999999999999", "999999999999999"),
        ("99999.99999999", "99999.99999999"),
        ("1e3", "1000"),
    ] {
        assert_eq!(warning(text).as_deref(), Some(amount), "{text}");
    }
    for text in [
        "0.30000000000000004",
        "1000000000000000",
        "123456789.12345678",
        "'1e3'",
        "1_000",
        "'1,000'",
        ".nan",
        ".inf",
        "~",
    ] {
        assert_eq!(warning(text), None, "{text}");
    }
}

#[test]
fn the_same_configuration_written_otherwise_is_equal() {
    let plain = Config::parse(&account("interval: 1m, labels: { a: x, b: y }")).unwrap();
    let otherwise = Config::parse(&account("labels: { b: y, a: x }, interval: 60s")).unwrap();
    assert_eq!(plain, otherwise);
    let faster = Config::parse(&account("interval: 30s, labels: { a: x, b: y }")).unwrap();
    assert_ne!(plain, faster);
    let asks = |config: &Config| config.providers[0].accounts[0].asks.clone();
    assert_eq!(asks(&plain), asks(&faster), "a pace does not change whose number it is");
    let another = Config::parse(&account("interval: 1m").replace("service_id: 1", "service_id: 2")).unwrap();
    assert_ne!(asks(&plain), asks(&another));
    let elsewhere = account("interval: 1m").replace("username: u", "username: u\n    base_url: https://example.com");
    assert_ne!(asks(&plain), asks(&Config::parse(&elsewhere).unwrap()));
}

#[test]
fn intervals_must_fit_every_window() {
    let with = |accounts: usize, limit: &str, interval: &str| {
        let mut text = PREAMBLE.replace("    accounts", &format!("    rate_limit: {limit}\n    accounts"));
        for index in 0..accounts {
            text +=
                &format!("      - {{ name: a{index}, service_id: {index}, currency: GHS, interval: {interval} }}\n");
        }
        Config::parse(&text)
            .map_err(|problems| problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join(";"))
    };
    assert!(with(30, "{ requests: 30, per: 1m }", "1m").is_ok());
    assert!(with(7, "{ requests: 21, per: 1m }", "20s").is_ok());
    let message = with(31, "{ requests: 30, per: 1m }", "1m").unwrap_err();
    assert_eq!(
        message,
        "31 accounts ask 31.0 times in 1m, but the limit is 30: an interval of 1m 2s for all of them fits"
    );
    assert!(with(31, "{ requests: 30, per: 1m }", "62s").is_ok(), "the advice holds");
    let message = with(30, "[{ requests: 30, per: 1m }, { requests: 100, per: 1h }]", "1m").unwrap_err();
    assert!(message.ends_with("an interval of 18m for all of them fits"), "{message}");
}

#[test]
fn secrets_are_read_from_where_they_are_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8], mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let key = write("pass", b"hunter2\n", 0o600);
    let config =
        write("exporter.yaml", account("interval: 1m").replace("{ env: P }", "{ file: pass }").as_bytes(), 0o644);
    let reader = SecretReader::system(directory.path());
    let loaded = config::load(&config, &reader).unwrap();
    assert_eq!((loaded.connections.len(), loaded.connections[0].accounts.len()), (1, 1));

    let source = loaded.config.providers[0].settings.secrets()[0].1.clone();
    let stamp = reader.stamp(&source).unwrap();
    assert_eq!(reader.stamp(&source), Some(stamp));
    for (content, expose) in [(&b"a\r\n"[..], "a"), (b"a\n\n", "a\n"), (b" a b ", " a b ")] {
        write("pass", content, 0o600);
        assert_eq!(reader.read(&source).unwrap().expose(), expose);
    }
    write("pass", b"longer than before", 0o600);
    assert_ne!(reader.stamp(&source), Some(stamp));

    for (content, mode, why) in [
        (&b"hunter2"[..], 0o644, "has mode 0644, so others may use it: chmod 600 it"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"hunter2\0", 0o600, "contains a NUL"),
        ("\u{feff}hunter2".as_bytes(), 0o600, "byte order mark"),
        (b"hunter2\xff", 0o600, "is not valid UTF-8"),
        (&b"h".repeat(65537), 0o600, "is larger than 65536 bytes"),
    ] {
        write("pass", content, mode);
        let refused = config::load(&config, &reader).unwrap_err().to_string();
        assert!(refused.contains("exporter.yaml:5:17: providers[0].password: the secret file"), "{refused}");
        assert!(refused.contains(why) && !refused.contains("hunter2"), "{why}: {refused}");
    }
    fs::remove_file(&key).unwrap();
    assert!(config::load(&config, &reader).unwrap_err().to_string().contains("cannot be read: entity not found"));
    fs::create_dir(&key).unwrap();
    assert!(config::load(&config, &reader).unwrap_err().to_string().contains("is not a regular file"));
}

/// What is beside the API's own secrets is read, watched and refused like those.
#[test]
fn certificates_are_read_with_the_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    };
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["exporter.test".to_owned()]).unwrap().self_signed(&own_key).unwrap();
    let certificate = pem("CERTIFICATE", own.der());
    write("pass", "hunter2");
    write("ca.pem", &certificate);
    write("own.pem", &certificate);
    write("own.key.pem", &pem("PRIVATE KEY", &own_key.serialize_der()));
    let tls = "tls: { ca: { file: ca.pem }, client_certificate: { file: own.pem }, client_key: { file: own.key.pem } }";
    let text = account("interval: 1m").replace("{ env: P }", &format!("{{ file: pass }}\n    {tls}"));
    let config =
        write("exporter.yaml", &text.replace("    accounts", "    proxy: http://proxy.test:3128\n    accounts"));
    let reader = SecretReader::system(directory.path());
    let loaded = config::load(&config, &reader).unwrap();
    let route = &loaded.connections[0].route;
    assert_eq!(route.authorities.as_ref().map(Vec::len), Some(1));
    assert!(route.identity.is_some());
    assert_eq!(route.proxy.as_ref().map(ToString::to_string).as_deref(), Some("http://proxy.test:3128/"));
    let secrets: Vec<_> = loaded.config.providers[0].secrets();
    let keys: Vec<_> = secrets.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["password", "tls.ca", "tls.client_certificate", "tls.client_key"]);
    let plain = Config::parse(&account("interval: 1m")).unwrap();
    assert_ne!(loaded.config.providers[0], plain.providers[0], "another way is another configuration");

    for (name, content, why) in [
        ("ca.pem", "hunter2", "exporter.yaml:6:18: providers[0].tls.ca: expected certificates of authorities in PEM"),
        ("own.key.pem", "hunter2", "providers[0].tls.client_key: expected a private key in PEM"),
    ] {
        let before = fs::read_to_string(directory.path().join(name)).unwrap();
        let (_, source) = secrets.iter().find(|(_, source)| source.to_string().ends_with(name)).unwrap();
        let stamp = reader.stamp(source);
        write(name, content);
        assert_ne!(reader.stamp(source), stamp);
        let refused = config::load(&config, &reader).unwrap_err().to_string();
        assert!(refused.contains(why) && !refused.contains("hunter2"), "{refused}");
        write(name, &before);
    }
}

#[test]
fn a_demonstration_brings_its_own_environment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exporter.yaml");
    fs::write(&path, format!("\u{feff}{}", account("interval: 1m"))).unwrap();
    let with = |pairs: &[(&str, &str)]| {
        let variables: BTreeMap<_, _> = pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        config::load(&path, &SecretReader::with_environment(variables)).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(with(&[("P", "hunter2")]), Ok(()));
    for environment in [&[][..], &[("P", "")]] {
        assert!(with(environment).unwrap_err().contains("the environment variable is not set, or empty"));
    }
    fs::write(&path, account("interval: 1m").replace("{ env: P }", "{ credential: pass }")).unwrap();
    assert!(with(&[]).unwrap_err().contains("LoadCredential="));
    let credentials = directory.path().to_str().unwrap();
    assert!(
        with(&[("CREDENTIALS_DIRECTORY", credentials)]).unwrap_err().contains("the systemd credential cannot be read")
    );
}

#[test]
fn a_file_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let load = |content: Option<&[u8]>| {
        let path = directory.path().join("exporter.yaml");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        config::load(&path, &SecretReader::system("")).unwrap_err().to_string()
    };
    assert!(load(None).ends_with("the configuration cannot be read: entity not found"));
    assert!(load(Some(b"a: \xff")).ends_with("the configuration is not valid UTF-8"));
    assert!(load(Some(&b" ".repeat((64 << 20) + 1))).ends_with("the configuration is larger than 64 MiB"));
    assert!(load(Some(b"")).contains("exporter.yaml:1:1: the document is empty"));
    let not_a_file = config::load(directory.path(), &SecretReader::system("")).unwrap_err().to_string();
    assert!(not_a_file.ends_with("the configuration is not a regular file"), "{not_a_file}");
}

#[test]
fn a_hundred_thousand_accounts_are_read_and_one_more_is_not() {
    let with = |count: usize| {
        let mut text = PREAMBLE.replace("    accounts", "    rate_limit: { requests: 1000000, per: 1m }\n    accounts");
        for index in 0..count {
            text +=
                &format!("      - {{ name: a{index}, service_id: {index}, currency: GHS, labels: {{ team: a }} }}\n");
        }
        Config::parse(&text)
            .map(|config| config.providers[0].accounts.len())
            .map_err(|problems| problems.render("f", &text))
    };
    assert_eq!(with(100_000), Ok(100_000));
    assert!(with(100_001).unwrap_err().starts_with("f:1:1: providers: expected at most 100000 accounts in all\n"));
}

/// Where a value stands in a complete configuration, garbage can stand.
const SLOTS: &str = "\
defaults: { interval: @, timeout: @ }
providers:
  - name: @
    api: payby
    environment: @
    base_url: @
    partner_id: @
    private_key: @
    platform_public_key: { file: @ }
    rate_limit: { requests: @, per: @ }
    accounts:
      - name: @
        currency: @
        interval: @
        thresholds: { warning: @, critical: @ }
        labels: { team: @ }
        member_id: @
  - name: b
    api: @
    accounts: @
";

proptest! {
    /// A value never shows, whatever it is and wherever it stands, whether or not it breaks the YAML.
    #[test]
    fn no_value_appears_in_any_message(
        slot in 0..SLOTS.matches('@').count(),
        before in "[ -~\n]{0,8}",
        after in "[ -~\n]{0,8}",
        raw: bool,
        everywhere: bool,
    ) {
        let garbage = format!("{before}QzQz9{after}");
        let garbage = if raw { garbage } else { serde_json::to_string(&garbage).unwrap() };
        let mut text = String::new();
        for (index, part) in SLOTS.split('@').enumerate() {
            let filler = if everywhere || index == slot + 1 { garbage.as_str() } else { "a" };
            text += if index == 0 { "" } else { filler };
            text += part;
        }
        if let Err(problems) = Config::parse(&text) {
            let shown = problems.render("exporter.yaml", &text);
            prop_assert!(!shown.contains("QzQz9"), "{}\n---\n{}", text, shown);
            prop_assert!(!shown.is_empty());
        }
    }

    /// Any text is read or refused, quickly and without a panic.
    #[test]
    fn no_text_is_fatal(text in "(providers:\n)?([ -]{0,6}[a-z<*&!|>\\[\\]{}:,'\"#0-9~]{1,9}:?[ \n]){0,30}") {
        if let Err(problems) = Config::parse(&text) {
            prop_assert!(!problems.render("f", &text).is_empty());
        }
    }
}
