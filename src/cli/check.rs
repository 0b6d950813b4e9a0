//! `check`: what will be polled, how often, at which share of each limit, and which secrets were found.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use humantime::format_duration;

use super::{ConfigArgs, Exit, complain, print};
use crate::app::Origin;
use crate::config::{Config, ProviderConfig, SecretReader, Setting, Threshold, explain, parse_file, text_of};
use crate::providers::described;
use crate::web::Guard;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Fail if a secret is not there, as the exporter would
    #[arg(long)]
    require_secrets: bool,
    /// Show every setting in force, and where each comes from
    #[arg(long)]
    explain: bool,
    /// Look at this web configuration, too, and at the files that it names
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn check(args: &CheckArgs) -> Exit {
    args.config.log.start();
    let file = &args.config.config_file;
    let origin = Origin::File(file.clone());
    let secrets = origin.secrets();
    let checked = match origin.load() {
        Ok(loaded) => Ok(loaded.config),
        Err(refused) if args.require_secrets => Err(refused),
        // what is wrong may be no more than that secrets are not here
        Err(refused) => match parse_file(file) {
            Ok(config) if config.providers.iter().all(|provider| sound(provider, &secrets)) => Ok(config),
            Ok(_) | Err(_) => Err(refused),
        },
    };
    // what is wrong with either is told
    if let Err(why) = Guard::new(args.web_config_file.clone()) {
        if let Err(refused) = &checked {
            complain(Exit::BadConfig, &refused.to_string());
        }
        return complain(Exit::BadConfig, &why);
    }
    match checked {
        Ok(config) if args.explain => match text_of(file) {
            Ok((name, text)) => print(&explained(&name, &explain(&config, &text, |source| secrets.is_absent(source)))),
            Err(refused) => complain(Exit::BadConfig, &refused.to_string()),
        },
        Ok(config) => print(&report(&file.display().to_string(), &config, &secrets)),
        Err(refused) => complain(Exit::BadConfig, &refused.to_string()),
    }
}

/// True if every secret that is here can be used, as far as that can be told without those that are not.
fn sound(provider: &ProviderConfig, secrets: &SecretReader) -> bool {
    let sources = provider.secrets();
    let (absent, here): (Vec<_>, Vec<_>) = sources.iter().partition(|(_, source)| secrets.is_absent(source));
    here.iter().all(|(_, source)| secrets.read(source).is_ok())
        && (!absent.is_empty() || provider.connect(secrets).is_ok())
}

fn report(name: &str, config: &Config, secrets: &SecretReader) -> String {
    let accounts: usize = config.providers.iter().map(|provider| provider.accounts.len()).sum();
    let mut out = format!("{name}: {} providers, {accounts} accounts, nothing wrong\n", config.providers.len());
    if let Some(file) = &config.state {
        // writing to a String cannot fail
        let _ = writeln!(out, "state in {}", file.display());
    }
    for provider in &config.providers {
        describe(&mut out, provider, secrets);
    }
    let sources = config.providers.iter().flat_map(|provider| provider.secrets());
    let absent = sources.filter(|(_, source)| secrets.is_absent(source)).count();
    if absent > 0 {
        // writing to a String cannot fail
        let _ = writeln!(out, "\n{absent} secrets are not here: the exporter will not start without them.");
    }
    out
}

/// Key, value and origin, each in a column of its own.
fn explained(name: &str, settings: &[Setting]) -> String {
    let indented = |setting: &Setting| format!("{:1$}{2}", "", 2 * setting.depth, setting.key);
    let width = |of: &dyn Fn(&Setting) -> usize| settings.iter().map(of).max().unwrap_or_default().min(56);
    let keys = width(&|setting| indented(setting).chars().count());
    let values = width(&|setting| setting.value.chars().count());
    let mut out = format!("{name}: the settings in force, and where each comes from\n");
    for setting in settings {
        let (key, value, origin) = (indented(setting), &setting.value, setting.origin);
        // writing to a String cannot fail
        let _ = writeln!(out, "{key:keys$}  {value:values$}  {origin}");
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
        // logins are not counted
        let used = window.requests_at(provider.accounts.iter().map(|account| account.interval));
        let share = used / f64::from(window.requests) * 100.0;
        let _ = writeln!(
            out,
            "  limit    {} requests per {}: polls use {used:.1}, {share:.0} %",
            window.requests,
            format_duration(window.per)
        );
    }
    for (key, source) in provider.secrets() {
        let found = match secrets.read(source) {
            Ok(secret) => described(&secret).map_or_else(|| "found".to_owned(), |what| format!("found, {what}")),
            Err(why) => why,
        };
        let _ = if secrets.is_absent(source) {
            // what is not there may be no name but the secret itself
            writeln!(out, "  secret   {key}: {found}")
        } else {
            writeln!(out, "  secret   {key} from {source}: {found}")
        };
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
