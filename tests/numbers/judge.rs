//! Which replies may become which numbers, judged a second time, in other words than the adapters'.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;
use sha2::Sha256;

use crate::json::{self, Json};

/// Figures by wallet and name, in units of 10^-16, which is exact for all that may be read.
pub(crate) type Figures = BTreeMap<(String, &'static str), i128>;

/// A decimal in units of 10^-16.
pub(crate) fn units(text: &str, most_decimals: usize) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |digits: &str, most| (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain(integer, 15) || !plain(fraction, most_decimals) || integer.len() > 1 && integer.starts_with('0') {
        return None;
    }
    format!("{integer}{fraction:0<16}").parse::<i128>().ok().map(|units| sign * units)
}

fn figure(json: &Json) -> Option<i128> {
    units(json.number()?, 8)
}

/// The body of a reply that HTTP calls a success, and that is no web page.
fn body(reply: &Response<Bytes>) -> Option<Json> {
    let page = reply.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let body = json::read(reply.body()).filter(|json| matches!(json, Json::Object(_)))?;
    (reply.status() == 200 && !page).then_some(body)
}

fn figures(wallet: &str, figures: &[(&'static str, Option<i128>)]) -> Figures {
    figures.iter().filter_map(|(name, value)| Some(((wallet.to_owned(), *name), (*value)?))).collect()
}

pub(crate) fn bridge(reply: &Response<Bytes>) -> Option<Figures> {
    let body = body(reply)?;
    (body.once("response_code")?.text()? == "000").then_some(())?;
    let data = body.once("response_data")?;
    let mut all = Figures::new();
    for (wallet, field) in [("payout", "payout_balance"), ("collection", "collection_balance"), ("sms", "sms_balance")]
    {
        all.insert((wallet.to_owned(), "available"), figure(data.once(field)?)?);
    }
    Some(all)
}

pub(crate) fn dialog(reply: &Response<Bytes>, number: &str) -> Option<Figures> {
    let body = body(reply)?;
    if body.at_most_once("fault")?.is_some() || body.at_most_once("requestError")?.is_some() {
        return None;
    }
    let echoed = body.once("endUserId")?.text()?;
    let echoed = echoed.strip_prefix("tel:").unwrap_or(echoed);
    (echoed.strip_prefix('+').unwrap_or(echoed) == number).then_some(())?;
    let info = body.once("accountInfo")?;
    info.once("accountStatus")?.text()?.eq_ignore_ascii_case("active").then_some(())?;
    let balance = figure(info.once("balance")?)?;
    let kind = info.at_most_once("accountType")?.map(|kind| kind.text().map(str::to_ascii_lowercase));
    let available = (kind == Some(Some("prepaid".to_owned()))).then_some(balance);
    // a limit is a number if it is there at all
    let limit = match info.at_most_once("creditLimit")? {
        Some(limit) => Some(figure(limit)?),
        None => None,
    };
    Some(figures("main", &[("amount", Some(balance)), ("available", available), ("credit limit", limit)]))
}

/// The key that stands in for PayBy's.
fn platform_key() -> VerifyingKey<Sha256> {
    VerifyingKey::new(rsa::RsaPublicKey::from_public_key_pem(include_str!("../vectors/key.pub.pem")).unwrap())
}

pub(crate) fn payby(reply: &Response<Bytes>, currency: &str) -> Option<Figures> {
    let mut signatures = reply.headers().get_all("sign").iter();
    let signature = BASE64_STANDARD.decode(signatures.next()?.as_bytes()).ok()?;
    let signature = Signature::try_from(signature.as_slice()).ok()?;
    platform_key().verify(reply.body(), &signature).ok()?;
    signatures.next().is_none().then_some(())?;
    let message = body(reply)?;
    let head = message.once("head")?;
    let says = |field: &str, wanted: &str| head.once(field).and_then(Json::text) == Some(wanted);
    let denied = !matches!(head.at_most_once("success")?, None | Some(Json::Bool(true)));
    if !says("applyStatus", "SUCCESS") || !says("code", "0") || denied {
        return None;
    }
    let account = message.once("body")?;
    account.once("memberId")?.text()?;
    let Json::List(rows) = account.once("balanceList")? else { return None };
    let money = |row: &Json, field: &str| -> Option<Option<(String, Option<i128>)>> {
        let Some(money) = row.at_most_once(field)? else { return Some(None) };
        Some(Some((money.once("currency")?.text()?.to_owned(), figure(money.once("amount")?))))
    };
    let mut found = None;
    for row in rows {
        let (named, available) = money(row, "availableBalance")??;
        if named != currency {
            continue;
        }
        // twice is not once
        found.is_none().then_some(())?;
        let ours = |field| match money(row, field)? {
            Some((named, value)) => (named == currency).then_some(value?).map(Some),
            None => Some(None),
        };
        let (balance, total, frozen) = (ours("balance")?, ours("totalBalance")?, ours("frozenBalance")?);
        let contradictory = balance.is_some() && total.is_some() && balance != total;
        let absurd = frozen.is_some_and(|frozen| frozen < 0);
        (!contradictory && !absurd).then_some(())?;
        found = Some([("amount", balance.or(total)), ("available", Some(available?)), ("frozen", frozen)]);
    }
    Some(figures("main", &found?))
}

/// The account's figures are in hundredths.
pub(crate) fn smilepayz(reply: &Response<Bytes>, at: Timestamp, number: &str, currency: &str) -> Option<Figures> {
    let message = body(reply)?;
    (message.once("code")?.text()? == "00").then_some(())?;
    let mut times = reply.headers().get_all("x-timestamp").iter();
    if let Some(time) = times.next() {
        times.next().is_none().then_some(())?;
        let time = time.to_str().ok().and_then(|text| text.parse::<Timestamp>().ok());
        let apart = time.map(|time| (at.as_nanosecond() - time.as_nanosecond()).abs());
        apart.is_none_or(|apart| apart <= 600_000_000_000).then_some(())?;
    }
    let ours = |json: &Json| match json.at_most_once("accountNo")? {
        Some(named) => (named.text()? == number).then_some(()),
        None => Some(()),
    };
    ours(&message)?;
    let (blocks, listed) = match message.once("accountInfos")? {
        Json::List(blocks) => (blocks.iter().collect::<Vec<_>>(), true),
        block @ Json::Object(_) => (vec![block], false),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Deep => return None,
    };
    let alone = !listed || blocks.len() == 1;
    let mut asked = Vec::new();
    for block in blocks {
        match block.at_most_once("balanceType")? {
            Some(named) if named.text()? == "BALANCE" => asked.push(block),
            None if alone => asked.push(block),
            Some(_) | None => {}
        }
    }
    let [block] = asked[..] else { return None };
    ours(block)?;
    let mut named = Vec::new();
    let mut read = |field: &str| {
        let value = block.once(field)?;
        let text = match value {
            Json::Text(text) => text.as_deref()?,
            Json::Object(_) => {
                named.push(value.once("currency")?.text()?.to_owned());
                value.once("value")?.text()?
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Deep => return None,
        };
        units(text, 8).map(|units| units / 100)
    };
    let (amount, available) = (read("amount")?, read("availableBalance")?);
    if let Some(currency) = block.at_most_once("currency")? {
        named.push(currency.text()?.to_owned());
    }
    let fits = !named.is_empty() && named.iter().all(|named| named == currency) && available <= amount;
    let held = amount.checked_sub(available).filter(|held| *held < 10_i128.pow(31) && fits)?;
    Some(figures("main", &[("amount", Some(amount)), ("available", Some(available)), ("frozen", Some(held))]))
}

/// The token, and how long it is good for.
pub(crate) fn token(reply: &Response<Bytes>) -> Option<(String, Option<String>, Duration)> {
    let body = body(reply)?;
    body.at_most_once("error")?.is_none().then_some(())?;
    body.once("token_type")?.text()?.eq_ignore_ascii_case("bearer").then_some(())?;
    let sound =
        |token: &str| (1..=4096).contains(&token.len()) && token.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    let token = body.once("access_token")?.text().filter(|token| sound(token))?.to_owned();
    let refresh = match body.at_most_once("refresh_token")? {
        Some(refresh) => Some(refresh.text()?.to_owned()).filter(|token| !token.is_empty()),
        None => None,
    };
    refresh.as_deref().is_none_or(sound).then_some(())?;
    let seconds = match body.at_most_once("expires_in")? {
        Some(Json::Number(text) | Json::Text(Some(text))) => {
            text.parse::<f64>().ok().filter(|seconds| seconds.is_finite())
        }
        Some(_) | None => None,
    };
    Some((token, refresh, Duration::from_secs_f64(seconds.unwrap_or(300.0).clamp(30.0, 86_400.0))))
}

/// What `Retry-After` asks for, if it is written as it should be: a number of seconds, or the one form of a date.
pub(crate) fn retry_after(text: &str, at: Timestamp) -> Option<Duration> {
    let most = Duration::from_secs(3_600);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return (text.len() <= 10).then(|| Duration::from_secs(text.parse().unwrap()).min(most));
    }
    let words: Vec<_> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = 1 + months.iter().position(|known| *known == month)?;
    let date = format!("{year}-{month:02}-{day}T{time}Z").parse::<Timestamp>().ok()?;
    let wait = (date.as_nanosecond() - at.as_nanosecond()).max(0);
    Some(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)).min(most))
}
