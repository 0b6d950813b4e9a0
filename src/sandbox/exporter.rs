//! The exporter's configuration that matches the sandbox: every account, and the secrets by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::account::{Account, Listing};
use super::{Api, Grant, Sandbox, bridge, cast, dialog, payby, smilepayz};

/// How a written configuration begins, so that no other file is ever overwritten.
const FIRST_LINE: &str = "# The pretend providers of `balance-exporter sandbox`; nothing here is real.";

/// A secret of the demo: the name of its environment variable, and of its file.
struct Name {
    env: &'static str,
    file: &'static str,
}

const CLIENT_SECRET: Name = Name { env: "BALANCE_DEMO_DIALOG_CLIENT_SECRET", file: "dialog.client_secret" };
const DIALOG_PASSWORD: Name = Name { env: "BALANCE_DEMO_DIALOG_PASSWORD", file: "dialog.password" };
const PAYBY_KEY: Name = Name { env: "BALANCE_DEMO_PAYBY_PRIVATE_KEY", file: "payby.key.pem" };
const PLATFORM_KEY: Name = Name { env: "BALANCE_DEMO_PAYBY_PLATFORM_PUBLIC_KEY", file: "payby.platform.pub.pem" };
const BRIDGE_PASSWORD: Name = Name { env: "BALANCE_DEMO_BRIDGE_PASSWORD", file: "bridge.password" };
const MERCHANT_SECRET: Name = Name { env: "BALANCE_DEMO_SMILEPAYZ_MERCHANT_SECRET", file: "smilepayz.merchant_secret" };
const SMILEPAYZ_KEY: Name = Name { env: "BALANCE_DEMO_SMILEPAYZ_PRIVATE_KEY", file: "smilepayz.key.pem" };

/// Where the configuration says that secrets are.
#[derive(Clone, Copy)]
enum Sources {
    Env,
    File,
}

impl Sources {
    fn of(self, name: &Name) -> String {
        match self {
            Self::Env => format!("{{ env: {} }}", name.env),
            Self::File => format!("{{ file: {} }}", name.file),
        }
    }
}

impl Sandbox {
    /// The configuration with which the exporter polls this sandbox at `addr`; its secrets come from the
    /// environment variables that [`secrets`](Self::secrets) names.
    pub fn exporter_yaml(&self, addr: SocketAddr) -> String {
        self.yaml(addr, Sources::Env)
    }

    /// The secrets of the configuration, by environment variable.
    pub fn secrets(&self) -> BTreeMap<String, String> {
        self.named_secrets().into_iter().map(|(name, value)| (name.env.to_owned(), value.to_owned())).collect()
    }

