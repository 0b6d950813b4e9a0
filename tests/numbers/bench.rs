//! Accounts as the exporter has them: configured, connected, on a board, and scraped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balance_exporter::account::AccountId;
use balance_exporter::board::{AccountStatus, Board, Filing, ProviderStatus, Snapshot};
use balance_exporter::clock::{BootTime, Now};
use balance_exporter::config::{self, AccountConfig, SecretReader};
use balance_exporter::exposition::checker::{Exposition, check_accounts};
use balance_exporter::exposition::{Format, Telemetry, render};
use balance_exporter::failure::Failure;
use balance_exporter::providers::{Connection, Exchange, Postmark, Provider, Reading, Step};
use balance_exporter::rate_limit::RateLimiter;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;

/// The keys of a Bridge entry.
pub(crate) const BRIDGE: &str = "api: bridge, username: u, password: { env: PASSWORD }";
/// The keys of a PayBy entry.
pub(crate) const PAYBY: &str =
    "api: payby, partner_id: '1', private_key: { env: OURS }, platform_public_key: { env: THEIRS }";
/// The keys of a Smilepayz entry.
pub(crate) const SMILEPAYZ: &str =
    "api: smilepayz, merchant_id: '20119', merchant_secret: { env: PASSWORD }, private_key: { env: OURS }";
/// The keys of a Dialog entry that does not log in.
pub(crate) const DIALOG: &str = "api: dialog, token: { env: PASSWORD }";

/// One provider entry and its accounts.
pub(crate) struct Bench {
    pub(crate) configs: Vec<Arc<AccountConfig>>,
    pub(crate) connection: Connection,
    pub(crate) board: Arc<Board>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Bench {
    /// The entry with these keys, and an account `a0`, `a1`, … for each of `accounts`.
    pub(crate) fn new(provider: &str, accounts: &[String]) -> Self {
        let mut text = format!(
            "providers:\n  - {{ name: p, {provider}, rate_limit: {{ requests: 1000000, per: 1m }},\n      accounts: [\n"
        );
        for (index, account) in accounts.iter().enumerate() {
            writeln!(text, "        {{ name: a{index}, {account} }},").unwrap();
        }
        text += "      ] }\n";
        let mut loaded = config::load_text("test", &text, &secrets()).unwrap_or_else(|refused| panic!("{refused}"));
        let provider = loaded.config.providers.remove(0);
        let board = Board::default();
        let limiter = Arc::new(Mutex::new(RateLimiter::new(provider.quota.clone())));
        board.configure(vec![ProviderStatus::new(provider.name.clone(), limiter)], &provider.accounts);
        let telemetry = Telemetry::new().unwrap();
        telemetry.know_provider(&provider.name);
        telemetry.config_reloaded(true, at(0).wall);
        Self {
            configs: provider.accounts.clone(),
            connection: loaded.connections.remove(0),
            board: Arc::new(board),
            telemetry: Arc::new(telemetry),
        }
    }

    pub(crate) fn account(&self, index: usize) -> &dyn Provider {
        &*self.connection.accounts[index]
    }

    /// Files what an account makes of a reply, as a poll that began at `taken` would.
    pub(crate) fn file(&self, index: usize, reply: &Response<Bytes>, taken: Now) -> Filing {
        let config = &self.configs[index];
        let known = self.status(index);
        let read = read(self.account(index), taken.wall, known.identity.as_deref(), known.postmark.as_deref(), reply);
        self.board.file(config, read.and_then(|reading| Snapshot::of(config, reading, taken)), taken)
    }

    pub(crate) fn status(&self, index: usize) -> Arc<AccountStatus> {
        self.board.account(&self.configs[index].id).unwrap()
    }

    /// A scrape at `now`, strictly read.
    pub(crate) fn scrape(&self, now: Now) -> Exposition {
        let text = render(&self.board.view(), &self.telemetry.gather(), now, Format::Text);
        let ids: Vec<_> = self.configs.iter().map(|config| &config.id).collect();
        let accounts: Vec<_> = ids.iter().map(|AccountId { provider, account }| (&**provider, &**account)).collect();
        check_accounts(&text, Format::Text, &accounts).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
    }
}

/// The secrets of all entries: throwaway ones.
pub(crate) fn secrets() -> SecretReader {
    let pairs = [
        ("PASSWORD", "a-password"),
        ("OURS", include_str!("../vectors/merchant.pkcs8.pem")),
        ("THEIRS", include_str!("../vectors/key.pub.pem")),
    ];
    let pairs: BTreeMap<_, _> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    SecretReader::with_environment(pairs)
}

/// What an account makes of a reply.
pub(crate) fn read(
    account: &dyn Provider,
    at: Timestamp,
    pinned: Option<&str>,
    previous: Option<&Postmark>,
    reply: &Response<Bytes>,
) -> Result<Reading, Failure> {
    let replies = std::slice::from_ref(reply);
    match account.step(&Exchange { at, session: None, pinned, previous, replies })? {
        Step::Done(reading) => Ok(reading),
        Step::SessionOver { failure, .. } => Err(failure),
        Step::Send(_) => panic!("a second request"),
    }
}

/// A reply with status 200 and this body.
pub(crate) fn reply(body: impl Into<Bytes>) -> Response<Bytes> {
    Response::new(body.into())
}

/// The reply of Bridge with these figures.
pub(crate) fn bridge_reply(payout: &str, collection: &str, sms: &str) -> Response<Bytes> {
    reply(format!(
        r#"{{"response_code":"000","response_data":{{"payout_balance":{payout},"collection_balance":{collection},"sms_balance":{sms}}}}}"#
    ))
}

/// So many milliseconds after the beginning.
pub(crate) fn at_millis(millis: u64) -> Now {
    let since = Duration::from_millis(millis);
    let wall = Timestamp::from_second(1_800_000_000).unwrap() + since;
    Now { boot: BootTime::from_boot(Duration::from_secs(1_000) + since), wall }
}

/// So many seconds after the beginning.
pub(crate) fn at(seconds: u64) -> Now {
    at_millis(seconds * 1_000)
}
