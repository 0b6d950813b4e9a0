//! What is known, as the text that Prometheus reads: a board in, text out.
//!
//! A series exists if and only if its account or provider does: every text is rendered from the [`catalogue`] and one
//! view of the board, and what the [`Typesetter`] keeps of it is shown again only while it would be rendered just so.
//! Amounts go out digit by digit as the provider wrote them. Samples carry no timestamps: freshness is decided at the
//! scrape, by `balance_fresh`.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use prometheus::proto;

use crate::board::{ProviderStatus, View};
use crate::clock::Now;

pub mod catalogue;
pub mod checker;
mod deflate;
mod format;
mod gist;
mod moment;
mod samples;
mod series;
mod telemetry;
mod typesetter;
mod writer;

use catalogue::{AccountSamples, METRICS, Metric, Samples, Subject};
pub use deflate::gzip;
pub(crate) use format::quality;
pub use format::{Escaping, Format, negotiate};
pub use moment::Moment;
use moment::Shown;
use series::Labels;
pub use telemetry::Telemetry;
pub use typesetter::{Coding, Galley, Typesetter};
use writer::Family;

/// About as many bytes as the series of an account take.
const ACCOUNT_BYTES: usize = 3_600;

/// The whole text of a scrape at `now`. `telemetry` is what [`Telemetry::gather`] gave.
pub fn render(view: &View, telemetry: &[proto::MetricFamily], now: Now, format: Format) -> String {
    let labels: Vec<_> = view.accounts.iter().map(|status| samples::account_labels(status)).collect();
    let moment = Moment::new(now, &view.providers);
    let rows: Vec<_> = view.accounts.iter().map(|status| moment.shown(status, view)).zip(&labels).collect();
    let mut text = String::with_capacity(labels.len() * ACCOUNT_BYTES);
    accounts(&mut text, &rows, format);
    rest(&mut text, &view.providers, telemetry, now, format);
    text
}

/// An account with the labels of its series.
type Row<'a> = (Shown<'a>, &'a Labels);

/// The metrics of accounts, in the order of the catalogue.
fn account_metrics() -> impl Iterator<Item = (&'static Metric, AccountSamples)> {
    METRICS.iter().filter_map(|metric| match metric.samples {
        Samples::Account(sample) => Some((metric, sample)),
        Samples::Provider(_) | Samples::Exporter(_) | Samples::Telemetry(_) => None,
    })
}

/// Appends what is known of accounts, which is nearly all of the text.
fn accounts(text: &mut String, rows: &[Row<'_>], format: Format) {
    for (metric, sample) in account_metrics() {
        let mut family = Family::new(text, metric, format);
        for (account, labels) in rows {
            family.series(labels, |series| sample.write(account, series));
        }
    }
}

/// Appends what is known of providers and of the exporter itself, and the end.
fn rest(
    text: &mut String,
    providers: &[Arc<ProviderStatus>],
    telemetry: &[proto::MetricFamily],
    now: Now,
    format: Format,
) {
    let providers: Vec<_> = providers.iter().map(|status| (status, samples::provider_labels(status))).collect();
    let none = Labels::default();
    for metric in METRICS {
        let mut family = Family::new(text, metric, format);
        match metric.samples {
            Samples::Account(_) => {}
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
    if format.is_open_metrics() {
        text.push_str("# EOF\n");
    }
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
