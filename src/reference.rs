//! The reference of metrics, failure reasons and providers as Markdown, generated from the tables that the
//! program itself runs on, so that the documents cannot say anything else.

use std::fmt::Write;
use std::time::Duration;

use crate::exposition::catalogue::{METRICS, Metric, Presence, Subject};
use crate::exposition::span;
use crate::failure::ErrorReason;
use crate::providers::{self, Facts};

/// The whole reference, as one document.
pub fn all() -> String {
    format!("# Metrics\n\n{}\n# Providers\n\n{}", metrics(), providers())
}

/// The document with each of its generated parts brought up to date; an error if it has none.
pub fn update(document: &str) -> Result<String, &'static str> {
    let parts = [("metrics", metrics()), ("providers", providers())];
    let updated = parts.into_iter().fold(None, |updated: Option<String>, (name, generated)| {
        insert(updated.as_deref().unwrap_or(document), name, &generated).or(updated)
    });
    updated.ok_or("there are no marks of a generated part in it")
}

/// Every metric, and every value of the label `reason`.
pub fn metrics() -> String {
    let metrics = METRICS.iter().map(|metric| {
        [
            code(metric.name),
            metric.kind.as_str().to_owned(),
            labels(metric),
            presence(metric.presence),
            metric.help.to_owned(),
        ]
    });
    let reasons = ErrorReason::ALL
        .iter()
        .map(|reason| [code(reason.as_str()), sentence(reason.meaning()), sentence(reason.remedy())]);
    format!(
        "{}\nEach failed poll has one `reason`, the first thing that went wrong:\n\n{}",
        table(["Metric", "Type", "Labels", "Present", "Meaning"], metrics),
        table(["Reason", "Meaning", "What to do"], reasons),
    )
}

/// Every API that accounts can be polled through.
pub fn providers() -> String {
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
            format!("{} ({rate_limit_source})", joined(rate_limit.iter().map(|(most, per)| limit(*most, *per)))),
            code(production),
            sandbox.map_or_else(|| "none".to_owned(), code),
        ]
    });
    table(
        ["Provider", "`api`", "Authentication", "Wallets", "Rate limit unless configured", "Production", "Sandbox"],
        rows,
    )
}

/// The document with `generated` between its marks `<!-- generated: NAME -->` and `<!-- /generated -->`, each on a
/// line of its own; `None` if they are not there.
pub fn insert(document: &str, name: &str, generated: &str) -> Option<String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = document.split_once(&begin)?;
    let end = rest.find("<!-- /generated -->")?;
    // a mark that begins before this one ends has no end of its own
    if rest[..end].contains("<!-- generated:") {
        return None;
    }
    Some(format!("{before}{begin}\n{}\n\n{}", generated.trim_end(), &rest[end..]))
}

fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", heads.join(" | "), " --- |".repeat(N));
    for row in rows {
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        // writing into a `String` cannot fail
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn labels(metric: &Metric) -> String {
    let subject = metric.subject();
    let names = subject.labels().iter().chain(metric.labels).map(|label| code(label));
    match subject {
        Subject::Account => joined(names.chain(["the account's own".to_owned()])),
        Subject::Provider | Subject::Exporter => joined(names),
    }
}

fn presence(presence: Presence) -> String {
    match presence {
        Presence::Always => "always".to_owned(),
        Presence::WhileFresh => "while fresh".to_owned(),
        Presence::OnceRead => "once read".to_owned(),
        Presence::When(condition) => format!("if {condition}"),
    }
}

fn limit(most: u32, per: Duration) -> String {
    format!("{most} per {}", span(per))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A sentence of the kind that stands in logs, for prose.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of each row, head first; every row as wide as the head.
    fn cells(table: &str) -> Vec<Vec<String>> {
        let rows: Vec<Vec<_>> = table
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
            .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
            .collect();
        for row in &rows {
            assert!(row.len() == rows[0].len() && row.iter().all(|cell| !cell.contains('\n')), "{row:?}");
        }
        rows
    }

    #[test]
    fn every_metric_and_reason_has_its_row() {
        let text = metrics();
        let (metrics, reasons) = text.split_once("Each failed poll").unwrap();
        let (metrics, reasons) = (cells(metrics), cells(reasons));
        assert_eq!(metrics.len(), METRICS.len() + 1);
        for (row, metric) in metrics[1..].iter().zip(METRICS) {
            assert_eq!((&row[0], &row[4]), (&code(metric.name), &metric.help.to_owned()));
        }
        assert_eq!(metrics[1][2], "`provider`, `account`, `wallet`, `currency`, the account's own");
        assert_eq!(reasons.len(), ErrorReason::ALL.len() + 1);
        assert_eq!(
            reasons[1],
            [
                "`dns`",
                "The name of the provider's host could not be resolved in time.",
                "Check the resolver and the provider's host name."
            ]
        );
    }

    #[test]
    fn every_provider_has_its_row() {
        let rows = cells(&providers());
        assert_eq!(rows.len(), providers::ALL.len() + 1);
        for (row, api) in rows[1..].iter().zip(providers::ALL) {
            assert!(row[0].contains(api.facts().title) && row[1] == code(api.facts().name), "{row:?}");
        }
    }

    #[test]
    fn generated_text_replaces_what_stood_between_its_marks() {
        let document = "# A\n\n<!-- generated: metrics -->\nold\n<!-- /generated -->\n\nmiddle\n\n\
            <!-- generated: providers -->\n<!-- /generated -->\nend\n";
        let first = insert(document, "metrics", "| new |\n").unwrap();
        let expected = "# A\n\n<!-- generated: metrics -->\n\n| new |\n\n<!-- /generated -->\n\nmiddle\n\n\
            <!-- generated: providers -->\n<!-- /generated -->\nend\n";
        assert_eq!(first, expected);
        assert_eq!(insert(&first, "metrics", "| new |\n"), Some(first.clone()), "twice is once");
        let second = insert(&first, "providers", "p").unwrap();
        assert!(second.ends_with("<!-- generated: providers -->\n\np\n\n<!-- /generated -->\nend\n"));
    }

    #[test]
    fn marks_must_be_there_and_belong_together() {
        for document in [
            "",
            "<!-- generated: metrics -->\nno end",
            "<!-- /generated -->\n<!-- generated: metrics -->\n",
            "<!-- generated: metrics -->\n<!-- generated: providers -->\n<!-- /generated -->\n",
            "<!-- generated: metric -->\n<!-- /generated -->\n",
        ] {
            assert_eq!(insert(document, "metrics", "x"), None, "{document}");
        }
    }

    #[test]
    fn a_bar_stays_within_its_cell() {
        assert_eq!(table(["A"], [["x | y".to_owned()]].into_iter()), "| A |\n| --- |\n| x \\| y |\n");
    }
}
