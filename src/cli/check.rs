//! `check`: what will be polled, how often, at which share of each limit, and which secrets were found.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use humantime::format_duration;

use super::{ConfigArgs, Exit, complain, print};
use crate::app::Origin;
use crate::config::{AccountConfig, Config, ProviderConfig, SecretReader, Threshold, parse_file};
use crate::providers::described;
use crate::rate_limit::Window;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Fail if a secret cannot be read or used, as the exporter would
    #[arg(long)]
    require_secrets: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn check(args: &CheckArgs) -> Exit {
    args.config.log.start();
    let file = &args.config.config_file;
    let origin = Origin::File(file.clone());
    let checked = match origin.load() {
        Ok(loaded) => Ok(loaded.config),
        Err(refused) if args.require_secrets => Err(refused),
        // without the secrets it may still be right, and if it is not, this says the same again
        Err(_) => parse_file(file),
    };
    match checked {
        Ok(config) => print(&report(&file.display().to_string(), &config, &origin.secrets())),
        Err(refused) => complain(Exit::BadConfig, &refused.to_string()),
    }
}

fn report(name: &str, config: &Config, secrets: &SecretReader) -> String {
    let accounts: usize = config.providers.iter().map(|provider| provider.accounts.len()).sum();
    let mut out = format!("{name}: {} providers, {accounts} accounts, nothing wrong\n", config.providers.len());
    let mut unusable = 0;
    for provider in &config.providers {
        describe(&mut out, provider, secrets);
        unusable += usize::from(provider.connect(secrets).is_err());
    }
    if unusable > 0 {
        // writing to a String cannot fail
        let _ = writeln!(
            out,
            "\nThe exporter will not start: secrets of {unusable} providers cannot be read or used here."
        );
    }
    out
}

fn describe(out: &mut String, provider: &ProviderConfig, secrets: &SecretReader) {
    let facts = provider.api.facts();
    // writing to a String cannot fail
    let _ = writeln!(
        out,
        "\n{}: {}, {}, {}",
        provider.name,
        facts.title,
        provider.site.environment.as_str(),
        provider.site.base_url
    );
    for window in &provider.quota.windows {
        let used = requests_per(window, &provider.accounts);
        let share = used / f64::from(window.requests) * 100.0;
        let _ = writeln!(
            out,
            "  limit    {} requests per {}: polls use {used:.1}, {share:.0} %",
            window.requests,
            format_duration(window.per)
        );
    }
    for (key, source) in provider.settings.secrets() {
        let found = match secrets.read(source) {
            Ok(secret) => described(&secret).map_or_else(|| "found".to_owned(), |what| format!("found, {what}")),
            Err(why) => why,
        };
        let _ = writeln!(out, "  secret   {key} from {source}: {found}");
    }
    for account in &provider.accounts {
        let wallets: Vec<_> =
            account.wallets.iter().map(|(wallet, currency)| format!("{wallet} in {currency}")).collect();
        let _ = writeln!(
            out,
            "  account  {}: {}; every {}, given up after {}, withdrawn after {}",
            account.id.account,
            wallets.join(", "),
            format_duration(account.interval),
            format_duration(account.timeout),
            format_duration(account.stale_after)
        );
        for level in &account.thresholds {
            let Threshold { wallet, currency, severity, amount } = level;
            let _ = writeln!(out, "           {} below {amount} {currency} in {wallet}", severity.as_str());
        }
    }
}

/// Requests of this window's length that the accounts make, logins not counted.
fn requests_per(window: &Window, accounts: &[Arc<AccountConfig>]) -> f64 {
    accounts.iter().map(|account| window.per.as_secs_f64() / account.interval.as_secs_f64()).sum()
}
