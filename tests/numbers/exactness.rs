//! Every digit that a provider sent arrives, and the double that a reader makes of it is the nearest there is.
//! The oracle computes with big integers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::thread;

use balance_exporter::account::Balance;
use balance_exporter::exposition::checker::Exposition;
use balance_exporter::money::Amount;
use num_bigint::BigInt;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::signature::{SignatureEncoding, Signer};
use sha2::Sha256;

use crate::bench::{BRIDGE, Bench, DIALOG, PAYBY, SMILEPAYZ, at, bridge_reply, reply};

/// `digits / 10^decimals`.
#[derive(Clone, Debug)]
struct Decimal {
    digits: BigInt,
    decimals: u32,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len().try_into().unwrap());
        Self { digits: BigInt::from_str(&text.replace('.', "")).unwrap(), decimals }
    }

    fn divided_by_ten_to(self, places: u32) -> Self {
        Self { decimals: self.decimals + places, ..self }
    }

    fn minus(&self, other: &Self) -> Self {
        let decimals = self.decimals.max(other.decimals);
        Self { digits: self.with(decimals) - other.with(decimals), decimals }
    }

    fn with(&self, decimals: u32) -> BigInt {
        &self.digits * BigInt::from(10).pow(decimals - self.decimals)
    }

    fn is_zero(&self) -> bool {
        self.digits == BigInt::ZERO
    }

    fn is(&self, other: &Self) -> bool {
        self.minus(other).is_zero()
    }

    /// Whether no other double is nearer; of two that are equally near the even one counts.
    fn is_nearest(&self, double: f64) -> bool {
        if double == 0.0 {
            return self.is_zero() && double.is_sign_positive();
        }
        let exponent = i64::try_from(double.to_bits() >> 52 & 0x7ff).unwrap() - 1075;
        let mantissa = double.to_bits() & ((1 << 52) - 1) | 1 << 52;
        // all these numbers are below 2^53, and none is subnormal
        let shift = u32::try_from(-exponent).unwrap();
        let unit = BigInt::from(10).pow(self.decimals);
        let written = BigInt::from(self.digits.magnitude().clone()) << shift;
        let over: BigInt = (BigInt::from(mantissa) * &unit - written) * 2;
        // the gap below a power of two is half as wide
        let gap_below = if mantissa == 1 << 52 { &unit / 2 } else { unit.clone() };
        let near = if over > BigInt::ZERO {
            over < gap_below || over == gap_below && mantissa.is_multiple_of(2)
        } else {
            -&over < unit || -over == unit && mantissa.is_multiple_of(2)
        };
        near && (double < 0.0) == (self.digits < BigInt::ZERO)
    }
}

/// Decimals as providers write them: of any length, with round and with awkward ends.
struct Decimals(fastrand::Rng);

impl Decimals {
    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| self.0.digit(10)).collect()
    }

    fn positive(&mut self) -> String {
        let integer = match self.0.u8(..8) {
            0 => "0".to_owned(),
            1 => format!("{}", 1_u64 << self.0.u32(..50)),
            2 => "9".repeat(self.0.usize(1..=15)),
            _ => {
                let more = self.0.usize(..15);
                format!("{}{}", self.0.u8(1..=9), self.digits(more))
            }
        };
        let decimals = self.0.usize(..=8);
        match self.0.u8(..6) {
            0 => integer,
            1 if decimals > 0 => format!("{integer}.{}", "0".repeat(decimals)),
            2 if decimals > 0 => format!("{integer}.{:0<decimals$}", "5"),
            3 if decimals > 0 => format!("{integer}.{}", "9".repeat(decimals)),
            _ if decimals > 0 => format!("{integer}.{}", self.digits(decimals)),
            _ => integer,
        }
    }

    fn any(&mut self) -> String {
        let sign = if self.0.u8(..4) == 0 { "-" } else { "" };
        format!("{sign}{}", self.positive())
    }

    /// Two that are not in order, made so.
    fn falling(&mut self) -> (String, String) {
        let (one, other) = (self.positive(), self.positive());
        if Decimal::of(&one).minus(&Decimal::of(&other)).digits < BigInt::ZERO { (other, one) } else { (one, other) }
    }
}

/// The value of a sample is this decimal, and the double that a scraper reads is the nearest to it.
#[track_caller]
fn assert_exact(shown: &str, expected: &Decimal, from: &str) {
    assert!(shown.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte)), "{from} became {shown}");
    assert!(Decimal::of(shown).is(expected), "{from} became {shown}");
    let double: f64 = shown.parse().unwrap();
    assert!(expected.is_nearest(double), "{from} became {double}");
    assert_eq!(double == 0.0, expected.is_zero(), "{from} became {double}");
}

const EACH: usize = 100_000;

