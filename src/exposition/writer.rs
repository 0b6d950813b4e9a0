//! Writes families, in the grammar of either format: headers here, samples in their [`Series`].

use super::catalogue::{Kind, Metric};
use super::format::Format;
use super::series::{Labels, Series, put};

/// A text in the making.
#[derive(Debug)]
pub(super) struct Writer {
    out: String,
    format: Format,
}

/// The family that is being written. Its header comes with its first sample: a family without samples is left out.
#[derive(Debug)]
pub(super) struct Family<'a> {
    writer: &'a mut Writer,
    metric: &'static Metric,
    begun: bool,
}

impl Writer {
    pub(super) const fn new(format: Format, buffer: String) -> Self {
        Self { out: buffer, format }
    }

    pub(super) const fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        Family { writer: self, metric, begun: false }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format.is_open_metrics() {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn header(&mut self, metric: &Metric) {
        let Metric { name, help, kind, .. } = metric;
        let out = &mut self.out;
        match self.format {
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
}

impl Family<'_> {
    /// Lets `fill` write the series that carry the labels `base`.
    pub(super) fn series(&mut self, base: &Labels, fill: impl FnOnce(&mut Series<'_>)) {
        let before = self.writer.out.len();
        if !self.begun {
            self.writer.header(self.metric);
        }
        let after_header = self.writer.out.len();
        fill(&mut Series::new(&mut self.writer.out, self.metric.name, base));
        if self.writer.out.len() > after_header {
            self.begun = true;
        } else {
            self.writer.out.truncate(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::checker;

    fn labelled(format: Format, value: &str) -> String {
        let mut writer = Writer::new(format, String::new());
        let mut base = Labels::default();
        base.push("provider", "p");
        base.push("account", value);
        let metric = Metric::named("balance_amount").unwrap();
        writer.family(metric).series(&base, |series| series.put(&[("wallet", "main"), ("currency", value)], "1"));
        writer.finish()
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
        let mut writer = Writer::new(Format::Text, String::new());
        let metric = Metric::named("balance_amount").unwrap();
        let mut family = writer.family(metric);
        family.series(&Labels::default(), |_| {});
        family.series(&Labels::default(), |series| series.put(&[], 5));
        family.series(&Labels::default(), |_| {});
        let text = writer.finish();
        assert_eq!(text.matches("# TYPE").count(), 1);
        assert!(text.ends_with("gauge\nbalance_amount 5\n"), "{text}");
    }
}
