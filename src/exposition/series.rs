//! The samples of one subject within a family: a name, labels and a number on each line.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use jiff::Timestamp;

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

impl<'a> Series<'a> {
    /// Samples are appended to `out`.
    pub(super) const fn new(out: &'a mut String, name: &'static str, base: &'a Labels) -> Self {
        Self { out, name, base }
    }

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

pub(super) fn put(out: &mut String, text: fmt::Arguments<'_>) {
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
