//! B: what a provider can put into a body.

use balance_exporter::failure::ErrorReason::{
    self, Auth, Clock, Integrity, Malformed, RateLimited, Rejected, Schema, Unavailable,
};

use crate::api::Api::{self, Bridge, Dialog, PayBy, Smilepayz};
use crate::api::{ALL, Message, SECOND, echo};
use crate::scene::Setting;
use crate::table::{Case, Row, case, row};

const NUMBERS: &[Api] = &[Bridge, Dialog, PayBy];

/// A signed head of PayBy, and a body with a number in spite of it.
fn head(members: &str) -> Message {
    let good = PayBy.body(SECOND, "");
    let (body, _) = good.split_once(r#""head":"#).unwrap();
    PayBy.says(format!(r#"{body}"head":{{{members}}}}}"#))
}

fn code(code: &str, msg: &str, reason: ErrorReason) -> Case {
    let (members, named) = (
        format!(r#""applyStatus":"FAIL","code":"{code}","msg":"{msg}","success":false"#),
        format!("code {code} {msg}"),
    );
    case(named, &[PayBy]).says(move |_| head(&members).bytes()).fails(reason)
}

/// A reply of PayBy that contradicts itself.
fn contradiction(members: &'static str) -> Case {
    case(members, &[PayBy]).says(move |_| head(members).bytes()).fails(Schema)
}

/// A whole body.
fn body(name: &str, apis: &'static [Api], text: impl Fn(Api) -> Vec<u8> + Send + Sync + 'static) -> Case {
    case(name, apis).says(move |api| api.says(text(api)).bytes())
}

/// This text where the figure belongs, as it stands.
fn raw(token: &str, apis: &'static [Api]) -> Case {
    let token = token.to_owned();
    body(&format!("the figure {token}"), apis, move |api| api.body(&token, "").into_bytes())
}

/// This figure, as a number or as a text as the API writes figures.
fn figure(figure: &str, apis: &'static [Api]) -> Case {
    let figure = figure.to_owned();
    body(&format!("the figure {figure}"), apis, move |api| api.body(&api.token(&figure), "").into_bytes())
}

/// A good body with this put in or taken out.
pub(crate) fn replaced(name: &str, apis: &'static [Api], from: &'static str, to: &'static str) -> Case {
    body(name, apis, move |api| {
        let good = api.body(&api.token(SECOND), "");
        assert!(good.contains(from), "{from} is not in {good}");
        good.replace(from, to).into_bytes()
    })
}

/// More members beside the documented ones.
fn beside(name: &str, more: impl Fn() -> String + Send + Sync + 'static) -> Case {
    body(name, ALL, move |api| api.body(&api.token(SECOND), &more()).into_bytes())
}

pub(crate) fn rows() -> Vec<Row> {
    [codes_of_one(), codes(), figures(), shapes()].into_iter().flatten().collect()
}

fn codes_of_one() -> Vec<Row> {
    let unsigned = |members: &'static str, reason| {
        case(format!("unsigned: {members}"), &[PayBy])
            .says(move |_| Message::new(200, format!(r#"{{"head":{{{members}}}}}"#).as_bytes()).bytes())
            .fails(reason)
    };
    vec![
        row(
            "B01",
            [
                code("400", "INVALID_PARAMETER", Rejected),
                unsigned(r#""applyStatus":"FAIL","code":"400","msg":"21220030202403071031 94770000000""#, Rejected),
            ],
        ),
        row("B02", [code("400", "REQUESTTIME_TOO_EARLY", Clock), code("400", "REQUESTTIME_TOO_LATER", Clock)]),
        row("B03", [code("402", "RATE_LIMIT_REJECT", RateLimited)]),
        row(
            "B04",
            [
                code("403", "UNAUTHORIZED", Auth),
                unsigned(r#""applyStatus":"ERROR","code":"62026","msg":"SIGN_ERROR","success":false"#, Auth),
            ],
        ),
        row(
            "B05",
            [
                code("404", "NOT_FOUND", Unavailable),
                code("500", "SYSTEM_ERROR", Unavailable),
                code("504", "TIMEOUT", Unavailable),
            ],
        ),
        row(
            "B06",
            [
                code("601", "RISK_FAIL", Rejected),
                code("78001", "CURRENCY_NOT_SUPPORTED", Rejected),
                code("12345", "NOT_LISTED", Rejected),
                unsigned(r#""applyStatus":"FAIL","code":"12345","msg":"X","success":false"#, Integrity),
            ],
        ),
    ]
}

fn codes() -> Vec<Row> {
    let plain = |api: &'static [Api], text: &'static str, reason| {
        case(text, api).says(move |_| Message::new(200, text.as_bytes()).header("x-echo", echo()).bytes()).fails(reason)
    };
    vec![
        row(
            "B07",
            [
                contradiction(r#""applyStatus":"SUCCESS","code":"0","success":false"#),
                contradiction(r#""applyStatus":"FAIL","code":"0","success":true"#),
                contradiction(r#""applyStatus":"SUCCESS","code":"400","success":true"#),
                contradiction(r#""applyStatus":"SUCCESS","success":true"#),
                body("a success without a body", &[PayBy], |_| {
                    br#"{"head":{"applyStatus":"SUCCESS","code":"0","msg":"SUCCESS","success":true}}"#.to_vec()
                })
                .fails(Schema),
                plain(&[Bridge], r#"{"response_code":"000"}"#, Schema),
                plain(&[Dialog], r#"{"endUserId":"94770000000"}"#, Schema),
                plain(&[Smilepayz], r#"{"code":"00","message":"success"}"#, Schema),
            ],
        ),
        row(
            "B08",
            [
                replaced("code 99", &[Smilepayz], r#""code":"00""#, r#""code":"99""#).fails(Rejected),
                replaced("code 999", &[Bridge], r#""000""#, r#""999""#).fails(Rejected),
                replaced("code 401", &[Bridge], r#""000""#, r#""401""#).fails(Auth),
                replaced("a secret for a code", &[Smilepayz], r#""code":"00""#, r#""code":"canary-merchant-secret""#)
                    .fails(Rejected),
                plain(
                    &[Smilepayz],
                    r#"{"code":"99","message":"no account 21220030202403071031 for canary-merchant-secret"}"#,
                    Rejected,
                ),
            ],
        ),
        row(
            "B09",
            [
                plain(
                    &[Dialog],
                    r#"{"requestError":{"serviceException":{"messageId":"SVC0002","text":"94770000000"}}}"#,
                    Rejected,
                ),
                plain(
                    &[Dialog],
                    r#"{"requestError":{"policyException":{"messageId":"94770000000","text":"x"}}}"#,
                    Rejected,
                ),
                plain(&[Dialog], r#"{"fault":{"code":900800,"message":"94770000000"}}"#, RateLimited),
                plain(&[Dialog], r#"{"fault":{"code":900908,"message":"94770000000"}}"#, Auth),
                plain(&[Dialog], r#"{"fault":"94770000000"}"#, Rejected),
            ],
        ),
        row(
            "B10",
            [
                contradiction(r#""applyStatus":"SUCCESS","code":0,"success":true"#),
                contradiction(r#""applyStatus":"SUCCESS","code":" 0 ","success":true"#),
                contradiction(r#""applyStatus":"SUCCESS","code":"0000","success":true"#),
                replaced("a number for a code", &[Smilepayz], r#""code":"00""#, r#""code":0"#).fails(Schema),
                replaced("a padded code", &[Smilepayz], r#""code":"00""#, r#""code":" 00 ""#).fails(Rejected),
                replaced("a longer code", &[Smilepayz], r#""code":"00""#, r#""code":"0000""#).fails(Rejected),
                replaced("a number for a code", &[Bridge], r#""000""#, "0").fails(Schema),
                replaced("a padded code", &[Bridge], r#""000""#, r#"" 000 ""#).fails(Rejected),
                replaced("a longer code", &[Bridge], r#""000""#, r#""0000""#).fails(Rejected),
            ],
        )
        .note(
            "where nothing else speaks of success, a code that is nearly the one of a success is an unknown code, and \
             unknown codes are `rejected`; where something does, the two contradict each other, which is `schema`",
        ),
    ]
}

fn figures() -> Vec<Row> {
    let all = |tokens: &[&str], apis, reason| -> Vec<Case> {
        tokens.iter().map(|token| figure(token, apis).fails(reason)).collect()
    };
    let quoted = |texts: &[&str]| -> Vec<Case> {
        texts.iter().map(|text| raw(&format!("\"{text}\""), ALL).fails(Schema)).collect()
    };
    vec![
        row(
            "B11",
            ["NaN", "Infinity", "-Infinity"]
                .map(|token| raw(token, ALL).fails(Malformed))
                .into_iter()
                .chain([raw("1e999", NUMBERS).fails(Schema), raw("1e999", &[Smilepayz]).fails(Malformed)]),
        )
        .note(
            "1e999 is a number by JSON's grammar; where figures are numbers it is read as text and refused by our own \
             grammar, so that it is `schema`",
        ),
        row("B12", quoted(&["NaN", "inf", "1e400", "Infinity", ""])),
        row(
            "B13",
            all(&["1e308", "1e-400", "1e5", "1E5", "0.123456789"], ALL, Schema)
                .into_iter()
                .chain(all(&["0x10", "+5", "01", ".5", "5."], NUMBERS, Malformed))
                .chain(all(&["0x10", "+5", "01", ".5", "5."], &[Smilepayz], Schema)),
        ),
        row(
            "B14",
            [figure("-12.50", ALL).reads("-12.50"), figure("-0", ALL).reads("0"), figure("-0.00", ALL).reads("0.00")],
        )
        .note("there is no `allow_negative`: a negative balance is the one that people most want to hear of"),
        row(
            "B15",
            ["null", "true", "{}", "[]"].map(|token| raw(token, ALL).fails(Schema)).into_iter().chain([
                replaced("no figure", &[Bridge], r#""payout_balance":77.25,"#, "").fails(Schema),
                replaced("no figure", &[Dialog], r#","balance":77.25"#, "").fails(Schema),
                replaced("no figure", &[PayBy], r#""amount":77.25,"#, "").fails(Schema),
                replaced("no figure", &[Smilepayz], r#","value":"77.25""#, "").fails(Schema),
            ]),
        ),
        row(
            "B16",
            [
                raw("\"77.25\"", NUMBERS).fails(Schema),
                raw("77.25", &[Smilepayz]).fails(Schema),
                replaced(
                    "bare figures and no currency",
                    &[Smilepayz],
                    r#"{"currency":"PEN","value":"77.25"}"#,
                    r#""77.25""#,
                )
                .fails(Schema),
            ],
        ),
        row("B17", quoted(&["250,000.00", "٢٥", " 250000", "250000 ", "2.5e5", "1_000", "25\\u0000"])),
        row(
            "B18",
            [
                figure("999999999999999", ALL).reads("999999999999999"),
                figure("9007199254740.993", ALL).reads("9007199254740.993"),
                figure("0.10", ALL).reads("0.10"),
            ]
            .into_iter()
            .chain(all(&["9007199254740993", "1234567890123456789"], ALL, Schema)),
        )
        .note("16 digits and more are refused: above fifteen a double no longer resolves a tenth"),
        row(
            "B19",
            [figure("7725", &[Smilepayz])
                .set(|_, _| Setting { account_keys: ", divisor: 100", ..Setting::default() })
                .from("120450")
                .reads(SECOND)],
        )
        .note("one API leaves the unit open, and has the setting `divisor`; the others write major units"),
        row("B27", [figure("1204500.00", ALL).reads("1204500.00"), figure("0", ALL).reads("0")]).note(
            "a jump is shown as it is and needs no counter: Prometheus has `delta()`, and holding a number back would \
             make it late",
        ),
    ]
}

fn shapes() -> Vec<Row> {
    let good = |api: Api| api.body(&api.token(SECOND), "");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let twice = |from: &'static str, to: &'static str, apis| replaced("a member twice", apis, from, to).fails(Schema);
    vec![
        row(
            "B20",
            [
                twice(r#""payout_balance":77.25"#, r#""payout_balance":77.25,"payout_balance":77.25"#, &[Bridge]),
                twice(r#""payout_balance":77.25"#, r#""payout_balance":77.25,"payout_b\u0061lance":1"#, &[Bridge]),
                twice(r#""balance":77.25"#, r#""balance":77.25,"balance":1"#, &[Dialog]),
                twice(r#""balance":77.25"#, r#""balance":77.25,"b\u0061lance":77.25"#, &[Dialog]),
                twice(r#""amount":77.25"#, r#""amount":77.25,"amount":1"#, &[PayBy]),
                twice(r#""amount":77.25"#, r#""amount":77.25,"\u0061mount":77.25"#, &[PayBy]),
                twice(r#""value":"77.25""#, r#""value":"77.25","value":"1""#, &[Smilepayz]),
                twice(r#""value":"77.25""#, r#""value":"77.25","valu\u0065":"77.25""#, &[Smilepayz]),
            ],
        ),
        row(
            "B21",
            [
                body("an array", ALL, |_| b"[5]".to_vec()).fails(Malformed),
                body("a good body in an array", ALL, move |api| format!("[{}]", good(api)).into_bytes())
                    .fails(Malformed),
                body("null", ALL, |_| b"null".to_vec()).fails(Malformed),
            ],
        ),
        row("B22", [beside("deep nesting that nobody asked for", move || format!(r#""x":{},"#, deep(30_000)))])
            .note("30,000 levels, since 64 KiB hold no more"),
        row("B23", [raw(&deep(1_000), ALL).fails(Schema), raw(&deep(12_000), ALL).fails(Schema)]).note(
            "figures are kept as text until they matter, so that nothing recurses: a list is no figure, however deep",
        ),
        row(
            "B24",
            [
                body("a byte order mark", ALL, move |api| format!("\u{feff}{}", good(api)).into_bytes())
                    .fails(Malformed),
                body("UTF-16", ALL, move |api| good(api).encode_utf16().flat_map(u16::to_le_bytes).collect())
                    .fails(Malformed),
                body("a NUL behind", ALL, move |api| format!("{}\0", good(api)).into_bytes()).fails(Malformed),
                body("garbage behind", ALL, move |api| format!("{}x", good(api)).into_bytes()).fails(Malformed),
                body("two documents", ALL, move |api| good(api).repeat(2).into_bytes()).fails(Malformed),
                body("a comment", ALL, move |api| format!("/**/{}", good(api)).into_bytes()).fails(Malformed),
                body("half of it", ALL, move |api| good(api).as_bytes()[..60].to_vec()).fails(Malformed),
            ],
        ),
        row(
            "B25",
            [
                body("bytes that are not UTF-8", ALL, |api| {
                    let text = api.body(&api.token(SECOND), r#""x":"?","#);
                    text.into_bytes().into_iter().map(|byte| if byte == b'?' { 0xff } else { byte }).collect()
                })
                .fails(Malformed),
                beside("half a surrogate pair in a text that nobody asked for", || r#""x":"\ud800","#.to_owned()),
                replaced("half a surrogate pair in a text that matters", &[PayBy], "AED", "\\ud800").fails(Malformed),
            ],
        )
        .note(
            "half a surrogate pair is JSON by its grammar, and valid UTF-8; in a member that is not read it changes \
             nothing",
        ),
        row(
            "B26",
            [beside("5,000 unknown members", || {
                (0..5000).fold(String::new(), |members, n| members + &format!(r#""x{n}":1,"#))
            })],
        )
        .note("5,000, since 64 KiB hold no more"),
    ]
}
