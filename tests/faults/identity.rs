//! G: whose number it is, who says so, and when.

use balance_exporter::clock::{Clock as _, SystemClock};
use balance_exporter::config::Config;
use balance_exporter::failure::ErrorReason::{Clock, Integrity, Malformed, Mismatch, Rejected, Schema};

use crate::api::Api::{self, Bridge, Dialog, PayBy, Smilepayz};
use crate::api::{ALL, FIRST, Message, SECOND};
use crate::body::replaced;
use crate::scene::Setting;
use crate::table::{Case, Row, case, equal, row};
use crate::ways;

fn other(name: &str, api: &'static [Api], from: &'static str, to: &'static str) -> Case {
    replaced(name, api, from, to).fails(Mismatch)
}

/// A good body of PayBy, and what stands in the header `sign` for it.
fn signed(name: &str, sign: impl Fn(Message) -> Message + Send + Sync + 'static) -> Case {
    case(name, &[PayBy])
        .says(move |api| sign(Message::new(200, api.body(SECOND, "").as_bytes())).bytes())
        .fails(Integrity)
}

pub(crate) fn rows() -> Vec<Row> {
    [currencies(), accounts(), signatures(), times()].into_iter().flatten().collect()
}

const PAYBY: &[Api] = &[PayBy];
const SMILEPAYZ: &[Api] = &[Smilepayz];
const DIALOG: &[Api] = &[Dialog];
const ROW: &str = r#"{"availableBalance":{"amount":77.25,"currency":"AED"}}"#;

