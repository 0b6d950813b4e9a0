//! Times, lengths of time and numbers as people read them, and texts that are safe to show.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use jiff::Timestamp;

/// Text as HTML shows it, in elements and in quoted attributes.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A decimal number with its thousands apart. Its digits stay as they are.
pub(super) struct Grouped<'a>(pub(super) &'a str);

impl Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (integer, fraction) = self.0.split_at(self.0.find('.').unwrap_or(self.0.len()));
        let (sign, digits) = integer.strip_prefix('-').map_or(("", integer), |digits| ("\u{2212}", digits));
        f.write_str(sign)?;
        for (place, digit) in digits.char_indices() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        f.write_str(fraction)
    }
}

/// So many of something.
pub(super) struct Count(pub(super) usize, pub(super) &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, what) = self;
        write!(f, "{} {what}{}", Grouped(&number.to_string()), if *number == 1 { "" } else { "s" })
    }
}

/// How long ago it was.
pub(super) struct Ago(pub(super) Duration);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) { f.write_str("just now") } else { write!(f, "{} ago", Length(self.0)) }
    }
}

/// A length of time in words, to about a twentieth: nobody reads the seconds of a day.
pub(super) struct Length(pub(super) Duration);

const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];

impl Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let Some(largest) = UNITS.iter().position(|(length, _)| seconds >= *length) else {
            return f.write_str(if self.0.is_zero() { "no time" } else { "less than a second" });
        };
        let (length, unit) = UNITS[largest];
        let number = seconds / length;
        write!(f, "{}", Count(usize::try_from(number).unwrap_or(usize::MAX), unit))?;
        if let Some((smaller, unit)) = UNITS.get(largest + 1).filter(|_| number < 10) {
            let rest = seconds % length / smaller;
            if rest > 0 {
                write!(f, " {}", Count(usize::try_from(rest).unwrap_or(usize::MAX), unit))?;
            }
        }
        Ok(())
    }
}

/// A span of a limit: `second`, `minute`, `30 seconds`.
pub(super) struct Per(pub(super) Duration);

impl Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(length, _)| self.0 == Duration::from_secs(*length)) {
            Some((_, unit)) => f.write_str(unit),
            None if self.0.subsec_nanos() == 0 => Length(self.0).fmt(f),
            None => write!(f, "{} seconds", self.0.as_secs_f64()),
        }
    }
}

/// A moment for machines and people: the words, and the time itself for who points at it.
pub(super) struct Moment<W>(pub(super) Timestamp, pub(super) W);

impl<W: Display> Display for Moment<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, words) = self;
        write!(f, "<time datetime=\"{at:.0}\" title=\"{}\">{words}</time>", Clock(*at))
    }
}

/// A day and time, to the second.
pub(super) struct Clock(pub(super) Timestamp);

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.0}", self.0);
        let (day, time) = text.split_once('T').unwrap_or((&text, ""));
        write!(f, "{day} {} UTC", time.trim_end_matches('Z'))
    }
}

/// A time of day, to the second. The day is today's, or told beside it.
pub(super) struct TimeOfDay(pub(super) Timestamp);

impl Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Clock(self.0).to_string();
        f.write_str(text.split_once(' ').map_or(&*text, |(_, time)| time))
    }
}

/// From one to the other; nothing if it is the other way round.
pub(super) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_and_not_obeyed() {
        assert_eq!(Text("a<b>&\"c\"'").to_string(), "a&lt;b&gt;&amp;&quot;c&quot;&#39;");
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.8900", "\u{2212}1,234,567.8900"),
            ("100000", "100,000"),
            ("0.12345678", "0.12345678"),
            ("-12", "\u{2212}12"),
        ] {
            assert_eq!(Grouped(number).to_string(), shown);
        }
    }

    #[test]
    fn lengths_of_time_are_words() {
        for (millis, words) in [
            (0, "no time"),
            (900, "less than a second"),
            (1_000, "1 second"),
            (59_999, "59 seconds"),
            (60_000, "1 minute"),
            (125_000, "2 minutes 5 seconds"),
            (754_000, "12 minutes"),
            (3_660_000, "1 hour 1 minute"),
            (86_400_000, "1 day"),
            (90_061_000, "1 day 1 hour"),
            (864_000_000 + 3_600_000, "10 days"),
        ] {
            assert_eq!(Length(Duration::from_millis(millis)).to_string(), words);
        }
        assert_eq!(Ago(Duration::from_millis(999)).to_string(), "just now");
        assert_eq!(Ago(Duration::from_secs(2)).to_string(), "2 seconds ago");
    }

    #[test]
    fn a_limit_is_per_something() {
        for (millis, words) in
            [(1_000, "second"), (60_000, "minute"), (86_400_000, "day"), (30_000, "30 seconds"), (1_500, "1.5 seconds")]
        {
            assert_eq!(Per(Duration::from_millis(millis)).to_string(), words);
        }
    }

    #[test]
    fn moments_are_for_machines_too() {
        let at = Timestamp::from_millisecond(1_700_000_000_500).unwrap();
        assert_eq!(
            Moment(at, "soon").to_string(),
            "<time datetime=\"2023-11-14T22:13:20Z\" title=\"2023-11-14 22:13:20 UTC\">soon</time>"
        );
    }
}
