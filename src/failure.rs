//! Why a poll brought no balance: a closed reason for machines, a sentence for people.

use std::fmt;
use std::time::Duration;

/// The closed set of reasons. It is the label `reason`, the log field and the key to patience.
///
/// Exactly one per failed poll: the first gate that fails, in the order of the poll itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorReason {
    /// No usable address of the provider's host in time.
    Dns,
    /// No connection to the provider's host, or it was closed before an answer.
    Connect,
    /// No TLS session, or the peer could not be verified.
    Tls,
    /// Connected, but no complete answer by the deadline.
    Timeout,
    /// The provider refused the credentials or the signature.
    Auth,
    /// The provider asked us to slow down.
    RateLimited,
    /// The provider answered with a redirect, which is never followed.
    Redirect,
    /// The provider refused the request for another reason.
    Rejected,
    /// The provider says that it is out of order.
    Unavailable,
    /// The answer is not a complete JSON object of at most 64 KiB over valid HTTP.
    Malformed,
    /// The answer is JSON, but not of the documented shape, or contradicts itself.
    Schema,
    /// The answer is about another account or currency than was asked for.
    Mismatch,
    /// The signature of the answer is missing or wrong.
    Integrity,
    /// The provider refused our time of day.
    Clock,
    /// The exporter itself failed.
    Internal,
}

impl ErrorReason {
    /// All of them, in the order of the gates.
    pub const ALL: [Self; 15] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Auth,
        Self::RateLimited,
        Self::Redirect,
        Self::Rejected,
        Self::Unavailable,
        Self::Malformed,
        Self::Schema,
        Self::Mismatch,
        Self::Integrity,
        Self::Clock,
        Self::Internal,
    ];

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::Redirect => "redirect",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Malformed => "malformed",
            Self::Schema => "schema",
            Self::Mismatch => "mismatch",
            Self::Integrity => "integrity",
            Self::Clock => "clock",
            Self::Internal => "internal",
        }
    }

    /// What it means, for the reference and for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Dns => "the name of the provider's host could not be resolved in time",
            Self::Connect => "no connection to the provider, or it was closed before an answer",
            Self::Tls => "no TLS session, or the provider's certificate could not be verified",
            Self::Timeout => "connected, but no complete answer by the deadline",
            Self::Auth => "the provider refused the credentials or the signature",
            Self::RateLimited => "the provider asked to slow down",
            Self::Redirect => "the provider answered with a redirect; redirects are never followed",
            Self::Rejected => "the provider refused the request for another reason",
            Self::Unavailable => "the provider says that it is out of order",
            Self::Malformed => "the answer is not one complete JSON object of at most 64 KiB",
            Self::Schema => "the answer is JSON, but its fields are missing, wrong or contradict each other",
            Self::Mismatch => "the answer is about another account or currency than was asked for",
            Self::Integrity => "the signature of the answer is missing or wrong",
            Self::Clock => "the provider refused our time of day",
            Self::Internal => "the exporter itself failed",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Dns => "check the resolver and the provider's host name",
            Self::Connect => "check routes, firewalls, the proxy if there is one, and the provider's IP allow-list",
            Self::Tls => "check CA certificates, the provider's certificate and the local clock",
            Self::Timeout => "check the provider's latency; raise `timeout` if it is always slow",
            Self::Auth => "check or rotate the credentials; the provider may have locked them",
            Self::RateLimited => "raise intervals or lower `rate_limit` for this provider",
            Self::Redirect => "check `base_url`; an unexpected redirect can also be a hijack",
            Self::Rejected => "check the account's settings with the provider",
            Self::Unavailable => "wait, or ask the provider",
            Self::Malformed => "look for a proxy or portal in between; run `poll ACCOUNT --trace`",
            Self::Schema => "the provider's API may have changed; run `poll ACCOUNT --trace`",
            Self::Mismatch => "compare the configured account with the provider's portal at once",
            Self::Integrity => "treat as a security incident until the provider's key is checked",
            Self::Clock => "synchronise this machine's clock (NTP)",
            Self::Internal => "look at the exporter's log and resources",
        }
    }
}

