//! Amounts as the provider wrote them: exact digits, a currency, and no float anywhere.
//!
//! `Amount` prints the same decimal digits it was read from, and that text is what goes to
//! Prometheus; the nearest double is chosen there, once, by the reader.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU8;

use serde::{Deserialize, Deserializer, de};

/// Most digits before the decimal point: below 10^15 a double still resolves a tenth.
const MOST_INTEGER_DIGITS: usize = 15;
/// The first integer with more digits than that.
const INTEGERS: u128 = 10_u128.pow(15);
/// Most digits after the decimal point.
const MOST_DECIMALS: usize = 8;
/// Most digits of a sum: what fits an `i128`.
const MOST_DIGITS: usize = 38;

/// A decimal number, exact: `digits / 10^decimals`.
///
/// Two amounts are equal if their values are: `0.10 == 0.1`.
///
/// A fleet has ten of them for each account, and as many that are not there. So it is 24 bytes, which an `i128` alone
/// would round up to 32, and an `Option` of it is no more.
#[derive(Clone, Copy)]
#[repr(Rust, packed(8))]
pub struct Amount {
    digits: i128,
    /// One more than the decimals.
    point: NonZeroU8,
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAmount;

impl fmt::Display for NotAnAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a plain decimal number of at most {MOST_INTEGER_DIGITS} integer digits and {MOST_DECIMALS} decimals"
        )
    }
}

impl std::error::Error for NotAnAmount {}

impl Amount {
    /// Nothing, exactly.
    pub const ZERO: Self = Self::of(0, 0);

    const fn of(digits: i128, decimals: u8) -> Self {
        assert!(decimals < u8::MAX, "an amount has fewer decimals");
        Self { digits, point: NonZeroU8::MIN.saturating_add(decimals) }
    }

    const fn decimals(self) -> u8 {
        self.point.get() - 1
    }

    /// Reads what [`Display`](fmt::Display) wrote, which may be a sum, with more digits than a provider may send.
    pub fn recalled(text: &str) -> Result<Self, NotAnAmount> {
        Self::read(text, MOST_DIGITS, MOST_DIGITS)
    }

