//! Configurations of any size: so many accounts, spread over so many provider entries.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Fallible, Options};

/// Writes `exporter.yaml` and its secrets into `--into`.
pub fn write(options: &Options) -> Fallible<()> {
    let into = Path::new(options.text("into").ok_or("--into is needed")?);
    let base = options.text("provider").ok_or("--provider is needed: where the provider of `rig provider` listens")?;
    let accounts: usize = options.number("accounts", 1_000)?;
    let providers: usize = options.number("providers", 20)?.min(accounts.max(1));
    let interval = options.text("interval").unwrap_or("1m");
    let stale_after = options.text("stale-after").unwrap_or("5m");
    let limit: usize = options.number("limit", 1_000_000)?;
    // the account whose threshold is another one, to see what a reload of one account does
    let changed: usize = options.number("changed", usize::MAX)?;
    let extra = options.text("extra").unwrap_or_default().replace("\\n", "\n");
    let provider_extra = options.text("provider-extra").unwrap_or_default().replace("\\n", "\n    ");
    let timeout = options.text("timeout").unwrap_or("10s");
    fs::create_dir_all(into)?;
    secret(&into.join("token"), b"token-of-the-rig")?;
    let signed = options.text("key");
    if let Some(key) = signed {
        secret(&into.join("key.pem"), &fs::read(key)?)?;
        secret(&into.join("merchant"), b"merchant-secret-of-the-rig")?;
    }
    let mut yaml = format!("{extra}\ndefaults: {{ interval: {interval}, timeout: {timeout}, stale_after: {stale_after} }}\nproviders:\n");
    for provider in 0..providers {
        let base = base.replace("127.0.0.1", &format!("127.0.0.{}", 1 + provider % 20));
        write!(yaml, "  - name: provider-{provider:02}\n    base_url: {base}/p{provider}\n    rate_limit: {{ requests: {limit}, per: 1m }}\n")?;
        if signed.is_some() {
            write!(yaml, "    api: smilepayz\n    merchant_id: \"{provider}\"\n    merchant_secret: {{ file: merchant }}\n    private_key: {{ file: key.pem }}\n")?;
        } else {
            write!(yaml, "    api: dialog\n    token: {{ file: token }}\n")?;
        }
        writeln!(yaml, "    {provider_extra}\n    accounts:")?;
        for account in (0..accounts).filter(|account| account % providers == provider) {
            let threshold = if account == changed { 901 } else { 900 };
            write!(yaml, "      - name: account-{account:06}\n")?;
            if signed.is_some() {
                write!(yaml, "        account_no: \"{}\"\n        currency: PEN\n", 100_000_000_000_u64 + account as u64)?;
            } else {
                write!(yaml, "        msisdn: \"{}\"\n", 94_700_000_000_u64 + account as u64)?;
            }
            write!(yaml, "        thresholds: {{ warning: {threshold} }}\n        labels: {{ team: team-{} }}\n", account % 7)?;
        }
    }
    fs::write(into.join("exporter.yaml"), yaml)?;
    Ok(())
}

fn secret(path: &Path, content: &[u8]) -> Fallible<()> {
    fs::write(path, content)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}
