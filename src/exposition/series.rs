//! The samples of one subject within a family: a name, labels and a number on each line.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use jiff::Timestamp;

use super::gist::Gist;
use crate::money::Amount;

/// The series of one subject within a family.
#[derive(Debug)]
pub(super) struct Series<'a>(Sink<'a>);

#[derive(Debug)]
enum Sink<'a> {
    /// Lines for Prometheus.
    Text { out: &'a mut String, name: &'static str, base: &'a Labels },
    /// Only what tells these lines from others of the same name and subject.
    Gist(&'a mut Gist),
}

/// Labels as they stand between the braces, escaped. They are written once and used for many samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(Box<str>);

/// A number as it stands at the end of a line. Those that stand there by the thousand are written without the
/// machinery of `fmt`, which would cost more than all else.
pub(super) trait Value {
    fn put(self, out: &mut String);
    /// Notes what decides over the digits.
    fn note(self, gist: &mut Gist);
}

impl<'a> Series<'a> {
    /// Samples are appended to `out`.
    pub(super) const fn new(out: &'a mut String, name: &'static str, base: &'a Labels) -> Self {
        Self(Sink::Text { out, name, base })
    }

    /// What samples would say is appended to `gist`.
    pub(super) const fn gist(gist: &'a mut Gist) -> Self {
        Self(Sink::Gist(gist))
    }

    /// One sample; `more` are its labels beside those of its subject.
    pub(super) fn put(&mut self, more: &[(&str, &str)], value: impl Value) {
        self.put_as("", more, value);
    }

    /// The same under the family's name with a suffix, as histograms have them.
    pub(super) fn put_as(&mut self, suffix: &str, more: &[(&str, &str)], value: impl Value) {
        self.line(suffix, more.iter().copied(), push_escaped, Gist::label, value);
    }

    /// The same with labels that come one by one.
    pub(super) fn put_all<'b>(&mut self, more: impl Iterator<Item = (&'b str, &'b str)>, value: impl Value) {
        self.line("", more, push_escaped, Gist::label, value);
    }

    /// The same with labels out of a closed set, none of which needs escaping.
    pub(super) fn put_plain(&mut self, more: &[(&'static str, &'static str)], value: impl Value) {
        debug_assert!(!more.iter().any(|(_, text)| text.bytes().any(is_special)), "{more:?}");
        self.line("", more.iter().copied(), String::push_str, Gist::word, value);
    }

    fn line<'b>(
        &mut self,
        suffix: &str,
        more: impl Iterator<Item = (&'b str, &'b str)>,
        push: fn(&mut String, &str),
        note: fn(&mut Gist, &'b str, &'b str),
        value: impl Value,
    ) {
        match &mut self.0 {
            Sink::Text { out, name, base } => {
                out.push_str(name);
                out.push_str(suffix);
                let mut opened = !base.0.is_empty();
                if opened {
                    out.push('{');
                    out.push_str(&base.0);
                }
                for (label, text) in more {
                    out.push(if opened { ',' } else { '{' });
                    opened = true;
                    push_label(out, label, text, push);
                }
                out.push_str(if opened { "} " } else { " " });
                value.put(out);
                out.push('\n');
            }
            Sink::Gist(gist) => {
                gist.sample(suffix);
                for (label, text) in more {
                    note(gist, label, text);
                }
                value.note(gist);
            }
        }
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(labels: T) -> Self {
        let mut text = String::new();
        for (label, value) in labels {
            if !text.is_empty() {
                text.push(',');
            }
            push_label(&mut text, label, value, push_escaped);
        }
        Self(text.into())
    }
}

#[inline]
fn push_label(out: &mut String, label: &str, text: &str, push: fn(&mut String, &str)) {
    out.push_str(label);
    out.push_str("=\"");
    push(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    // most values need no escaping, and are copied whole
    if !text.bytes().any(is_special) {
        out.push_str(text);
        return;
    }
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ => out.push(char),
        }
    }
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'"' | b'\n')
}