    /// Reads `-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?` and nothing else: no exponent, no plus sign, no
    /// thousands separator, no `NaN`. `-0` is zero.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        Self::read(text, MOST_INTEGER_DIGITS, MOST_DECIMALS)
    }

    fn read(text: &str, most_integer_digits: usize, most_decimals: usize) -> Result<Self, NotAnAmount> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = match rest.split_once('.') {
            Some((_, "")) => return Err(NotAnAmount),
            Some(parts) => parts,
            None => (rest, ""),
        };
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = integer.len() > 1 && integer.starts_with('0');
        if integer.is_empty()
            || integer.len() > most_integer_digits
            || fraction.len() > most_decimals
            || integer.len() + fraction.len() > MOST_DIGITS
            || leading_zero
            || !plain(integer)
            || !plain(fraction)
        {
            return Err(NotAnAmount);
        }
        let magnitude =
            integer.bytes().chain(fraction.bytes()).fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let decimals = u8::try_from(fraction.len()).map_err(|_| NotAnAmount)?;
        Ok(Self::of(if negative { -magnitude } else { magnitude }, decimals))
    }

    /// The same digits with the decimal point moved `places` to the left: how minor units become
    /// major ones.
    #[must_use]
    pub fn shifted(self, places: u8) -> Self {
        Self::of(self.digits, self.decimals() + places)
    }

    /// Whether it has no more integer digits than a double resolves a tenth of. A sum can have more.
    pub fn is_resolved(self) -> bool {
        let unit = 10_u128.checked_pow(u32::from(self.decimals()));
        unit.is_some_and(|unit| self.digits.unsigned_abs() / unit < INTEGERS)
    }

    /// Without its sign.
    #[must_use]
    pub const fn magnitude(self) -> Self {
        Self::of(self.digits.abs(), self.decimals())
    }

    /// `self × other`, exactly; `None` past 38 digits.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let decimals = self.decimals().checked_add(other.decimals()).filter(|decimals| *decimals < u8::MAX)?;
        Some(Self::of(self.digits.checked_mul(other.digits)?, decimals))
    }

    /// All its digits as an integer, and how many of them are decimals: which is what it is written from.
    pub const fn digits(self) -> (i128, u8) {
        (self.digits, self.decimals())
    }

    /// In hundredths, cut off, as near as 64 bits allow: for drawing, never for telling.
    pub fn hundredths(self) -> i64 {
        let decimals = u32::from(self.decimals());
        let hundredths = match decimals.checked_sub(2) {
            // a sum can be too long to divide by what it is divided by
            Some(more) => 10_i128.checked_pow(more).map_or(0, |unit| self.digits / unit),
            None => self.digits.saturating_mul(10_i128.pow(2 - decimals)),
        };
        let nearest = if hundredths < 0 { i64::MIN + 1 } else { i64::MAX };
        i64::try_from(hundredths).unwrap_or(nearest)
    }

    /// True below zero.
    pub const fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// `self - other`, exactly; `None` past 38 digits, which sums of counters could reach in theory.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        other.negated().checked_add(self)
    }

    /// `self + other`, exactly; `None` past 38 digits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let decimals = self.decimals().max(other.decimals());
        let digits = self.at_decimals(decimals)?.checked_add(other.at_decimals(decimals)?)?;
        Some(Self::of(digits, decimals))
    }

    const fn negated(self) -> Self {
        Self::of(-self.digits, self.decimals())
    }

    fn at_decimals(self, decimals: u8) -> Option<i128> {
        let missing = u32::from(decimals.checked_sub(self.decimals())?);
        self.digits.checked_mul(10_i128.checked_pow(missing)?)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<u32> for Amount {
    fn from(integer: u32) -> Self {
        Self::of(integer.into(), 0)
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        let decimals = self.decimals().max(other.decimals());
        match (self.at_decimals(decimals), other.at_decimals(decimals)) {
            (Some(mine), Some(theirs)) => mine.cmp(&theirs),
            // one side does not fit 38 digits at that scale: then its integer part decides
            (Some(_), None) => 0.cmp(&{ other.digits }),
            (None, Some(_)) => { self.digits }.cmp(&0),
            (None, None) => { self.digits }.cmp(&{ other.digits }),
        }
    }
}

impl Amount {
    /// Appends its digits.
    pub fn write_to(self, out: &mut impl fmt::Write) -> fmt::Result {
        let mut buffer = itoa::Buffer::new();
        // what fits into half the bits is written several times faster, and that is nearly everything
        let digits = match u64::try_from(self.digits.unsigned_abs()) {
            Ok(magnitude) => buffer.format(magnitude),
            Err(_) => buffer.format(self.digits.unsigned_abs()),
        };
        if self.digits < 0 {
            out.write_str("-")?;
        }
        let decimals = usize::from(self.decimals());
        if decimals == 0 {
            return out.write_str(digits);
        }
        let (integer, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
        out.write_str(if integer.is_empty() { "0" } else { integer })?;
        out.write_str(".")?;
        for _ in fraction.len()..decimals {
            out.write_str("0")?;
        }
        out.write_str(fraction)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

/// The code of a currency: three letters of ISO 4217, or the code of a token a provider lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static str);

/// Codes that are not in ISO 4217 but that a provider's documentation lists as currencies.
const TOKENS: &[&str] = &["USDC", "USDT"];

/// ISO 4217 codes of circulating currencies, by hundreds of letters rather than as a table of words.
const ISO_4217: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN \
    BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
    GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP \
    LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS \
    TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

impl Currency {
    /// Takes a code exactly as listed: upper case, no padding.
    pub fn parse(code: &str) -> Option<Self> {
        // each has three letters and a space behind them; it is asked for at each poll
        let letters = |place: usize| ISO_4217.get(4 * place..4 * place + 3);
        let listed = || (0..ISO_4217.len().div_ceil(4)).filter_map(letters).find(|known| *known == code);
        // of a fleet every account has one, several times over: none of them is a text of its own
        TOKENS.iter().copied().find(|known| *known == code).or_else(listed).map(Self)
    }

    /// The Sri Lankan rupee, the default of an API that names no currency.
    pub(crate) fn lkr() -> Self {
        Self("LKR")
    }

    /// The code.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| de::Error::custom("expected a currency code such as USD, in capitals"))
    }
}

/// For the default that the JSON Schema tells.
impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl schemars::JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "title": "currency",
            "description": "ISO 4217 currency code in capitals, or USDT / USDC.",
            "type": "string",
            "pattern": "^([A-Z]{3}|USDT|USDC)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    #[test]
    fn every_listed_code_is_a_currency_and_no_part_of_two_is() {
        for code in ISO_4217.split_ascii_whitespace().chain(TOKENS.iter().copied()) {
            assert_eq!(Currency::parse(code).map(|currency| currency.as_str()), Some(code));
        }
        for code in ["", "AE", "ED ", "D A", "AED ", "aed", "XXX", "USD T"] {
            assert_eq!(Currency::parse(code), None, "{code}");
        }
    }

    #[test]
    fn reads_plain_decimals_and_prints_the_same_digits() {
        for text in ["0", "0.0", "0.10", "19.1", "897993.88", "-12.5", "999999999999999.99999999", "9007199254740993"] {
            if text.len() == 16 {
                assert_eq!(Amount::parse(text), Err(NotAnAmount), "16 integer digits");
            } else {
                assert_eq!(amount(text).to_string(), text);
            }
        }
        assert_eq!(amount("-0").to_string(), "0");
        assert_eq!(amount("-0.00").to_string(), "0.00");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "+5",
            "01",
            "00",
            "1e5",
            "1E5",
            "0x10",
            "NaN",
            "inf",
            "Infinity",
            "1_000",
            "250,000.00",
            " 1",
            "1 ",
            "1.2.3",
            "٢٥",
            "1.123456789",
            "--1",
            "1e400",
            "null",
            "1\n",
        ] {
            assert_eq!(Amount::parse(text), Err(NotAnAmount), "{text:?}");
        }
    }

    #[test]
    fn value_decides_equality_and_order() {
        assert_eq!(amount("0.10"), amount("0.1"));
        assert!(amount("-1") < amount("0.5"));
        assert!(amount("10") > amount("9.99999999"));
        assert!(amount("999999999999999").shifted(2) < amount("999999999999999"));
    }

    #[test]
    fn shifting_moves_the_point() {
        assert_eq!(amount("250000").shifted(2).to_string(), "2500.00");
        assert_eq!(amount("5").shifted(2).to_string(), "0.05");
        assert_eq!(amount("-5").shifted(3).to_string(), "-0.005");
        assert_eq!(amount("1.5").shifted(0), amount("1.5"));
    }

    #[test]
    fn subtraction_is_exact() {
        let frozen = amount("0.3").checked_sub(amount("0.1")).unwrap();
        assert_eq!(frozen.to_string(), "0.2");
        assert_eq!(amount("1").checked_sub(amount("1.00000001")).unwrap().to_string(), "-0.00000001");
    }

    #[test]
    fn an_amount_that_is_not_there_takes_no_more_room_than_one_that_is() {
        assert_eq!((size_of::<Amount>(), size_of::<Option<Amount>>()), (24, 24));
        assert_eq!(amount("0.00000001").shifted(246).digits(), (1, 254), "more decimals than any amount has");
    }

    #[test]
    fn hundredths_are_near_enough_to_draw() {
        for (text, hundredths) in [
            ("0", 0),
            ("12", 1_200),
            ("12.3", 1_230),
            ("12.34", 1_234),
            ("12.349", 1_234),
            ("-0.00000001", 0),
            ("-12.349", -1_234),
            ("999999999999999.99999999", 99_999_999_999_999_999),
        ] {
            assert_eq!(amount(text).hundredths(), hundredths, "{text}");
        }
        let sum = "9".repeat(38);
        assert_eq!(Amount::recalled(&sum).unwrap().hundredths(), i64::MAX);
        assert_eq!(Amount::recalled(&format!("-{sum}")).unwrap().hundredths(), i64::MIN + 1);
        assert_eq!(Amount::recalled(&format!("0.{}", "9".repeat(37))).unwrap().hundredths(), 99);
    }

    #[test]
    fn currencies_are_listed_codes_in_capitals() {
        for code in ["USD", "AED", "GHS", "LKR", "USDT", "PEN", "VND", "COP"] {
            assert_eq!(Currency::parse(code).unwrap().as_str(), code);
        }
        for code in ["usd", "US", "XXX", "USD ", "AEDD", "", "XTS", "EUR USD"] {
            assert_eq!(Currency::parse(code), None, "{code:?}");
        }
    }

    proptest! {
        #[test]
        fn any_amount_reads_back(digits in -999_999_999_999_999_i64..=999_999_999_999_999, decimals in 0_u32..=8) {
            let unit = 10_i64.pow(decimals);
            let sign = if digits < 0 { "-" } else { "" };
            let text = if decimals == 0 {
                digits.to_string()
            } else {
                let width = decimals as usize;
                format!("{sign}{}.{:0width$}", digits.unsigned_abs() / unit.unsigned_abs(), digits.unsigned_abs() % unit.unsigned_abs())
            };
            let read = amount(&text);
            prop_assert_eq!(read.to_string().parse::<f64>().unwrap().to_bits() & !(1 << 63),
                text.parse::<f64>().unwrap().to_bits() & !(1 << 63));
            prop_assert_eq!(read.checked_sub(read), Some(Amount::ZERO));
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = Amount::parse(&text);
        }
    }
}
