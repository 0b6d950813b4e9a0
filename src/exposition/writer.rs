//! Writes families and samples, in the grammar of either format.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use jiff::Timestamp;

use super::catalogue::{Kind, Metric};
use super::format::Format;

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

/// The series of one subject within a family.
#[derive(Debug)]
pub(super) struct Series<'a> {
    out: &'a mut String,
    name: &'static str,
    base: &'a Labels,
}

/// Labels as they stand between the braces, escaped. They are written once and used for many samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(String);

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
        fill(&mut Series { out: &mut self.writer.out, name: self.metric.name, base });
        if self.writer.out.len() > after_header {
            self.begun = true;
        } else {
            self.writer.out.truncate(before);
        }
    }
}

impl Series<'_> {
    /// One sample; `more` are its labels beside those of its subject.
    pub(super) fn put(&mut self, more: &[(&str, &str)], value: impl Display) {
        self.put_as("", more, value);
    }

    /// The same under the family's name with a suffix, as histograms have them.
    pub(super) fn put_as(&mut self, suffix: &str, more: &[(&str, &str)], value: impl Display) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut opened = !self.base.0.is_empty();
        if opened {
            self.out.push('{');
            self.out.push_str(&self.base.0);
        }
        for (label, text) in more {
            self.out.push(if opened { ',' } else { '{' });
            opened = true;
            push_label(self.out, label, text);
        }
        if opened {
            self.out.push('}');
        }
        put(self.out, format_args!(" {value}\n"));
    }
}

impl Labels {
    pub(super) fn push(&mut self, label: &str, text: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        push_label(&mut self.0, label, text);
    }
}

fn push_label(out: &mut String, label: &str, text: &str) {
    out.push_str(label);
    out.push_str("=\"");
    let mut rest = text;
    // most values need no escaping, and are copied whole
    while let Some(position) = rest.find(['\\', '"', '\n']) {
        let (plain, special) = rest.split_at(position);
        out.push_str(plain);
        out.push_str(match special.as_bytes()[0] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &special[1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // writing into a `String` cannot fail
    let _ = out.write_fmt(text);
}

/// A length or a point of time as a number of seconds, in the fewest digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds {
    nanos: i128,
}

impl From<Duration> for Seconds {
    fn from(span: Duration) -> Self {
        Self { nanos: i128::try_from(span.as_nanos()).unwrap_or(i128::MAX) }
    }
}

impl From<Timestamp> for Seconds {
    /// Since 1970, to the millisecond: a double has no room for much more.
    fn from(at: Timestamp) -> Self {
        Self { nanos: i128::from(at.as_millisecond()) * 1_000_000 }
    }
}

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NANOS: u128 = 1_000_000_000;
        let sign = if self.nanos < 0 { "-" } else { "" };
        let magnitude = self.nanos.unsigned_abs();
        write!(f, "{sign}{}", magnitude / NANOS)?;
        let (mut fraction, mut width) = (magnitude % NANOS, 9);
        if fraction == 0 {
            return Ok(());
        }
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write!(f, ".{fraction:0width$}")
    }
}

/// A double as both formats read it, shortest digits first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Float(pub(super) f64);

impl Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            f.write_str("NaN")
        } else if self.0.is_infinite() {
            f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// The bound of a bucket. `1` is written `1.0` in both formats: `OpenMetrics` wants it so, and a series must not
/// change its name with the format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound(pub(super) f64);

impl Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_finite() { write!(f, "{:?}", self.0) } else { Float(self.0).fmt(f) }
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

    #[test]
    fn label_values_are_escaped() {
        for (value, escaped) in [
            ("plain", "plain"),
            ("", ""),
            ("say \"hi\"", "say \\\"hi\\\""),
            ("back\\slash", "back\\\\slash"),
            ("\\n", "\\\\n"),
            ("two\nlines", "two\\nlines"),
            ("\\\"\n", "\\\\\\\"\\n"),
            ("درهم ₹ 💶", "درهم ₹ 💶"),
            ("a,b=\"c\"}", "a,b=\\\"c\\\"}"),
        ] {
            let mut out = String::new();
            push_label(&mut out, "x", value);
            assert_eq!(out, format!("x=\"{escaped}\""));
        }
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

        #[test]
        fn seconds_are_exact(nanos in any::<u64>()) {
            let text = Seconds::from(Duration::from_nanos(nanos)).to_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert!(!fraction.ends_with('0'));
            let back: u64 = format!("{whole}{fraction:0<9}").parse().unwrap();
            prop_assert_eq!(back, nanos);
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

    #[test]
    fn numbers_are_plain() {
        for (shown, expected) in [
            (Seconds::from(Duration::ZERO).to_string(), "0"),
            (Seconds::from(Duration::from_secs(60)).to_string(), "60"),
            (Seconds::from(Duration::from_millis(1_050)).to_string(), "1.05"),
            (Seconds::from(Duration::from_nanos(1)).to_string(), "0.000000001"),
            (Seconds::from(Timestamp::from_millisecond(1_700_000_000_120).unwrap()).to_string(), "1700000000.12"),
            (Seconds::from(Timestamp::from_millisecond(-1_500).unwrap()).to_string(), "-1.5"),
            (Float(0.25).to_string(), "0.25"),
            (Float(3.0).to_string(), "3"),
            (Float(f64::INFINITY).to_string(), "+Inf"),
            (Float(f64::NAN).to_string(), "NaN"),
            (Bound(1.0).to_string(), "1.0"),
            (Bound(0.005).to_string(), "0.005"),
            (Bound(f64::INFINITY).to_string(), "+Inf"),
        ] {
            assert_eq!(shown, expected);
        }
    }
}