pub(super) fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // writing into a `String` cannot fail
    let _ = out.write_fmt(text);
}

macro_rules! whole_number {
    ($($type:ty)*) => {$(
        impl Value for $type {
            fn put(self, out: &mut String) {
                out.push_str(itoa::Buffer::new().format(self));
            }

            fn note(self, gist: &mut Gist) {
                gist.number(self.into());
            }
        }
    )*};
}

whole_number!(u8 u32 u64 i32 i64);

impl Value for Amount {
    fn put(self, out: &mut String) {
        // writing into a `String` cannot fail
        let _ = self.write_to(out);
    }

    fn note(self, gist: &mut Gist) {
        let (digits, decimals) = self.digits();
        gist.number(digits);
        gist.number(decimals.into());
    }
}

/// A length or a point of time as a number of seconds, in the fewest digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds {
    is_negative: bool,
    whole: u64,
    nanos: u32,
}

impl From<Duration> for Seconds {
    fn from(span: Duration) -> Self {
        Self { is_negative: false, whole: span.as_secs(), nanos: span.subsec_nanos() }
    }
}

impl From<Timestamp> for Seconds {
    /// Since 1970, to the millisecond: a double has no room for much more.
    fn from(at: Timestamp) -> Self {
        let millis = at.as_millisecond();
        Self { is_negative: millis < 0, ..Duration::from_millis(millis.unsigned_abs()).into() }
    }
}

impl Value for Seconds {
    fn put(self, out: &mut String) {
        if self.is_negative {
            out.push('-');
        }
        self.whole.put(out);
        if self.nanos == 0 {
            return;
        }
        let (mut fraction, mut width) = (self.nanos, 9);
        while fraction % 1000 == 0 {
            (fraction, width) = (fraction / 1000, width - 3);
        }
        while fraction % 10 == 0 {
            (fraction, width) = (fraction / 10, width - 1);
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(fraction);
        out.push('.');
        out.push_str(&"000000000"[..width - digits.len()]);
        out.push_str(digits);
    }

    fn note(self, gist: &mut Gist) {
        let nanos = i128::from(self.whole) * 1_000_000_000 + i128::from(self.nanos);
        gist.number(if self.is_negative { -nanos } else { nanos });
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

impl Value for Float {
    fn put(self, out: &mut String) {
        put(out, format_args!("{self}"));
    }

    fn note(self, gist: &mut Gist) {
        gist.number(self.0.to_bits().into());
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

    fn written(value: impl Value) -> String {
        let mut out = String::new();
        value.put(&mut out);
        out
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
            push_label(&mut out, "x", value, push_escaped);
            assert_eq!(out, format!("x=\"{escaped}\""));
        }
    }

    proptest! {
        #[test]
        fn seconds_are_exact(nanos in any::<u64>()) {
            let text = written(Seconds::from(Duration::from_nanos(nanos)));
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert!(!fraction.ends_with('0'));
            let back: u64 = format!("{whole}{fraction:0<9}").parse().unwrap();
            prop_assert_eq!(back, nanos);
        }
    }

    #[test]
    fn numbers_are_plain() {
        for (shown, expected) in [
            (written(Seconds::from(Duration::ZERO)), "0"),
            (written(Seconds::from(Duration::from_secs(60))), "60"),
            (written(Seconds::from(Duration::from_millis(1_050))), "1.05"),
            (written(Seconds::from(Duration::from_nanos(1))), "0.000000001"),
            (written(Seconds::from(Timestamp::from_millisecond(1_700_000_000_120).unwrap())), "1700000000.12"),
            (written(Seconds::from(Timestamp::from_millisecond(-1_500).unwrap())), "-1.5"),
            (written(Float(0.25)), "0.25"),
            (written(7_u8), "7"),
            (written(u64::MAX), "18446744073709551615"),
            (written(-3_i64), "-3"),
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
