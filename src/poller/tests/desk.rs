//! Where a provider entry logs in: a token endpoint that remembers what it gave to whom, and judges what it is asked.
//!
//! Its tokens name their entry, so that one in the wrong hands is seen. A refresh token serves once, unless the style
//! of the desk is another; what was replaced by a token that lies safely on the disk must never be sent again.

use std::time::Duration;

use super::machine::Asked;
use super::stage::secs;

/// Whoever was on the way when the secrets changed had the old ones, and a session of those is not kept.
const EXCUSED: Duration = secs(30);

/// How refresh tokens are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Each serves once.
    Strict,
    /// The one before serves as well, until an access token that came with the new one has been used.
    Lenient,
    /// The first serves for ever.
    Lasting,
}

/// What was handed out at one login.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each has happened to it or not, in any combination")]
struct Issued {
    /// Which refresh token came with it.
    refresh: usize,
    /// When it was asked for, and in which boot.
    asked: Asked,
    /// When it ends, by the clock of the one who asked.
    expires: Duration,
    /// The answer has arrived.
    delivered: bool,
    /// The provider has said that it is over.
    ended: bool,
    used: bool,
    /// It lay on the disk for good.
    kept: bool,
}

/// One token endpoint.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) name: &'static str,
    pub(super) style: Style,
    lifetime: Duration,
    issued: Vec<Issued>,
    /// Whether each refresh token has been used.
    spent: Vec<bool>,
    /// The refresh token in the configuration, if that is how this entry logs in.
    pub(super) configured: Option<usize>,
    /// The credentials are refused.
    pub(super) refusing: bool,
    pub(super) in_flight: u32,
    /// Refusals in a row in this life, and when the last one was heard.
    refusals: (u32, Duration),
    /// When the secrets were replaced last. What is on the way since before that says nothing of the new ones.
    secrets_since: Duration,
    /// The last answer was that the refresh token is not known.
    grant_refused: bool,
    /// After new secrets, or damage to a file, what was handed out before says nothing for a while.
    excused_until: Duration,
    /// In which life there were new secrets last.
    replaced_in: u64,
    pub(super) logins: u64,
    pub(super) refreshes: u64,
    /// Refreshes with a token that had been used, all of them rightly.
    pub(super) repeated: u64,
    pub(super) refused: u64,
}

/// What the desk answers.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// The session in it.
    pub(super) number: Option<usize>,
}

impl Desk {
    pub(super) fn new(name: &'static str, style: Style, lifetime: u64, by_refresh_token: bool) -> Self {
        let mut desk = Self {
            name,
            style,
            lifetime: secs(lifetime),
            issued: Vec::new(),
            spent: Vec::new(),
            configured: None,
            refusing: false,
            in_flight: 0,
            refusals: (0, Duration::ZERO),
            secrets_since: Duration::ZERO,
            grant_refused: false,
            excused_until: Duration::ZERO,
            replaced_in: 0,
            logins: 0,
            refreshes: 0,
            repeated: 0,
            refused: 0,
        };
        if by_refresh_token {
            desk.operator_logs_in();
        }
        desk
    }

    /// Somebody puts a refresh token that was never used into the configuration.
    pub(super) fn operator_logs_in(&mut self) {
        self.spent.push(false);
        self.configured = Some(self.spent.len() - 1);
    }

    /// The exporter was given the secrets anew, in the same life.
    pub(super) fn reconnected(&mut self, now: Duration) {
        self.secrets_since = now;
        self.refusals.0 = 0;
    }

    /// And what it had obtained with the old ones is good for nothing.
    pub(super) fn begins_anew(&mut self, now: Duration, life: u64) {
        self.excused_until = now + EXCUSED;
        self.replaced_in = life;
    }

    /// The configuration has changed: an entry that comes back begins anew.
    pub(super) fn reloaded(&mut self) {
        self.refusals.0 = 0;
    }

    /// Nobody can say which tokens are on the disk.
    pub(super) fn spoiled(&mut self, now: Duration) {
        self.excused_until = now + EXCUSED;
        for issued in &mut self.issued {
            issued.kept = false;
        }
    }

    /// A life is over: what lies on the disk stays there.
    pub(super) fn life_ends(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.refusals.0 = 0;
        self.grant_refused = false;
        let Self { name, issued, .. } = self;
        // of those before the last few it has been known for long
        for (number, issued) in issued.iter_mut().enumerate().rev().take(3) {
            issued.kept |= is_kept(&access(name, number));
        }
    }

