//! Writes families, in the grammar of either format: headers here, samples in their [`Series`].

use super::catalogue::{Kind, Metric};
use super::format::Format;
use super::series::{Labels, Series, put};

/// The family that is being written. Its header comes with its first sample: a family without samples is left out.
#[derive(Debug)]
pub(super) struct Family<'a> {
    out: &'a mut String,
    metric: &'static Metric,
    format: Format,
    begun: bool,
}

/// The lines before the samples of a metric.
pub(super) fn header(out: &mut String, metric: &Metric, format: Format) {
    let Metric { name, help, kind, .. } = metric;
    match format {
        Format::Text => {
            let kind = match kind {
                Kind::Info => Kind::Gauge,
                Kind::Gauge | Kind::Counter | Kind::Histogram => *kind,
            };
            put(out, format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str()));
        }
        Format::OpenMetrics(_) => {
            let family = metric.family();
            put(out, format_args!("# TYPE {family} {}\n", kind.as_str()));
            if let Some(unit) = metric.unit() {
                put(out, format_args!("# UNIT {family} {unit}\n"));
            }
            put(out, format_args!("# HELP {family} {help}\n"));
        }
    }
}

impl<'a> Family<'a> {
    pub(super) const fn new(out: &'a mut String, metric: &'static Metric, format: Format) -> Self {
        Self { out, metric, format, begun: false }
    }

    /// Lets `fill` write the series that carry the labels `base`.
    pub(super) fn series(&mut self, base: &Labels, fill: impl FnOnce(&mut Series<'_>)) {
        let before = self.out.len();
        if !self.begun {
            header(self.out, self.metric, self.format);
        }
        let after_header = self.out.len();
        fill(&mut Series::new(self.out, self.metric.name, base));
        if self.out.len() > after_header {
            self.begun = true;
        } else {
            self.out.truncate(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::checker;

    fn labelled(format: Format, value: &str) -> String {
        let mut text = String::new();
        let base = [("provider", "p"), ("account", value)].into_iter().collect();
        let metric = Metric::named("balance_amount").unwrap();
        let mut family = Family::new(&mut text, metric, format);
        family.series(&base, |series| series.put(&[("wallet", "main"), ("currency", value)], 1));
        if format.is_open_metrics() { text + "# EOF\n" } else { text }
    }

    proptest! {
        /// The checker has an unescaper of its own.
        #[test]
        fn any_label_value_comes_back(value in "([\\\\\"\n]|\\PC){0,24}", open in any::<bool>()) {
            let format = if open { Format::OpenMetrics(super::super::Escaping::Underscores) } else { Format::Text };
            let text = labelled(format, &value);
            let read = checker::read(&text, format).map_err(TestCaseError::fail)?;
            prop_assert_eq!(read.families[0].samples[0].label("currency"), Some(value.as_str()));
            prop_assert_eq!(read.families[0].samples[0].label("account"), Some(value.as_str()));
        }
    }

    #[test]
    fn a_family_without_samples_leaves_no_trace() {
        let mut text = String::new();
        let metric = Metric::named("balance_amount").unwrap();
        let mut family = Family::new(&mut text, metric, Format::Text);
        family.series(&Labels::default(), |_| {});
        family.series(&Labels::default(), |series| series.put(&[], 5));
        family.series(&Labels::default(), |_| {});
        assert_eq!(text.matches("# TYPE").count(), 1);
        assert!(text.ends_with("gauge\nbalance_amount 5\n"), "{text}");
    }
}
