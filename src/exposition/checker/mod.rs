//! Reads an exposition as strictly as the strictest scraper. Every test that has the text of a scrape uses this,
//! and so can whoever wants to check a running exporter.
//!
//! It accepts less than Prometheus does: families must not be interleaved or repeated, no series may appear twice,
//! every family must have TYPE and HELP and samples, and must be declared in the [catalogue](super::catalogue) just so.

use std::collections::BTreeSet;

use super::Format;
use super::catalogue::{Kind, METRICS, Metric, Presence, Subject};
use crate::failure::ErrorReason;

mod grammar;

pub use grammar::read;

/// A text that was accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// In the order of the text.
    pub families: Vec<Family>,
}

/// One family.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// As TYPE names it.
    pub name: String,
    /// As TYPE says.
    pub kind: String,
    /// As UNIT says.
    pub unit: Option<String>,
    /// As HELP says, unescaped.
    pub help: Option<String>,
    /// In the order of the text.
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With its suffix.
    pub name: String,
    /// Unescaped, in the order of the line.
    pub labels: Vec<(String, String)>,
    /// The digits as they stand there.
    pub value: String,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

impl Exposition {
    /// All samples of this name, which carries the suffixes of its line.
    pub fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples).filter(move |sample| sample.name == name)
    }

    /// The digits of the only sample of this name that has all these labels; `None` if there is none, or several.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<&str> {
        let has_all = |sample: &&Sample| labels.iter().all(|(label, value)| sample.label(label) == Some(value));
        let mut found = self.samples(name).filter(has_all);
        let first = found.next()?;
        found.next().is_none().then_some(first.value.as_str())
    }
}

/// Reads the text and checks everything that can be seen without knowing the configuration.
pub fn check(text: &str, format: Format) -> Result<Exposition, String> {
    let exposition = read(text, format)?;
    for family in &exposition.families {
        declared(family, format)?;
    }
    let order = |family: &Family| METRICS.iter().position(|metric| named(metric, format) == family.name);
    if !exposition.families.is_sorted_by_key(order) {
        return Err("families are not in the order of the catalogue".to_owned());
    }
    Ok(exposition)
}

/// Like [`check`]; besides, the accounts (as provider and account) must be exactly these, each with all the series
/// that are always there and none of another account.
pub fn check_accounts(text: &str, format: Format, accounts: &[(&str, &str)]) -> Result<Exposition, String> {
    let exposition = check(text, format)?;
    let accounts: BTreeSet<_> = accounts.iter().copied().collect();
    let providers: BTreeSet<_> = accounts.iter().map(|(provider, _)| *provider).collect();
    for metric in METRICS {
        let family = exposition.families.iter().find(|family| named(metric, format) == family.name);
        let samples = family.map_or(&[][..], |family| &family.samples);
        let always = metric.presence == Presence::Always;
        match metric.subject() {
            Subject::Account => {
                let about = |sample: &Sample| (label(sample, "provider"), label(sample, "account"));
                let found: Vec<_> = samples.iter().map(about).collect();
                let found: BTreeSet<_> = found.iter().map(|(p, a)| (p.as_str(), a.as_str())).collect();
                exactly(metric, &found, &accounts, always)?;
            }
            Subject::Provider => {
                let found: Vec<_> = samples.iter().map(|sample| label(sample, "provider")).collect();
                let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
                // a provider may have no accounts, so that more may be there
                if always && !found.is_superset(&providers) {
                    return Err(format!("{} is about {found:?} and not {providers:?}", metric.name));
                }
            }
            Subject::Exporter if always && samples.is_empty() => {
                return Err(format!("{} is missing", metric.name));
            }
            Subject::Exporter => {}
        }
    }
    let failures = exposition.samples("balance_poll_failures_total").count();
    if failures != accounts.len() * ErrorReason::ALL.len() {
        return Err(format!("{failures} series of failures for {} accounts", accounts.len()));
    }
    Ok(exposition)
}

fn label(sample: &Sample, name: &str) -> String {
    sample.label(name).unwrap_or_default().to_owned()
}

fn exactly<T: Ord + std::fmt::Debug>(
    metric: &Metric,
    found: &BTreeSet<T>,
    expected: &BTreeSet<T>,
    always: bool,
) -> Result<(), String> {
    let right = if always { found == expected } else { found.is_subset(expected) };
    if right { Ok(()) } else { Err(format!("{} is about {found:?} and not {expected:?}", metric.name)) }
}

/// What TYPE names the family of `metric`.
fn named(metric: &Metric, format: Format) -> &'static str {
    if format.is_open_metrics() { metric.family() } else { metric.name }
}

/// The family stands in the catalogue, and is what that says.
fn declared(family: &Family, format: Format) -> Result<(), String> {
    let name = &family.name;
    let metric = METRICS.iter().find(|metric| named(metric, format) == *name);
    let metric = metric.ok_or_else(|| format!("{name} is not declared"))?;
    let kind = match metric.kind {
        Kind::Info if !format.is_open_metrics() => Kind::Gauge,
        Kind::Info | Kind::Gauge | Kind::Counter | Kind::Histogram => metric.kind,
    };
    let unit = metric.unit().filter(|_| format.is_open_metrics());
    if family.kind != kind.as_str() || family.unit.as_deref() != unit || family.help.as_deref() != Some(metric.help) {
        return Err(format!("{name} is not what its declaration says: {family:?}"));
    }
    let wanted: Vec<_> = metric.subject().labels().iter().chain(metric.labels).collect();
    for sample in &family.samples {
        let missing =
            wanted.iter().find(|label| sample.label(label).is_none() && metric.name != "balance_exporter_build_info");
        if let Some(missing) = missing {
            return Err(format!("a sample of {name} has no label {missing}"));
        }
        let own = metric.subject() == Subject::Account;
        let extra = sample.labels.iter().find(|(label, _)| !own && label != "le" && !wanted.contains(&&label.as_str()));
        if let Some((extra, _)) = extra {
            return Err(format!("a sample of {name} has the label {extra}"));
        }
    }
    Ok(())
}