    /// Someone asks for tokens.
    pub(super) fn ask(&mut self, form: &[(String, String)], asked: Asked, is_troubled: bool) -> Answer {
        let name = self.name;
        assert!(self.in_flight == 0 || asked.life == self.replaced_in, "{name}: two log-ins at once");
        if self.refusals.0 >= 3 && asked.life != self.replaced_in {
            let since = asked.at.saturating_sub(self.refusals.1);
            assert!(since >= secs(300), "{name}: after {} refusals it tries again in {since:?}", self.refusals.0);
        }
        self.judge_need(asked);
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let presented = match field("grant_type").unwrap() {
            "password" => {
                assert_eq!(field("password"), Some(&*format!("password of {name}")), "somebody else's password");
                None
            }
            "refresh_token" => {
                let token = field("refresh_token").unwrap();
                let number = token.strip_prefix(&*format!("{name}-r-")).and_then(|number| number.parse().ok());
                Some(number.unwrap_or_else(|| panic!("{name} is sent {token}")))
            }
            other => panic!("{name}: {other}"),
        };
        if let Some(number) = presented {
            self.judge_repetition(number, asked);
        }
        self.grant_refused = false;
        if self.refusing {
            self.refused += 1;
            return Answer { status: 401, body: r#"{"error":"invalid_client"}"#.to_owned(), number: None };
        }
        if is_troubled {
            return Answer { status: 503, body: "later".to_owned(), number: None };
        }
        let refresh = match presented {
            Some(number) if !self.serves(number) => {
                self.refused += 1;
                self.grant_refused = true;
                return Answer { status: 400, body: r#"{"error":"invalid_grant"}"#.to_owned(), number: None };
            }
            Some(number) if self.style == Style::Lasting => number,
            _ => {
                self.spent.push(false);
                self.spent.len() - 1
            }
        };
        if let Some(number) = presented {
            self.repeated += u64::from(self.spent[number]);
            self.spent[number] = self.style != Style::Lasting;
            self.refreshes += 1;
        } else {
            self.logins += 1;
        }
        let expires = asked.at + self.lifetime;
        self.issued.push(Issued { refresh, asked, expires, delivered: false, ended: false, used: false, kept: false });
        let number = self.issued.len() - 1;
        let body = format!(
            r#"{{"token_type":"bearer","expires_in":{},"access_token":"{}","refresh_token":"{name}-r-{refresh}"}}"#,
            self.lifetime.as_secs(),
            access(name, number)
        );
        Answer { status: 200, body, number: Some(number) }
    }

    /// The answer to what was asked has arrived, at this time.
    pub(super) fn delivered(&mut self, answer: &Answer, asked: Duration, at: Duration) {
        if let Some(number) = answer.number {
            self.issued[number].delivered = true;
            self.refusals.0 = 0;
        } else if answer.status == 401 && asked >= self.secrets_since {
            self.refusals = (self.refusals.0 + 1, at);
        }
    }

    /// No login without a reason: while there is a session that is good, and known to be so, it is used.
    fn judge_need(&self, asked: Asked) {
        let Some((number, last)) = self.issued.iter().enumerate().rev().find(|(_, issued)| issued.delivered) else {
            return;
        };
        // a session from before a reboot is renewed, since the boot clock began anew
        let known = last.asked.boot == asked.boot && (last.asked.life == asked.life || last.kept);
        let known = known && last.asked.at >= self.excused_until && asked.life != self.replaced_in;
        let good = !last.ended && asked.at + secs(1) < last.expires;
        assert!(
            !known || !good,
            "{}: a login although session {number} is good for another {:?}",
            self.name,
            last.expires.saturating_sub(asked.at)
        );
    }

    /// What was replaced by a session that lay on the disk is gone for good. But the configured one is all that is
    /// left when the kept one has just been refused.
    fn judge_repetition(&self, number: usize, asked: Asked) {
        let is_last_resort = self.grant_refused && self.configured == Some(number);
        if !self.spent[number] || is_last_resort || asked.life == self.replaced_in {
            return;
        }
        let later = self.issued.iter().rposition(|issued| issued.kept && issued.refresh > number);
        assert!(
            later.is_none(),
            "{}: refresh token {number} is sent although it was spent, and session {later:?} was kept",
            self.name
        );
    }

    fn serves(&self, number: usize) -> bool {
        let successors = || self.issued.iter().filter(|issued| issued.refresh > number);
        match self.style {
            Style::Lasting => true,
            Style::Strict => !self.spent[number],
            Style::Lenient => !self.spent[number] || successors().all(|issued| !issued.used),
        }
    }

    /// True if a request may pass with this access token. `is_kept` is asked when it comes for the first time: by
    /// then it lies on the disk, unless the disk has refused something since.
    pub(super) fn admits(&mut self, token: &str, now: Duration, refusals: u64, is_kept: impl Fn(&str) -> bool) -> bool {
        let name = self.name;
        let number = token.strip_prefix(&*format!("{name}-a-")).and_then(|number| number.parse::<usize>().ok());
        let issued = number.and_then(|number| self.issued.get_mut(number));
        let issued = issued.unwrap_or_else(|| panic!("{name} is sent {token}"));
        if !std::mem::replace(&mut issued.used, true) {
            issued.kept = is_kept(token);
            assert!(
                issued.kept || refusals > issued.asked.disk_refusals || issued.asked.life == self.replaced_in,
                "{name}: {token} is used before it is kept"
            );
        }
        !issued.ended && now < issued.expires
    }

    /// From now on this access token is not good any more.
    pub(super) fn end(&mut self, token: &str) {
        let number = token.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
        if let Some(issued) = number.and_then(|number| self.issued.get_mut(number)) {
            issued.ended = true;
        }
    }

    /// The access token of the session that was given in this life, if that was so long ago.
    pub(super) fn held_for(&self, span: Duration, life: u64, now: Duration) -> Option<String> {
        let (number, last) = self.issued.iter().enumerate().rev().find(|(_, issued)| issued.delivered)?;
        let long_ago = last.asked.life == life && life != self.replaced_in && now.saturating_sub(last.asked.at) > span;
        long_ago.then(|| access(self.name, number))
    }
}

fn access(name: &str, number: usize) -> String {
    format!("{name}-a-{number}")
}
