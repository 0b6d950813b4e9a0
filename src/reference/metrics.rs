//! Every metric, and every value of the label `reason`.

use super::table::{code, joined, sentence, table};
use crate::exposition::catalogue::{METRICS, Metric, Presence, Subject};
use crate::failure::ErrorReason;

/// Every metric, and every value of the label `reason`.
pub(super) fn metrics() -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::table::cells;

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
}