#[test]
fn the_oracle_knows_a_double_that_is_not_the_nearest() {
    for (text, double) in [
        ("0.1", 0.1),
        ("-0.3", -0.3),
        ("999999999999999.99999999", 1e15),
        ("4503599627370497.5", 4_503_599_627_370_498.0),
    ] {
        let decimal = Decimal::of(text);
        assert!(decimal.is_nearest(double), "{text}");
        for wrong in [double.next_up(), double.next_down(), -double, 0.0, -0.0] {
            assert!(!decimal.is_nearest(wrong), "{text} {wrong}");
        }
    }
    assert!(Decimal::of("0.00").is_nearest(0.0));
    assert!(!Decimal::of("0.00").is_nearest(-0.0));
}

#[test]
fn a_million_decimals_become_the_nearest_doubles() {
    let worker = |seed| {
        move || {
            let mut decimals = Decimals(fastrand::Rng::with_seed(seed));
            for _ in 0..500_000 {
                let text = decimals.any();
                let places = decimals.0.u8(..=8);
                let shown = Amount::parse(&text).unwrap().shifted(places).to_string();
                let expected = Decimal::of(&text).divided_by_ten_to(places.into());
                assert_exact(&shown, &expected, &text);
            }
        }
    };
    let workers = [1, 2].map(|seed| thread::spawn(worker(seed)));
    for worker in workers {
        worker.join().unwrap();
    }
}

/// What stands on the board, under the names of its samples.
fn filed(bench: &Bench, seconds: u64) -> BTreeMap<(String, String, &'static str), String> {
    let mut figures = BTreeMap::new();
    for index in 0..bench.configs.len() {
        let status = bench.status(index);
        for balance in status.fresh(&at(seconds)).unwrap().reading().balances() {
            let Balance { wallet, amount, available, frozen, credit_limit, .. } = balance;
            let all = [(AMOUNT, amount), (AVAILABLE, available), (FROZEN, frozen), (CREDIT_LIMIT, credit_limit)];
            for (metric, figure) in all {
                figures.extend(figure.map(|figure| (named(index, wallet.as_str(), metric), figure.to_string())));
            }
        }
    }
    figures
}

/// The samples of these metrics, by account, wallet and metric.
fn figures(seen: &Exposition) -> BTreeMap<(String, String, &'static str), String> {
    let mut figures = BTreeMap::new();
    for metric in [AMOUNT, AVAILABLE, FROZEN, CREDIT_LIMIT] {
        for sample in seen.samples(metric) {
            let label = |name| sample.label(name).unwrap().to_owned();
            figures.insert((label("account"), label("wallet"), metric), sample.value.clone());
        }
    }
    figures
}