    /// Writes the configuration as `exporter.yaml`, and each secret as a file beside it, all readable by their
    /// owner only. Files of an earlier sandbox are replaced; an `exporter.yaml` of another origin is an error.
    pub fn write_to(&self, dir: &Path, addr: SocketAddr) -> io::Result<()> {
        let yaml = dir.join("exporter.yaml");
        match fs::read_to_string(&yaml) {
            Ok(text) if !text.starts_with(FIRST_LINE) => {
                let why = "the directory holds an exporter.yaml that no sandbox wrote; choose another directory";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for (name, value) in self.named_secrets() {
            write_private(&dir.join(name.file), value)?;
        }
        write_private(&yaml, &self.yaml(addr, Sources::File))
    }

    fn named_secrets(&self) -> [(Name, &str); 7] {
        [
            (CLIENT_SECRET, dialog::CONSUMER_SECRET),
            (DIALOG_PASSWORD, dialog::PASSWORD),
            (PAYBY_KEY, &self.keys.merchant.private_pem),
            (PLATFORM_KEY, &self.keys.platform.public_pem),
            (BRIDGE_PASSWORD, bridge::PASSWORD),
            (MERCHANT_SECRET, smilepayz::MERCHANT_SECRET),
            (SMILEPAYZ_KEY, &self.keys.merchant.private_pem),
        ]
    }

    fn yaml(&self, addr: SocketAddr, sources: Sources) -> String {
        let accounts = cast::accounts();
        let mut text =
            format!("{FIRST_LINE}\ndefaults: {{ interval: 15s, timeout: 5s, stale_after: 1m }}\nproviders:\n");
        for api in Api::ALL {
            let mine: Vec<_> = accounts.iter().filter(|account| account.api() == api).collect();
            let mut line = |line: &str| {
                text.push_str(line);
                text.push('\n');
            };
            line(&format!("  - name: {}", api.name()));
            line(&format!("    api: {}", api.name()));
            line("    environment: sandbox");
            line(&format!("    base_url: http://{addr}"));
            for own in self.provider_lines(api, sources) {
                line(&format!("    {own}"));
            }
            line(&self.rate_limit(api));
            line("    accounts:");
            for account in &mine {
                self.account_lines(account, mine.len()).iter().for_each(|own| line(own));
            }
        }
        text
    }

    /// The keys of a provider entry that are its API's own.
    fn provider_lines(&self, api: Api, sources: Sources) -> Vec<String> {
        match api {
            Api::Dialog => {
                let grant = match self.settings.grant {
                    Grant::ClientCredentials => vec!["  grant: client_credentials".to_owned()],
                    Grant::Password => vec![
                        "  grant: password".to_owned(),
                        format!("  username: {}", dialog::USERNAME),
                        format!("  password: {}", sources.of(&DIALOG_PASSWORD)),
                    ],
                };
                let mut lines = vec!["version: v4".to_owned(), "currency: LKR".to_owned(), "login:".to_owned()];
                lines.extend(grant);
                lines.push(format!("  client_id: {}", dialog::CONSUMER_KEY));
                lines.push(format!("  client_secret: {}", sources.of(&CLIENT_SECRET)));
                lines
            }
            Api::PayBy => vec![
                format!("partner_id: \"{}\"", payby::PARTNER_ID),
                format!("private_key: {}", sources.of(&PAYBY_KEY)),
                format!("platform_public_key: {}", sources.of(&PLATFORM_KEY)),
            ],
            Api::Bridge => {
                vec![format!("username: {}", bridge::USERNAME), format!("password: {}", sources.of(&BRIDGE_PASSWORD))]
            }
            Api::Smilepayz => vec![
                format!("merchant_id: {}", smilepayz::MERCHANT_ID),
                format!("merchant_secret: {}", sources.of(&MERCHANT_SECRET)),
                format!("private_key: {}", sources.of(&SMILEPAYZ_KEY)),
            ],
        }
    }

    /// The limit as the provider keeps it, to the last request.
    fn rate_limit(&self, api: Api) -> String {
        self.settings.limits.of(api).iter().fold("    rate_limit:".to_owned(), |mut text, window| {
            let per = humantime::format_duration(window.per);
            // a String takes everything
            let _ = write!(text, "\n      - {{ requests: {}, per: {per} }}", window.requests);
            text
        })
    }

    fn account_lines(&self, account: &Account, siblings: usize) -> Vec<String> {
        let watch = account.watch;
        let interval = humantime::format_duration(watch.interval.max(self.least_interval(account.api(), siblings)));
        let currency = account.pots.first().map_or("", |pot| pot.currency);
        let wallet = account.pots.first().map_or("", |pot| pot.wallet);
        let mut lines = vec![format!("      - name: {}", account.name)];
        let mut line = |line: String| lines.push(format!("        {line}"));
        line(format!("currency: {currency}"));
        match account.listing {
            Listing::Dialog { segment, encrypted: false, .. } => line(format!("msisdn: \"{segment}\"")),
            Listing::Dialog { segment, encrypted: true, .. } => line(format!("encrypted_msisdn: \"{segment}\"")),
            Listing::PayBy => line(format!("member_id: \"{}\"", payby::MEMBER_ID)),
            Listing::Bridge { service_id } => line(format!("service_id: {service_id}")),
            Listing::Smilepayz { account_no, scale, .. } => {
                line(format!("account_no: \"{account_no}\""));
                line(format!("wallet: {wallet}"));
                if scale.divisor() != 1 {
                    line(format!("divisor: {}", scale.divisor()));
                }
            }
        }
        line(format!("interval: {interval}"));
        line(format!("thresholds: {{ warning: {}, critical: {} }}", watch.warning, watch.critical));
        line(format!("labels: {{ team: {} }}", watch.team));
        lines
    }

    /// At this interval, all accounts together use at most half of each window.
    fn least_interval(&self, api: Api, accounts: usize) -> Duration {
        let accounts = u64::try_from(accounts).unwrap_or(u64::MAX);
        let needed = self.settings.limits.of(api).iter().map(|window| {
            let requests = u64::from(window.requests).max(1);
            window.per.as_secs().saturating_mul(accounts).saturating_mul(2).div_ceil(requests)
        });
        Duration::from_secs(needed.max().unwrap_or(0))
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::sandbox::keys::tests::KEYS;
    use crate::sandbox::{Limits, Settings, Window};

    fn sandbox(settings: Settings) -> Sandbox {
        Sandbox::with_keys(settings, Arc::new(SystemClock), KEYS.clone())
    }

    fn addr() -> SocketAddr {
        "127.0.0.1:10921".parse().unwrap()
    }

    fn parsed(text: &str) -> serde_json::Value {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn every_account_is_configured_and_every_named_secret_exists() {
        for grant in [Grant::ClientCredentials, Grant::Password] {
            let sandbox = sandbox(Settings { grant, ..Settings::default() });
            let text = sandbox.exporter_yaml(addr());
            let yaml = parsed(&text);
            let providers = yaml["providers"].as_array().unwrap();
            let names: Vec<_> = providers
                .iter()
                .flat_map(|provider| provider["accounts"].as_array().unwrap())
                .map(|account| account["name"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(names, cast::accounts().iter().map(|account| account.name).collect::<Vec<_>>());
            assert!(providers.iter().all(|provider| provider["base_url"] == "http://127.0.0.1:10921"));
            let secrets = sandbox.secrets();
            for name in text.split("env: ").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
                assert!(secrets.contains_key(name), "{name}");
            }
            assert!(secrets.values().all(|value| !text.contains(value)));
        }
    }

    #[test]
    fn intervals_fit_the_limits() {
        let limits = Limits { payby: vec![Window::new(4, Duration::from_secs(60))], ..Limits::default() };
        let yaml = parsed(&sandbox(Settings { limits, ..Settings::default() }).exporter_yaml(addr()));
        assert_eq!(yaml["providers"][1]["rate_limit"][0]["per"], "1m");
        assert_eq!(yaml["providers"][1]["accounts"][0]["interval"], "1m");
        assert_eq!(yaml["providers"][2]["accounts"][0]["interval"], "5s");
    }

    #[test]
    fn files_are_private_and_strangers_are_spared() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("demo");
        let sandbox = sandbox(Settings::default());
        sandbox.write_to(&place, addr()).unwrap();
        sandbox.write_to(&place, addr()).unwrap();
        let text = fs::read_to_string(place.join("exporter.yaml")).unwrap();
        for name in text.split("file: ").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
            assert!(place.join(name).exists(), "{name}");
        }
        for entry in fs::read_dir(&place).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(place.join("exporter.yaml"), "providers: []\n").unwrap();
        assert_eq!(sandbox.write_to(&place, addr()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(place.join("exporter.yaml")).unwrap(), "providers: []\n");
    }
}