fn currencies() -> Vec<Row> {
    let pen = r#""currency":"PEN","value":"77.25""#;
    let block = r#"{"balanceType":"BALANCE","amount":{"currency":"PEN","value":"77.25"},"availableBalance":{"currency":"PEN","value":"77.25"}}"#;
    vec![
        row(
            "G01",
            [
                other("another currency", PAYBY, "AED", "USD"),
                other("another currency", SMILEPAYZ, pen, r#""currency":"USD","value":"77.25""#),
            ],
        ),
        row(
            "G02",
            ["aed", " AED", "AED ", "XXX", ""]
                .map(|currency| {
                    case(format!("the currency {currency:?}"), PAYBY)
                        .says(move |api| api.says(api.body(SECOND, "").replace("AED", currency)).bytes())
                        .fails(Mismatch)
                })
                .into_iter()
                .chain([
                    other("a currency in small letters", SMILEPAYZ, pen, r#""currency":"pen","value":"77.25""#),
                    other("a padded currency", SMILEPAYZ, pen, r#""currency":"PEN ","value":"77.25""#),
                ]),
        ),
        row(
            "G03",
            [
                other("no balance at all", PAYBY, ROW, ""),
                other("no balance at all", SMILEPAYZ, block, "[]"),
                other("another balance", SMILEPAYZ, r#""balanceType":"BALANCE""#, r#""balanceType":"FROZEN""#),
            ],
        ),
        row(
            "G04",
            [
                case("the same balance twice", PAYBY)
                    .says(move |api| {
                        let twice = format!("{ROW},{ROW}");
                        api.says(api.body(SECOND, "").replace(ROW, &twice)).bytes()
                    })
                    .fails(Mismatch),
                case("two balances of one currency", PAYBY)
                    .says(move |api| {
                        let two = format!("{ROW},{}", ROW.replace("77.25", "78"));
                        api.says(api.body(SECOND, "").replace(ROW, &two)).bytes()
                    })
                    .fails(Mismatch),
                case("the same balance twice", SMILEPAYZ)
                    .says(move |api| {
                        let twice = format!("[{block},{block}]");
                        api.says(api.body("\"77.25\"", "").replace(block, &twice)).bytes()
                    })
                    .fails(Mismatch),
            ],
        ),
    ]
}

fn accounts() -> Vec<Row> {
    let echo = r#""endUserId":"94770000000","#;
    let member =
        |_: &crate::scene::World, _| Setting { account_keys: ", member_id: '200000030907'", ..Setting::default() };
    let inactive = |accept: &'static str, status: &'static str| {
        other("a number that is not active", DIALOG, r#""accountStatus":"Active""#, status)
            .set(move |_, _| Setting { account_keys: accept, ..Setting::default() })
    };
    vec![
        row(
            "G05",
            [
                other("another member", PAYBY, "200000030907", "200000030908").set(member),
                other("another account", SMILEPAYZ, "21220030202403071031", "21220030202403071032"),
                other("another number", DIALOG, "94770000000", "94770000001"),
            ],
        )
        .note("one API names no account in its replies"),
        row(
            "G06",
            [
                replaced("no account number", SMILEPAYZ, r#""accountNo":"21220030202403071031","#, ""),
                other("no number", DIALOG, echo, ""),
                replaced("no member", PAYBY, r#","memberId":"200000030907""#, "").fails(Schema),
            ],
        )
        .note("the echo is required where the documents promise it, and there is no `require_echo`"),
        row("G07", [other("another member than before", PAYBY, "200000030907", "200000030908")])
            .note("it is pinned to the first reply until the program restarts or the account asks for something else"),
        row(
            "G08",
            [
                inactive("", r#""accountStatus":"Suspended""#),
                inactive("", r#""other":"Active""#),
                replaced("a number that may be inactive", DIALOG, r#""Active""#, r#""Suspended""#)
                    .set(|_, _| Setting { account_keys: ", accept_inactive: true", ..Setting::default() }),
            ],
        ),
        row(
            "G09",
            [
                replaced(
                    "more available than there is",
                    SMILEPAYZ,
                    r#""availableBalance":{"currency":"PEN","value":"77.25"}"#,
                    r#""availableBalance":{"currency":"PEN","value":"77.26"}"#,
                )
                .fails(Schema),
                replaced(
                    "two totals",
                    PAYBY,
                    ROW,
                    r#"{"availableBalance":{"amount":77.25,"currency":"AED"},"balance":{"amount":80,"currency":"AED"},"totalBalance":{"amount":81,"currency":"AED"}}"#,
                )
                .fails(Schema),
            ],
        )
        .note("nothing is derived for the other two"),
        row("G19", []).shown("a host of the other environment", &[PayBy, Smilepayz], |_, api| {
            Box::pin(std::future::ready(other_environment(api)))
        })
        .note("the configuration is refused, so that there is no poll to have a reason"),
    ]
}

fn other_environment(api: Api) -> Result<(), String> {
    let (production, sandbox) = match api {
        PayBy => ("https://api.payby.com", "https://uat.test2pay.com"),
        Smilepayz => ("https://gateway.smilepayz.com", "https://sandbox-gateway.smilepayz.com"),
        Bridge | Dialog => return Err("this API has one host".to_owned()),
    };
    for (environment, host, refused) in [
        ("production", production, false),
        ("sandbox", sandbox, false),
        ("production", sandbox, true),
        ("sandbox", production, true),
    ] {
        let keys = api.provider_keys().replace('\n', "\n    ");
        let text = format!(
            "providers:\n  - name: p\n    api: {}\n    environment: {environment}\n    base_url: {host}\n    {keys}\n    \
             accounts: [ {{ name: a, {} }} ]\n",
            api.name(),
            api.account_keys()
        );
        equal(&format!("{host} in {environment} is refused"), Config::parse(&text).is_err(), refused)?;
    }
    Ok(())
}

fn signatures() -> Vec<Row> {
    vec![
        row("G10", [signed("no signature", |message| message)]),
        row(
            "G11",
            [
                signed("the signature of a stranger", Message::signed_by_a_stranger),
                signed("a signature that is not base64", |message| message.header("sign", "*** none ***")),
                signed("an empty signature", |message| message.header("sign", "")),
                signed("16 KiB of a signature", |message| message.header("sign", "QUJD".repeat(4096))),
                signed("1 MiB of a signature", |message| message.header("sign", "QUJD".repeat(1 << 18)))
                    .fails(Malformed),
                case("an error with the signature of a stranger", &[PayBy])
                    .says(|_| {
                        let body = br#"{"head":{"applyStatus":"FAIL","code":"403","msg":"UNAUTHORIZED"}}"#;
                        Message::new(200, body).signed_by_a_stranger().bytes()
                    })
                    .fails(Integrity),
            ],
        )
        .note("a header of 1 MiB is no valid HTTP to us, whatever is in it"),
        row(
            "G12",
            [
                signed("the signature of another body", |message| message.signed_for(&PayBy.body(FIRST, ""))),
                case("a body that was written again on its way", &[PayBy])
                    .says(|api| {
                        let body = api.body(SECOND, "");
                        let again = body.replace(':', ": ");
                        Message::new(200, again.as_bytes()).signed_for(&body).bytes()
                    })
                    .fails(Integrity),
            ],
        ),
        row(
            "G13",
            [
                signed("two signatures, both right", |message| message.signed().signed()),
                signed("a right signature and another", |message| message.signed().signed_by_a_stranger()),
            ],
        ),
    ]
}

/// The time that is so many minutes from now, as HTTP writes it.
fn date(minutes: i64) -> String {
    let now = SystemClock.now().wall;
    let then = now + jiff::SignedDuration::from_mins(minutes);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn times() -> Vec<Row> {
    let stamped = |minutes: i64| {
        // the poll is 44 seconds after the scene began
        let then = SystemClock.now().wall + jiff::SignedDuration::from_mins(minutes);
        case(format!("a time {minutes} minutes from the request's"), &[Smilepayz])
            .says(move |api| api.good(SECOND).header("x-timestamp", then.to_string()).bytes())
    };
    let off = |minutes: i64| {
        let body = br#"{"head":{"applyStatus":"FAIL","code":"400","msg":"REQUESTTIME_TOO_EARLY","success":false}}"#;
        case(format!("our clock is {minutes} minutes off"), &[PayBy])
            .says(move |api| api.says(body).header("date", date(-minutes)).bytes())
            .fails(Clock)
            .skewed(-minutes * 60 - 44)
    };
    vec![
        row("G14", [stamped(-12).fails(Integrity), stamped(12).fails(Integrity), stamped(-5), stamped(5)]),
        row("G15", [case("the reply of before", &[PayBy]).says(|api| api.good(FIRST).bytes()).reads(FIRST)]).note(
            "a reply does not repeat the request, so that two equal ones may both be true; README names this limit",
        ),
        row(
            "G16",
            [
                off(16),
                off(-16),
                replaced("our clock is 6 minutes off", &[Smilepayz], r#""code":"00""#, r#""code":"1001""#)
                    .fails(Rejected),
            ],
        )
        .note("one API publishes no code for it, so that it is `rejected` there; a published one goes into its table"),
        row(
            "G17",
            [10, -10].map(|minutes| {
                case(format!("the provider's clock is {minutes} minutes off"), ALL)
                    .says(move |api| api.good(SECOND).header("date", date(minutes)).bytes())
                    .skewed(minutes * 60 - 44)
            }),
        ),
        row("G18", []).shown("a time zone in the environment", &[Bridge], |_, api| {
            Box::pin(async move { ways::environment_is_ignored(api).await })
        }),
    ]
}
