//! Faults on demand: every recorded exchange, and some trouble that no recording can hold.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::Api;
use super::call::{Answer, json, with};
use super::keys::Keys;
use crate::providers::recorded;

/// The longest that an answer is held back.
pub(super) const MOST_DELAY: Duration = Duration::from_secs(60 * 60);

/// Where `redirect` points. Whoever follows is seen.
pub(super) const REDIRECTED: &str = "/-/sandbox/redirected";

/// Faults beside the recorded cases, as they are written.
const UNRECORDED: [&str; 4] = ["hang", "slow:<seconds>", "drop", "redirect"];

/// What an account answers with instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The last reply of a recorded case.
    Recorded(String),
    /// Nothing, ever.
    Hang,
    /// The right answer, late.
    Slow(Duration),
    /// The connection is closed.
    Drop,
    /// A redirect to this very server.
    Redirect,
}

impl Fault {
    /// The fault with that name.
    pub(super) fn parse(api: Api, name: &str) -> Option<Self> {
        if let Some(seconds) = name.strip_prefix("slow:") {
            return seconds.parse().ok().map(Duration::from_secs).filter(|delay| *delay <= MOST_DELAY).map(Self::Slow);
        }
        match name {
            "hang" => Some(Self::Hang),
            "drop" => Some(Self::Drop),
            "redirect" => Some(Self::Redirect),
            case => recorded::cases(api.name()).contains(&case).then(|| Self::Recorded(case.to_owned())),
        }
    }

    /// All faults of an API, as they are written.
    pub(super) fn names(api: Api) -> Vec<&'static str> {
        UNRECORDED.into_iter().chain(recorded::cases(api.name())).collect()
    }

    /// As it is written.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Recorded(case) => case.clone(),
            Self::Hang => "hang".to_owned(),
            Self::Slow(delay) => format!("slow:{}", delay.as_secs()),
            Self::Drop => "drop".to_owned(),
            Self::Redirect => "redirect".to_owned(),
        }
    }

    /// True if the right answer arrives in the end.
    pub(super) const fn answers(&self) -> bool {
        matches!(self, Self::Slow(_))
    }

    /// What happens instead of `right`.
    pub(super) fn answer(&self, api: Api, keys: &Keys, right: Response<Bytes>) -> Answer {
        match self {
            Self::Recorded(case) => match recorded::replies(api.name(), case).pop() {
                Some(reply) => Answer::Reply(as_ours(api, keys, reply)),
                None => Answer::Close,
            },
            Self::Hang => Answer::Never,
            Self::Slow(delay) => Answer::Late(*delay, right),
            Self::Drop => Answer::Close,
            Self::Redirect => Answer::Reply(with(json(StatusCode::FOUND, Bytes::new()), "location", REDIRECTED)),
        }
    }
}

/// A recorded reply with the platform's own signature in the place of a good one of the recording key; a bad
/// one stays bad. What belongs to the connection is left to the server.
fn as_ours(api: Api, keys: &Keys, mut reply: Response<Bytes>) -> Response<Bytes> {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
        reply.headers_mut().remove(name);
    }
    let good = reply
        .headers()
        .get("sign")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|signature| keys.signed_when_recorded(reply.body(), signature));
    if api == Api::PayBy && good { keys.signed(reply) } else { reply }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::keys::tests::KEYS;

    #[test]
    fn names_are_read_back() {
        for api in Api::ALL {
            for name in Fault::names(api) {
                let name = name.replace("<seconds>", "7");
                assert_eq!(Fault::parse(api, &name).unwrap().name(), name);
            }
        }
        for name in ["", "slow:", "slow:-1", "slow:3601", "slow:1.5", "no-such-case", "../payby"] {
            assert_eq!(Fault::parse(Api::PayBy, name), None, "{name}");
        }
    }

    #[test]
    fn every_recorded_case_has_a_reply() {
        for api in Api::ALL {
            for case in recorded::cases(api.name()) {
                let fault = Fault::parse(api, case).unwrap();
                let answer = fault.answer(api, &KEYS, Response::new(Bytes::new()));
                assert!(matches!(answer, Answer::Reply(_)), "{}/{case}", api.name());
            }
        }
    }

    #[test]
    fn good_recorded_signatures_are_renewed_and_bad_ones_stay() {
        let body = include_bytes!("../../tests/vectors/payby.resp");
        let signature = include_str!("../../tests/vectors/payby.resp.sig.b64").trim();
        let recorded = |body: &'static [u8]| with(json(StatusCode::OK, body), "sign", signature);
        let renewed = as_ours(Api::PayBy, &KEYS, recorded(body));
        assert!(KEYS.platform.verifies(body, renewed.headers()["sign"].to_str().unwrap()));
        let forged = as_ours(Api::PayBy, &KEYS, recorded(&body[1..]));
        assert_eq!(forged.headers()["sign"], signature);
        let unsigned = as_ours(Api::PayBy, &KEYS, json(StatusCode::OK, &body[..]));
        assert!(!unsigned.headers().contains_key("sign"));
    }
}
