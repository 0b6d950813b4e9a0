//! What is known, as the text that Prometheus reads: a board in, text out.
//!
//! A series exists if and only if its account or provider does, because nothing is kept here: every scrape is
//! rendered anew from the [`catalogue`] and one view of the board. Amounts go out digit by digit as the provider
//! wrote them. Samples carry no timestamps: freshness is decided at the scrape, by `balance_fresh`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use prometheus::proto;

use crate::board::View;
use crate::clock::Now;

pub mod catalogue;
pub mod checker;
mod format;
mod samples;
mod series;
mod telemetry;
mod writer;

use catalogue::{METRICS, Metric, Samples, Subject};
pub(crate) use format::quality;
pub use format::{Escaping, Format, negotiate};
use series::Labels;
pub use telemetry::Telemetry;
use writer::{Family, Writer};

/// About as many bytes as the series of an account take.
const ACCOUNT_BYTES: usize = 3_500;

/// The whole text of a scrape at `now`. `telemetry` is what [`Telemetry::gather`] gave.
pub fn render(view: &View, telemetry: &[proto::MetricFamily], now: Now, format: Format) -> String {
    let accounts: Vec<_> = view.accounts.iter().map(|status| (status, samples::account_labels(status))).collect();
    let providers: Vec<_> = view.providers.iter().map(|status| (status, samples::provider_labels(status))).collect();
    let waits: BTreeMap<_, _> = view.providers.iter().map(|status| (&*status.name, status.waiting(&now))).collect();
    let none = Labels::default();
    let buffer = String::with_capacity((accounts.len() + 8) * ACCOUNT_BYTES);
    let mut writer = Writer::new(format, buffer);
    for metric in METRICS {
        let mut family = writer.family(metric);
        match metric.samples {
            Samples::Account(sample) => {
                for (status, labels) in &accounts {
                    family.series(labels, |series| sample(status, &now, series));
                }
            }
            Samples::AccountAtProvider(sample) => {
                for (status, labels) in &accounts {
                    let provider = waits.get(&*status.config.id.provider).copied().flatten();
                    family.series(labels, |series| sample(status, provider, series));
                }
            }
            Samples::Provider(sample) => {
                for (status, labels) in &providers {
                    family.series(labels, |series| sample(status, &now, series));
                }
            }
            Samples::Exporter(sample) => family.series(&none, sample),
            Samples::Telemetry(subject) => {
                let kept = telemetry.iter().find(|kept| kept.name() == metric.name);
                let kept = kept.map_or(&[][..], |kept| kept.get_metric());
                match subject {
                    Subject::Provider => {
                        for (status, labels) in &providers {
                            let about = |m: &&proto::Metric| m.get_label().iter().any(|l| l.value() == &*status.name);
                            gathered(metric, kept.iter().find(about), labels, &mut family);
                        }
                    }
                    // one registry holds one exporter; no account's metric is kept in it
                    Subject::Exporter | Subject::Account => gathered(metric, kept.first(), &none, &mut family),
                }
            }
        }
    }
    writer.finish()
}

fn gathered(metric: &'static Metric, value: Option<&proto::Metric>, labels: &Labels, family: &mut Family<'_>) {
    if let Some(value) = value {
        family.series(labels, |series| telemetry::gathered(metric, value, series));
    }
}

/// A length of time the way Prometheus writes one: `1m`, `1h30m`, `250ms`.
pub(crate) fn span(length: Duration) -> String {
    let mut text = String::new();
    let mut rest = length.as_millis();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= millis {
            // writing into a `String` cannot fail
            let _ = write!(text, "{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
