//! Every API that accounts can be polled through, together and one by one.

use std::time::Duration;

use super::table::{code, joined, table};
use crate::exposition::span;
use crate::providers::{self, Facts};

/// Every API that accounts can be polled through.
pub(super) fn providers() -> String {
    let rows = providers::ALL.iter().map(|api| {
        let Facts {
            name,
            title,
            documentation,
            authentication,
            production,
            sandbox,
            rate_limit,
            rate_limit_source,
            wallets,
        } = api.facts();
        let provider =
            if documentation.is_empty() { (*title).to_owned() } else { format!("[{title}]({documentation})") };
        [
            provider,
            code(name),
            (*authentication).to_owned(),
            joined(wallets.iter().map(|wallet| code(wallet))),
            format!("{} ({rate_limit_source})", limits(rate_limit)),
            code(production),
            sandbox.map_or_else(|| "none".to_owned(), code),
        ]
    });
    table(
        ["Provider", "`api`", "Authentication", "Wallets", "Rate limit unless configured", "Production", "Sandbox"],
        rows,
    )
}

/// What is known of one API before any account is configured.
pub(super) fn facts(facts: &Facts) -> String {
    let rows = [
        ("`api`", code(facts.name)),
        ("The vendor's page", format!("<{}>", facts.documentation)),
        ("Authentication", facts.authentication.to_owned()),
        ("Host, `environment: production`", code(facts.production)),
        ("Host, `environment: sandbox`", facts.sandbox.map_or_else(|| "none: give `base_url`".to_owned(), code)),
        ("Wallets", joined(facts.wallets.iter().map(|wallet| code(wallet)))),
        ("Limit, unless `rate_limit` says otherwise", limits(facts.rate_limit)),
        ("Where that limit comes from", facts.rate_limit_source.to_owned()),
    ];
    table(["Fact", "Value"], rows.map(|(fact, value)| [fact.to_owned(), value]))
}

/// The hosts that requests go to, for whoever writes the rules of a firewall.
pub(super) fn hosts() -> String {
    let host = |address: &str| code(address.trim_start_matches("https://"));
    let rows = providers::ALL.iter().map(|api| {
        let Facts { title, production, sandbox, .. } = api.facts();
        [(*title).to_owned(), host(production), sandbox.map_or_else(|| "none".to_owned(), host)]
    });
    table(["Provider", "Host", "Host of the sandbox"], rows)
}

fn limits(windows: &[(u32, Duration)]) -> String {
    joined(windows.iter().map(|(most, per)| format!("{most} per {}", span(*per))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::table::cells;

    #[test]
    fn every_provider_has_its_row() {
        let rows = cells(&providers());
        assert_eq!(rows.len(), providers::ALL.len() + 1);
        for (row, api) in rows[1..].iter().zip(providers::ALL) {
            assert!(row[0].contains(api.facts().title) && row[1] == code(api.facts().name), "{row:?}");
        }
    }

    #[test]
    fn one_providers_facts_are_those_of_its_row() {
        let all = cells(&providers());
        for (row, api) in all[1..].iter().zip(providers::ALL) {
            let text = facts(api.facts());
            for cell in [&row[1], &row[2], &row[3], &row[5]] {
                assert!(text.contains(cell.as_str()), "{cell} is not in\n{text}");
            }
        }
    }
}
