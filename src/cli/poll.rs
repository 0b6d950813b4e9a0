//! `poll`: one poll of one account, with everything that a person needs who asks why there is no balance.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use clap::{Args, ValueEnum};

use super::masked::Mask;
use super::{ConfigArgs, Exit, complain, print};
use crate::account::Balance;
use crate::app::Origin;
use crate::board::Snapshot;
use crate::board::{Board, ProviderStatus};
use crate::clock::SystemClock;
use crate::config::{AccountConfig, Loaded, ProviderConfig};
use crate::exposition::{Format, Telemetry, render};
use crate::failure::Failure;
use crate::money::Amount;
use crate::poller::{Edge, Trace, poll_once};
use crate::providers::Connection;
use crate::rate_limit::RateLimiter;
use crate::secret::Secret;
use crate::store::Store;
use crate::transport::HttpTransport;

#[derive(Debug, Args)]
pub(super) struct PollArgs {
    /// Name of the account in the configuration
    account: String,
    /// How to show what was read
    #[arg(long, value_enum, default_value = "table")]
    format: Shape,
    /// Show requests and replies too, with secrets, signatures and numbers masked
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// For reading
    Table,
    /// For programs; amounts are text, exactly as the provider wrote them
    Json,
    /// As on /metrics
    Metrics,
}

pub(super) fn poll(args: &PollArgs) -> Exit {
    args.config.log.start();
    let origin = Origin::File(args.config.config_file.clone());
    let loaded = match origin.load() {
        Ok(loaded) => loaded,
        Err(refused) => return complain(Exit::BadConfig, &refused.to_string()),
    };
    let names: Vec<_> =
        loaded.config.providers.iter().flat_map(|p| &p.accounts).map(|a| a.id.account.to_string()).collect();
    let Some((provider, connection, account)) = find(loaded, &args.account) else {
        let why = format!("no account of that name is configured; there are: {}", names.join(", "));
        return complain(Exit::BadConfig, &why);
    };
    let (edge, runtime) = match edge() {
        Ok(both) => both,
        Err(why) => return complain(Exit::Failed, &why),
    };
    let mask = args.trace.then(|| mask(&origin, &provider, &connection));
    let trace = Trace::default();
    let outcome = runtime.block_on(poll_once(edge.clone(), &provider, connection, &account, &trace));
    runtime.shutdown_background();
    let said = trace.take();
    let mut shown = mask.map(|mask| mask.and_credentials_of(&said).show(&said)).unwrap_or_default();
    shown += &match args.format {
        Shape::Table => table(&account, &outcome),
        Shape::Json => json(&account, &outcome),
        Shape::Metrics => metrics(&edge, &provider, &account, &outcome),
    };
    let printed = print(&shown);
    if outcome.is_err() { Exit::Failed } else { printed }
}

fn find(loaded: Loaded, name: &str) -> Option<(Arc<ProviderConfig>, Connection, Arc<AccountConfig>)> {
    let mut entries = loaded.config.providers.into_iter().zip(loaded.connections);
    entries.find_map(|(provider, connection)| {
        let account = provider.accounts.iter().find(|account| &*account.id.account == name)?.clone();
        Some((provider, connection, account))
    })
}

fn edge() -> Result<(Arc<Edge>, tokio::runtime::Runtime), String> {
    let transport = HttpTransport::new().map_err(|error| error.to_string())?;
    let telemetry = Telemetry::new().map_err(|error| error.to_string())?;
    let edge = Edge {
        store: Store::memory(),
        clock: Arc::new(SystemClock),
        transport: Arc::new(transport),
        board: Arc::new(Board::default()),
        telemetry: Arc::new(telemetry),
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    Ok((Arc::new(edge), runtime))
}

/// Hides the provider's secrets and what its accounts keep private.
fn mask(origin: &Origin, provider: &ProviderConfig, connection: &Connection) -> Mask {
    let reader = origin.secrets();
    let secrets: Vec<_> = provider.secrets().into_iter().filter_map(|(_, source)| reader.read(source).ok()).collect();
    let private = connection.accounts.iter().flat_map(|account| account.private());
    Mask::new(secrets.iter().map(Secret::expose).chain(private))
}

fn figures(balance: &Balance) -> [(&'static str, Option<Amount>); 4] {
    [
        ("amount", balance.amount),
        ("available", balance.available),
        ("frozen", balance.frozen),
        ("credit_limit", balance.credit_limit),
    ]
}

fn table(account: &AccountConfig, outcome: &Result<Snapshot, Failure>) -> String {
    let snapshot = match outcome {
        Ok(snapshot) => snapshot,
        Err(failure) => {
            let Failure { reason, detail, .. } = failure;
            return format!(
                "{}: no balance\n  reason   {reason}: {}\n  detail   {detail}\n  remedy   {}\n",
                account.id,
                reason.meaning(),
                reason.remedy()
            );
        }
    };
    let mut out = format!("{}: read at {:.0}\n", account.id, snapshot.taken().wall);
    for balance in snapshot.reading().balances() {
        for (figure, amount) in figures(balance) {
            if let Some(amount) = amount {
                // writing to a String cannot fail
                let _ = writeln!(out, "  {:<12} {figure:<13} {amount:>20} {}", balance.wallet, balance.currency);
            }
        }
    }
    for (name, value) in snapshot.reading().info() {
        let _ = writeln!(out, "  {name:<12} {value}");
    }
    out
}

fn json(account: &AccountConfig, outcome: &Result<Snapshot, Failure>) -> String {
    let mut answer = serde_json::json!({ "provider": &*account.id.provider, "account": &*account.id.account });
    match outcome {
        Ok(snapshot) => {
            let balances = snapshot.reading().balances().iter().map(|balance| {
                let mut shown = serde_json::json!({
                    "wallet": balance.wallet.as_str(),
                    "currency": balance.currency.as_str(),
                });
                for (figure, amount) in figures(balance) {
                    if let Some(amount) = amount {
                        shown[figure] = amount.to_string().into();
                    }
                }
                shown
            });
            answer["read_at"] = snapshot.taken().wall.to_string().into();
            answer["balances"] = balances.collect();
            answer["info"] =
                snapshot.reading().info().iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        }
        Err(failure) => {
            answer["reason"] = failure.reason.as_str().into();
            answer["detail"] = failure.detail.clone().into();
            answer["remedy"] = failure.reason.remedy().into();
        }
    }
    format!("{answer:#}\n")
}

fn metrics(
    edge: &Edge,
    provider: &ProviderConfig,
    account: &Arc<AccountConfig>,
    outcome: &Result<Snapshot, Failure>,
) -> String {
    let limiter = Arc::new(Mutex::new(RateLimiter::new(provider.quota.clone())));
    let status = ProviderStatus::new(provider.name.clone(), limiter);
    edge.board.configure(vec![status], std::slice::from_ref(account));
    let now = edge.clock.now();
    edge.board.file(account, outcome.clone(), now);
    render(&edge.board.view(), &[], now, Format::Text)
}
