//! Numbers of the configuration, exact: amounts, and the factor by which they may change.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::money::Amount;

/// A number of the configuration, exact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) Amount);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Exact;

        fn exactly<E: Error>(text: &str) -> Result<Number, E> {
            Amount::parse(text)
                .map(Number)
                .map_err(|refused| E::custom(format_args!("expected an amount: this is {refused}")))
        }

        impl Visitor<'_> for Exact {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount such as 50000 or \"0.25\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                exactly(text)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                exactly(&number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                exactly(&number.to_string())
            }

            // up to 15 digits the shortest text that gives the same double is the text that was written
            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                let text = number.to_string();
                let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
                if digits > 15 {
                    return Err(E::custom("expected an amount that a YAML number holds exactly: put it in quotes"));
                }
                exactly(&text)
            }
        }

        deserializer.deserialize_any(Exact)
    }
}

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount in major units.",
            "oneOf": [
                { "type": "number" },
                { "type": "string", "pattern": "^-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,8})?$" },
            ],
        })
    }
}

/// How many times more, or less, something may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor(Amount);

impl Factor {
    /// More than 1, at most 1000000.
    pub(super) const fn get(self) -> Amount {
        self.0
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [one, most] = [1, 1_000_000].map(Amount::from);
        let sound = |number: &Number| number.0 > one && number.0 <= most;
        let factor = Number::deserialize(deserializer).ok().filter(sound);
        factor
            .map(|number| Self(number.0))
            .ok_or_else(|| D::Error::custom("expected a factor such as 10 or 2.5: above 1, at most 1000000"))
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Factor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A factor above 1, at most 1000000.",
            "oneOf": [
                { "type": "number", "exclusiveMinimum": 1, "maximum": 1_000_000 },
                { "type": "string", "pattern": "^[1-9][0-9]{0,6}(\\.[0-9]{1,8})?$" },
            ],
        })
    }
}
