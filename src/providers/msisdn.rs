//! A subscriber's number: personal data, which nothing here prints.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::document::Problem;

/// A subscriber's number as configured. It has a `Debug` only because configuration must, and that is mute.
#[derive(Clone)]
pub(super) struct Number(String);

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number")
    }
}

impl<'de> Deserialize<'de> for Number {
    /// Takes digits without quotes, too, which YAML reads as an integer.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a subscriber's number")]
        enum Written {
            Text(String),
            Digits(u64),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self(text),
            Written::Digits(digits) => Self(digits.to_string()),
        })
    }
}

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// A subscriber, by the segment that names it in the path.
#[derive(Clone)]
pub(super) enum Subscriber {
    /// Digits. The reply must name the same.
    Plain(String),
    /// Percent-encoded ciphertext. The reply names the number behind it, which is not known here.
    Encrypted(String),
}

impl Subscriber {
    /// Exactly one of the keys `msisdn` and `encrypted_msisdn`.
    pub(super) fn of(msisdn: Option<&Number>, encrypted_msisdn: Option<&Number>) -> Result<Self, Problem> {
        match (msisdn, encrypted_msisdn) {
            (Some(number), None) => Self::plain(number)
                .ok_or_else(|| Problem::at("msisdn", "expected 8 to 15 digits with the country code first")),
            (None, Some(segment)) => Self::encrypted(segment)
                .ok_or_else(|| Problem::at("encrypted_msisdn", "expected one percent-encoded segment of a path")),
            (Some(_), Some(_)) => Err(Problem::at("encrypted_msisdn", "give this or `msisdn`, not both")),
            (None, None) => Err(Problem::at("msisdn", "give this or `encrypted_msisdn`")),
        }
    }

    /// A number with its country code, with or without `tel:` and `+`: 8 to 15 digits.
    fn plain(number: &Number) -> Option<Self> {
        let digits = bare(&number.0);
        let numeric = digits.bytes().all(|byte| byte.is_ascii_digit()) && (8..=15).contains(&digits.len());
        numeric.then(|| Self::Plain(digits.to_owned()))
    }

    /// A segment that is percent-encoded already and goes out as it is.
    fn encrypted(segment: &Number) -> Option<Self> {
        is_path_segment(&segment.0).then(|| Self::Encrypted(segment.0.clone()))
    }

    /// How it stands in the path.
    pub(super) fn segment(&self) -> &str {
        match self {
            Self::Plain(segment) | Self::Encrypted(segment) => segment,
        }
    }
}

/// A number without what may stand before its digits.
pub(super) fn bare(number: &str) -> &str {
    let number = number.strip_prefix("tel:").unwrap_or(number);
    number.strip_prefix('+').unwrap_or(number)
}

/// One segment of a path, RFC 3986 section 3.3, that is neither empty nor a step up or in place.
pub(super) fn is_path_segment(text: &str) -> bool {
    let bytes = text.as_bytes();
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"%._~!$&'()*+,;=:@-".contains(byte);
    let encoded = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    // percent-encoding does not hide a step from those who normalise paths
    !matches!(text.to_ascii_lowercase().replace("%2e", ".").as_str(), "" | "." | "..")
        && bytes.iter().all(legal)
        && bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || encoded(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number(text.to_owned())
    }

    #[test]
    fn numbers_are_digits_behind_their_prefix() {
        for (text, digits) in [
            ("94770000000", Some("94770000000")),
            ("+94770000000", Some("94770000000")),
            ("tel:94770000000", Some("94770000000")),
            ("tel:+94770000000", Some("94770000000")),
            ("12345678", Some("12345678")),
            ("123456789012345", Some("123456789012345")),
            ("1234567", None),
            ("1234567890123456", None),
            ("++94770000000", None),
            ("+tel:94770000000", None),
            ("tel:tel:94770000000", None),
            ("94 770 000 000", None),
            ("94770000000\n", None),
            ("\u{0669}4770000000", None),
            ("", None),
        ] {
            assert_eq!(Subscriber::plain(&number(text)).as_ref().map(Subscriber::segment), digits, "{text:?}");
        }
    }

    #[test]
    fn segments_stay_within_their_place_in_the_path() {
        for text in ["etel%3A9477-vl%251D", "etel:9477-vl%251D", "a~!$&'()*+,;=:@-._", "...", "%2e%2e%2e"] {
            assert!(is_path_segment(text), "{text:?}");
        }
        for text in
            ["", ".", "..", "%2e", ".%2E", "%2E%2e", "a/b", "a?b", "a#b", "a%", "a%1", "a%1g", "a b", "a\r\n", "\u{e9}"]
        {
            assert!(!is_path_segment(text), "{text:?}");
        }
    }

    #[test]
    fn there_is_exactly_one() {
        let read = |yaml: &str| serde_yaml::from_str::<Number>(yaml).unwrap();
        let (plain, encrypted, wrong) = (read("94770000000"), read("'etel%3A9477-x'"), read("'94/77'"));
        for (msisdn, encrypted_msisdn, expected) in [
            (Some(&plain), None, Ok("94770000000")),
            (None, Some(&encrypted), Ok("etel%3A9477-x")),
            (Some(&wrong), None, Err("msisdn")),
            (None, Some(&wrong), Err("encrypted_msisdn")),
            (Some(&plain), Some(&encrypted), Err("encrypted_msisdn")),
            (None, None, Err("msisdn")),
        ] {
            let subscriber = Subscriber::of(msisdn, encrypted_msisdn).map_err(|problem| problem.path.to_string());
            assert_eq!(subscriber.as_ref().map(Subscriber::segment).map_err(String::as_str), expected);
        }
    }

    #[test]
    fn what_is_no_number_is_refused_without_showing_it() {
        for yaml in ["[94770000000]", "{ a: 94770000000 }", "~", "true", "94770000000.5", "-94770000000"] {
            let error = serde_yaml::from_str::<Number>(yaml).unwrap_err().to_string();
            assert!(!error.contains("9477"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_segment_leaves_the_rest_of_the_path_alone(text in "([a-c%2e./?#:@]|%2e|%2f|%41){0,8}") {
            if is_path_segment(&text) {
                let url: url::Url = format!("https://host.example/v3/{text}/balance").parse().unwrap();
                prop_assert_eq!(url.path(), format!("/v3/{text}/balance"));
            }
        }

        #[test]
        fn debug_shows_no_digit(digits in "[0-9]{8,15}") {
            prop_assert_eq!(format!("{:?}", number(&digits)), "Number");
        }
    }
}
