//! Why nothing is asked right now: a closed set, for machines.

/// What an account, or a whole provider, waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The account was polled not long ago: its interval is not over.
    Interval,
    /// The last poll met fleeting trouble, and is made up for shortly.
    Retry,
    /// Polls fail, and each failure makes the next wait longer.
    Backoff,
    /// The provider refused too often in a row; more tries could lock us out.
    Refused,
    /// The provider asked for a pause.
    Throttled,
    /// The rate limit is used up.
    Limit,
}

impl Cause {
    /// As the label `cause` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Retry => "retry",
            Self::Backoff => "backoff",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Limit => "limit",
        }
    }

    /// What it means, for people: the end of a sentence that begins "nothing is asked because".
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Interval => "the account was polled not long ago",
            Self::Retry => "the last poll met fleeting trouble, and is made up for shortly",
            Self::Backoff => "polls fail, and each failure makes the wait longer",
            Self::Refused => "the provider refused several times in a row, and more tries could lock the credentials",
            Self::Throttled => "the provider asked for a pause",
            Self::Limit => "the rate limit is used up",
        }
    }
}
