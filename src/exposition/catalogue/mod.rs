//! Every metric there is, each declared once: what this table says is what is rendered, what HELP tells,
//! what the reference prints and what the checker accepts.

use super::moment::Shown;
use super::series::Series;
use crate::board::ProviderStatus;
use crate::clock::Now;
use crate::config::AccountConfig;

mod table;

pub use table::METRICS;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// As the text format knows it, with `_total` of a counter and `_info` of an info metric.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// Labels beside those that its [`Subject`] brings.
    pub labels: &'static [&'static str],
    /// When its series exist.
    pub presence: Presence,
    /// One paragraph for people.
    pub help: &'static str,
    pub(super) samples: Samples,
}

/// What the values of a metric do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, until the exporter restarts.
    Counter,
    /// Counts observations in buckets.
    Histogram,
    /// Is 1; its labels are what it tells.
    Info,
}

/// What a metric is about, from which follow the labels that all its series carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One account: `provider`, `account` and the account's own labels.
    Account,
    /// One provider entry: `provider`.
    Provider,
    /// The exporter itself: none.
    Exporter,
}

/// When the series of a metric exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// As long as its account or provider is configured, from the first scrape on.
    Always,
    /// While the last good reading is not older than `stale_after` and has the figure.
    WhileFresh,
    /// From the first good reading on, and then for good.
    OnceRead,
    /// If what the text says is so.
    When(&'static str),
}

/// Writes the samples of one account.
#[derive(Clone, Copy, Debug)]
pub(super) enum AccountSamples {
    /// From nothing but its configuration.
    Configured(fn(&AccountConfig, &mut Series<'_>)),
    /// It sees no clock: what depends on one is decided in [`Shown`].
    Known(fn(&Shown<'_>, &mut Series<'_>)),
}

impl AccountSamples {
    pub(super) fn write(self, account: &Shown<'_>, series: &mut Series<'_>) {
        match self {
            Self::Configured(sample) => sample(&account.status.config, series),
            Self::Known(sample) => sample(account, series),
        }
    }
}

/// Where the samples of a metric come from.
#[derive(Debug)]
pub(super) enum Samples {
    Account(AccountSamples),
    Provider(fn(&ProviderStatus, &Now, &mut Series<'_>)),
    Exporter(fn(&mut Series<'_>)),
    /// Kept by [`Telemetry`](super::Telemetry) under the same name. With the subject.
    Telemetry(Subject),
}

impl Metric {
    /// What it is about.
    pub const fn subject(&self) -> Subject {
        match self.samples {
            Samples::Account(_) => Subject::Account,
            Samples::Provider(_) => Subject::Provider,
            Samples::Exporter(_) => Subject::Exporter,
            Samples::Telemetry(subject) => subject,
        }
    }

    /// The base unit that the name ends in, if it is one.
    pub fn unit(&self) -> Option<&'static str> {
        let family = self.family();
        UNITS.into_iter().find(|unit| family.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }

    /// The name without the suffix that tells the type, which is how `OpenMetrics` names the family.
    pub fn family(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// The declaration of the metric with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }
}

impl Kind {
    /// As the reference and `OpenMetrics` call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

impl Subject {
    /// The labels that every series about it has.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["provider", "account"],
            Self::Provider => &["provider"],
            Self::Exporter => &[],
        }
    }
}

/// The units that `OpenMetrics` wants declared. Money is not among them: the currency is a label.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn is_name(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    #[test]
    fn names_follow_the_conventions() {
        for metric in METRICS {
            let name = metric.name;
            assert!(is_name(name), "{name}");
            assert!(name.starts_with("balance_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), metric.kind == Kind::Info, "{name}");
            assert_eq!(name.starts_with("balance_provider_"), metric.subject() == Subject::Provider, "{name}");
            for reserved in ["_bucket", "_count", "_sum", "_created"] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            for unit in ["milliseconds", "minutes", "hours", "days", "ms", "percent", "kilobytes", "cents"] {
                assert!(!metric.family().ends_with(&format!("_{unit}")), "{name} is not in a base unit");
            }
            assert!(metric.kind != Kind::Info || metric.unit().is_none(), "{name}");
        }
    }

    #[test]
    fn each_is_declared_once() {
        let mut names = HashSet::new();
        let mut families = HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{}", metric.name);
            assert!(families.insert(metric.family()), "{}", metric.family());
        }
    }

    #[test]
    fn label_names_are_legal_and_distinct() {
        for metric in METRICS {
            let all = || metric.subject().labels().iter().chain(metric.labels);
            let distinct: HashSet<_> = all().collect();
            assert_eq!(distinct.len(), all().count(), "{}", metric.name);
            for label in all() {
                assert!(is_name(label) && !label.starts_with("__"), "{}: {label}", metric.name);
                assert!(!["le", "quantile"].contains(label), "{}: {label}", metric.name);
            }
        }
    }

    #[test]
    fn help_is_a_sentence_that_needs_no_escaping() {
        for metric in METRICS {
            let help = metric.help;
            assert!(help.ends_with('.') && !help.contains(['\\', '"', '\n']) && !help.contains("  "), "{help}");
        }
    }

    #[test]
    fn money_says_how_it_was_come_by_and_how_to_sum_it() {
        for metric in METRICS.iter().filter(|metric| metric.labels.contains(&"currency")) {
            assert!(metric.help.contains("currency"), "{}", metric.name);
            assert!(metric.labels.contains(&"wallet"), "{}", metric.name);
        }
        for metric in METRICS.iter().filter(|metric| metric.presence == Presence::WhileFresh) {
            assert!(metric.help.contains("Polled and cached"), "{}", metric.name);
            assert!(metric.help.contains("aggregate by (currency) only"), "{}", metric.name);
        }
    }

    #[test]
    fn units_are_what_the_names_end_in() {
        for (name, family, unit) in [
            ("balance_amount", "balance_amount", None),
            ("balance_stale_after_seconds", "balance_stale_after_seconds", Some("seconds")),
            ("process_cpu_seconds_total", "process_cpu_seconds", Some("seconds")),
            ("process_resident_memory_bytes", "process_resident_memory_bytes", Some("bytes")),
            ("balance_account_info", "balance_account", None),
            ("balance_polls_total", "balance_polls", None),
        ] {
            let metric = Metric::named(name).unwrap();
            assert_eq!((metric.family(), metric.unit()), (family, unit), "{name}");
        }
    }
}