/// What a scrape must show, and from which text.
type Expected = BTreeMap<(String, String, &'static str), (Decimal, String)>;

/// Most of a scrape is about other things than money, so that only each fifth round is scraped. The others are judged by
/// what stands on the board.
#[track_caller]
fn assert_shown(bench: &Bench, round: u64, expected: &Expected) {
    let figures = if round.is_multiple_of(5) { figures(&bench.scrape(at(round))) } else { filed(bench, round) };
    assert_eq!(figures.len(), expected.len());
    for (key, (decimal, from)) in expected {
        assert_exact(&figures[key], decimal, from);
    }
}

fn named(index: usize, wallet: &str, metric: &'static str) -> (String, String, &'static str) {
    (format!("a{index}"), wallet.to_owned(), metric)
}

const AMOUNT: &str = "balance_amount";
const AVAILABLE: &str = "balance_available_amount";
const FROZEN: &str = "balance_frozen_amount";
const CREDIT_LIMIT: &str = "balance_credit_limit_amount";

/// Accounts of a bench: enough that a scrape is large, and few enough that it is read quickly.
const ACCOUNTS: usize = 500;

#[test]
fn bridge_tells_exactly_what_it_was_told() {
    let accounts: Vec<_> = (0..ACCOUNTS).map(|id| format!("service_id: {id}, currency: GHS")).collect();
    let bench = Bench::new(BRIDGE, &accounts);
    let mut decimals = Decimals(fastrand::Rng::with_seed(3));
    for round in 0..EACH.div_ceil(3 * ACCOUNTS) as u64 {
        let mut expected = Expected::new();
        for index in 0..ACCOUNTS {
            let texts = [decimals.any(), decimals.any(), decimals.any()];
            bench.file(index, &bridge_reply(&texts[0], &texts[1], &texts[2]), at(round));
            for (wallet, text) in ["payout", "collection", "sms"].into_iter().zip(texts) {
                expected.insert(named(index, wallet, AVAILABLE), (Decimal::of(&text), text));
            }
        }
        assert_shown(&bench, round, &expected);
    }
}

#[test]
fn dialog_tells_exactly_what_it_was_told() {
    let accounts: Vec<_> = (0..ACCOUNTS).map(|id| format!("msisdn: '9477{id:07}'")).collect();
    let bench = Bench::new(DIALOG, &accounts);
    let mut decimals = Decimals(fastrand::Rng::with_seed(4));
    for round in 0..EACH.div_ceil(2 * ACCOUNTS) as u64 {
        let mut expected = Expected::new();
        for index in 0..ACCOUNTS {
            let (balance, limit) = (decimals.any(), decimals.any());
            let body = format!(
                r#"{{"endUserId":"tel:+9477{index:07}","accountInfo":{{"accountType":"PREPAID","accountStatus":"Active","creditLimit":{limit},"balance":{balance}}}}}"#
            );
            bench.file(index, &reply(body), at(round));
            for metric in [AMOUNT, AVAILABLE] {
                expected.insert(named(index, "main", metric), (Decimal::of(&balance), balance.clone()));
            }
            expected.insert(named(index, "main", CREDIT_LIMIT), (Decimal::of(&limit), limit));
        }
        assert_shown(&bench, round, &expected);
    }
}

#[test]
fn smilepayz_tells_exactly_what_it_was_told_in_major_units() {
    let places = |index: usize| u32::try_from(index % 9).unwrap();
    let account = |id| format!("account_no: '{id}', currency: PEN, divisor: {}", 10_u32.pow(places(id)));
    let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
    let bench = Bench::new(SMILEPAYZ, &accounts);
    let mut decimals = Decimals(fastrand::Rng::with_seed(5));
    for round in 0..EACH.div_ceil(2 * ACCOUNTS) as u64 {
        let mut expected = Expected::new();
        for index in 0..ACCOUNTS {
            let (total, available) = decimals.falling();
            let money = |text: &str| format!(r#"{{"currency":"PEN","value":"{text}"}}"#);
            let body = format!(
                r#"{{"code":"00","accountNo":"{index}","accountInfos":{{"balanceType":"BALANCE","amount":{},"availableBalance":{}}}}}"#,
                money(&total),
                money(&available)
            );
            bench.file(index, &reply(body), at(round));
            let scaled = |text: &str| Decimal::of(text).divided_by_ten_to(places(index));
            let held = scaled(&total).minus(&scaled(&available));
            expected.insert(named(index, "main", FROZEN), (held, format!("{total} - {available}")));
            expected.insert(named(index, "main", AMOUNT), (scaled(&total), total));
            expected.insert(named(index, "main", AVAILABLE), (scaled(&available), available));
        }
        assert_shown(&bench, round, &expected);
    }
}

/// A signature takes milliseconds. So each reply tells of a hundred currencies, and each account reads another of them.
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD \
    CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL \
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA \
    MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD";

#[test]
fn payby_tells_exactly_what_it_was_told_under_its_signature() {
    let currencies: Vec<_> = CURRENCIES.split_ascii_whitespace().collect();
    let accounts: Vec<_> = currencies.iter().map(|currency| format!("currency: {currency}")).collect();
    let bench = Bench::new(PAYBY, &accounts);
    let key = SigningKey::<Sha256>::new(
        rsa::RsaPrivateKey::from_pkcs8_pem(include_str!("../vectors/key.pkcs8.pem")).unwrap(),
    );
    let mut decimals = Decimals(fastrand::Rng::with_seed(6));
    for round in 0..EACH.div_ceil(3 * currencies.len()) as u64 {
        let mut expected = Expected::new();
        let mut rows = String::new();
        for (index, currency) in currencies.iter().enumerate() {
            let (available, total, frozen) = (decimals.any(), decimals.any(), decimals.positive());
            let money = |text: &str| format!(r#"{{"amount":{text},"currency":"{currency}"}}"#);
            write!(
                rows,
                r#"{}{{"availableBalance":{},"balance":{},"frozenBalance":{}}}"#,
                if index > 0 { "," } else { "" },
                money(&available),
                money(&total),
                money(&frozen)
            )
            .unwrap();
            for (metric, text) in [(AVAILABLE, available), (AMOUNT, total), (FROZEN, frozen)] {
                expected.insert(named(index, "main", metric), (Decimal::of(&text), text));
            }
        }
        let body = format!(
            r#"{{"head":{{"applyStatus":"SUCCESS","code":"0","success":true,"traceCode":"{round}"}},"body":{{"memberId":"5","balanceList":[{rows}]}}}}"#
        );
        let mut reply = reply(body);
        let signature = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key.sign(reply.body()).to_bytes());
        reply.headers_mut().insert("sign", signature.parse().unwrap());
        for index in 0..currencies.len() {
            bench.file(index, &reply, at(round));
        }
        assert_shown(&bench, round, &expected);
    }
}
