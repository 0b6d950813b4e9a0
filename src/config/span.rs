//! A length of time as people write it: `30s`, `5m`, `1h 30m`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, Visitor};

/// A duration that is more than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(Duration);

impl Span {
    /// `None` for nothing at all.
    pub(super) const fn new(duration: Duration) -> Option<Self> {
        if duration.is_zero() { None } else { Some(Self(duration)) }
    }

    /// How long.
    pub(super) const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

const WANTED: &str = "a duration such as 30s or 5m, with its unit";

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WANTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        // in this notation `M` is a month, which nobody means who polls a balance
        let mut units = text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty());
        if units.any(|unit| unit == "M" || unit.starts_with("month") || unit.starts_with('y')) {
            return Err(E::custom(
                "expected a duration in s, m, h or d: minutes are `m`; months and years have no length",
            ));
        }
        let digits: StrDeserializer<'_, E> = text.into_deserializer();
        let duration: Duration =
            humantime_serde::deserialize(digits).map_err(|_| E::custom(format_args!("expected {WANTED}")))?;
        Span::new(duration).ok_or_else(|| E::custom("expected a duration of more than zero"))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "duration",
            "description": "A duration with its unit, such as 30s, 5m or 1h 30m.",
            "type": "string",
            "pattern": "^([0-9]+(\\.[0-9]+)? ?(ms|s|sec|m|min|h|hr|d) ?)+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Span, String> {
        Written.visit_str::<serde::de::value::Error>(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_people_write() {
        for (text, seconds, canonical) in [
            ("30s", 30, "30s"),
            ("5m", 300, "5m"),
            ("300s", 300, "5m"),
            ("1h 30m", 5400, "1h 30m"),
            ("2d", 172_800, "2days"),
        ] {
            let span = read(text).unwrap();
            assert_eq!((span.get().as_secs(), span.to_string().as_str()), (seconds, canonical));
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        for (text, why) in [
            ("0s", "more than zero"),
            ("0m 0s", "more than zero"),
            ("60", "with its unit"),
            ("", "with its unit"),
            ("-5s", "with its unit"),
            ("5 minuts", "with its unit"),
            ("1M", "minutes are `m`"),
            ("2 months", "minutes are `m`"),
            ("1y", "minutes are `m`"),
            ("1year", "minutes are `m`"),
            ("99999999999999999999d", "with its unit"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back(seconds in 1_u64..100_000_000) {
            let canonical = Span::new(Duration::from_secs(seconds % 2_000_000 + 1)).unwrap();
            prop_assert_eq!(read(&canonical.to_string()), Ok(canonical));
        }

        #[test]
        fn never_panics_and_never_quotes(text in "[xqz]{4,9}[0-9]{0,3}") {
            prop_assert!(!read(&text).unwrap_err().contains(&text));
        }
    }
}