impl fmt::Display for ErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One failed poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For machines.
    pub reason: ErrorReason,
    /// For people: which operation failed on what. Text of the provider stands in it only through
    /// [`quoted`]; a secret, a subscriber's number or a URL never does.
    pub detail: String,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
    /// The trouble may be over in a second: one early retry is worth a request.
    pub fleeting: bool,
}

impl Failure {
    /// A failure for `reason`, with a sentence without capital and period.
    pub fn new(reason: ErrorReason, detail: impl Into<String>) -> Self {
        let fleeting =
            matches!(reason, ErrorReason::Dns | ErrorReason::Connect | ErrorReason::Tls | ErrorReason::Timeout);
        Self { reason, detail: detail.into(), retry_after: None, fleeting }
    }

    /// The same, with the provider's wish when to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same, as trouble that may be over in a second.
    #[must_use]
    pub fn fleeting(mut self) -> Self {
        self.fleeting = true;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Failure {}

/// The same for a text that may echo what is nobody's business: each of `hidden` is masked first.
pub fn quoted_without<'a>(text: &str, hidden: impl IntoIterator<Item = &'a str>) -> String {
    let hidden = hidden.into_iter().filter(|hidden| !hidden.is_empty());
    quoted(&hidden.fold(text.to_owned(), |text, hidden| text.replace(hidden, "***")))
}

/// The longest piece of a provider's text that is shown.
const MOST_QUOTED: usize = 64;
/// The longest word in it that is. No language has longer ones, but signatures, tokens and keys are.
const LONGEST_WORD: usize = 20;

/// A provider's text, fit for a log line: printable ASCII, capped, in quotes, without what may be a credential.
///
/// Anything else becomes `?`, so that no reply can forge a line or colour a terminal.
pub fn quoted(text: &str) -> String {
    // no token is in capitals alone, and names of errors are
    let is_name = |word: &str| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let is_long = |word: &str| word.chars().nth(LONGEST_WORD).is_some() && !is_name(word);
    let shown = text.split(' ').map(|word| if is_long(word) { "***" } else { word });
    // what follows the last that is shown is not looked at: a reply can be long
    let shown = shown.take(MOST_QUOTED + 2).collect::<Vec<_>>().join(" ");
    let printable = |c| if c == '"' || !(' '..='~').contains(&c) { '?' } else { c };
    let mut cut: String = shown.chars().take(MOST_QUOTED).map(printable).collect();
    if shown.chars().nth(MOST_QUOTED).is_some() {
        cut.push_str("...");
    }
    format!("\"{cut}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pinned() {
        let labels: Vec<_> = ErrorReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(
            labels,
            [
                "dns",
                "connect",
                "tls",
                "timeout",
                "auth",
                "rate_limited",
                "redirect",
                "rejected",
                "unavailable",
                "malformed",
                "schema",
                "mismatch",
                "integrity",
                "clock",
                "internal"
            ]
        );
    }

    #[test]
    fn all_is_complete_and_ordered() {
        for (index, reason) in ErrorReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        assert_eq!(ErrorReason::Internal as usize + 1, ErrorReason::ALL.len());
    }

    #[test]
    fn provider_text_cannot_forge_a_line() {
        assert_eq!(quoted("a\nlevel=error \u{1b}[31m\"x\""), "\"a?level=error ?[31m?x?\"");
        assert_eq!(quoted(&"x ".repeat(100)).len(), 64 + 2 + 3);
        assert_eq!(quoted(&" ".repeat(100)).len(), 64 + 2 + 3);
        assert_eq!(quoted("درهم"), "\"????\"");
        assert_eq!(quoted("bad token eyJhbGciOiJSUzI1NiIsIn, sorry"), "\"bad token *** sorry\"");
        assert_eq!(quoted(&"x".repeat(20)), format!("\"{}\"", "x".repeat(20)));
        assert_eq!(quoted(&"x".repeat(21)), "\"***\"");
        assert_eq!(quoted_without("no account 9988 for s3cret", ["9988", "s3cret", ""]), "\"no account *** for ***\"");
    }
}
