//! Replays every recorded exchange of every API: what an adapter sends, what it makes of the answers.
//!
//! A case is a folder `providers/<api>/<case>/` with a `case.yaml` ([`Case`] tells the keys) and the
//! messages in the order in which they cross the wire ([`recorded`] tells the format). What all cases
//! of an API share stands in `providers/<api>/settings.yaml` and `providers/<api>/account.yaml`; a
//! case overrides single keys. Secrets are files of `tests/vectors/`. A reply that its provider signs
//! is signed with the test key:
//!
//! ```text
//! openssl dgst -sha256 -sign tests/vectors/key.pkcs8.pem body | openssl base64 -A
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;

use super::golden_case::{Case, Outcome, PROVIDERS, connect, postmark};
use super::{
    ALL, Api, Connection, Exchange, Login, LoginExchange, LoginStep, Reading, Registered, Renewal, Session, Step,
    recorded,
};
use crate::failure::Failure;
use crate::secret::Secret;

/// The API that is there to be copied: it is not in the registry.
const EXAMPLE: &str = "example";
/// No poll takes more steps than this.
const MOST_STEPS: usize = 16;
/// Headers that the transport writes.
const BOOKKEEPING: [&str; 2] = ["host", "content-length"];
/// Headers that no log may show.
const SENSITIVE: [&str; 3] = ["authorization", "sign", "x-signature"];

/// A request, comparable.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    start: String,
    headers: BTreeSet<(String, String)>,
    body: Vec<u8>,
}

impl From<&Request<Bytes>> for Sent {
    fn from(request: &Request<Bytes>) -> Self {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            start: format!("{} {}", request.method(), request.uri()),
            headers: request.headers().iter().map(header).collect(),
            body: request.body().to_vec(),
        }
    }
}

impl Sent {
    fn parse(text: &'static [u8]) -> Option<Self> {
        let (head, body) = recorded::split(text)?;
        let mut lines = head.lines();
        let (method, target) = lines.next()?.strip_suffix(" HTTP/1.1")?.split_once(' ')?;
        let all = lines
            .map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())))
            .collect::<Option<BTreeSet<_>>>()?;
        let (_, host) = all.iter().find(|(name, _)| name == "host")?;
        let start = format!("{method} https://{host}{target}");
        let headers = all.into_iter().filter(|(name, _)| !BOOKKEEPING.contains(&name.as_str())).collect();
        Some(Self { start, headers, body: body.to_vec() })
    }

    fn differs_from(&self, recorded: &Self) -> Option<String> {
        let mut differences = Vec::new();
        if self.start != recorded.start {
            differences.push(format!("recorded {:?}, sent {:?}", recorded.start, self.start));
        }
        for (name, value) in recorded.headers.difference(&self.headers) {
            differences.push(format!("recorded header `{name}: {value}` was not sent"));
        }
        for (name, value) in self.headers.difference(&recorded.headers) {
            differences.push(format!("sent header `{name}: {value}` is not recorded"));
        }
        if self.body != recorded.body {
            let text = String::from_utf8_lossy;
            differences.push(format!("recorded body {:?}, sent {:?}", text(&recorded.body), text(&self.body)));
        }
        (!differences.is_empty()).then(|| differences.join("\n    "))
    }
}

/// A step of an account or of a login, comparable.
#[derive(Debug)]
enum Next<T> {
    Send(Box<Request<Bytes>>),
    Done(T),
    Over(Renewal, Failure),
    Failed(Failure),
}

impl<T: PartialEq> PartialEq for Next<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Send(mine), Self::Send(theirs)) => Sent::from(&**mine) == Sent::from(&**theirs),
            (Self::Done(mine), Self::Done(theirs)) => mine == theirs,
            (Self::Over(mine, why), Self::Over(theirs, reason)) => mine == theirs && why == reason,
            (Self::Failed(mine), Self::Failed(theirs)) => mine == theirs,
            _ => false,
        }
    }
}

impl From<Result<Step, Failure>> for Next<Reading> {
    fn from(step: Result<Step, Failure>) -> Self {
        match step {
            Ok(Step::Send(request)) => Self::Send(Box::new(request)),
            Ok(Step::Done(reading)) => Self::Done(reading),
            Ok(Step::SessionOver { renewal, failure }) => Self::Over(renewal, failure),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl From<Result<LoginStep, Failure>> for Next<Session> {
    fn from(step: Result<LoginStep, Failure>) -> Self {
        match step {
            Ok(LoginStep::Send(request)) => Self::Send(Box::new(request)),
            Ok(LoginStep::Done(session)) => Self::Done(session),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// The files of a case, by name. They live as long as the test does.
#[derive(Clone, Debug)]
struct Folder(BTreeMap<String, &'static [u8]>);

impl Folder {
    fn read(api: &str, case: &str) -> Self {
        let path = Path::new(PROVIDERS).join(api).join(case);
        let file = |name: String| {
            let content = std::fs::read(path.join(&name)).expect("a case holds files only");
            (name, &*content.leak())
        };
        Self(names(&path).into_iter().map(file).collect())
    }
}

/// The messages of a case while they are replayed.
struct Tape<'a> {
    folder: &'a Folder,
    played: usize,
}

impl Tape<'_> {
    /// What came back, if this is what was sent.
    fn send(&mut self, request: &Request<Bytes>) -> Result<Response<Bytes>, String> {
        self.played += 1;
        let number = self.played;
        let file = |name: &str| self.folder.0.get(name).copied().ok_or_else(|| format!("{name} is missing"));
        for (name, value) in request.headers() {
            if SENSITIVE.contains(&name.as_str()) && !value.is_sensitive() {
                return Err(format!("request {number}: header {name} is not marked as sensitive"));
            }
        }
        let sent = Sent::from(request);
        let name = format!("request-{number}.http");
        let recorded = file(&name).map_err(|missing| format!("{missing}, but this is sent: {sent:?}"))?;
        let recorded = Sent::parse(recorded).ok_or_else(|| format!("{name} is not a recorded request"))?;
        if let Some(difference) = sent.differs_from(&recorded) {
            return Err(format!("{name}:\n    {difference}"));
        }
        let name = format!("reply-{number}.http");
        recorded::reply(file(&name)?).ok_or_else(|| format!("{name} is not a recorded reply"))
    }

    /// Fails if the folder holds a file that this walk did not need.
    fn finish(self) -> Result<(), String> {
        let messages = (1..=self.played).flat_map(|n| [format!("request-{n}.http"), format!("reply-{n}.http")]);
        let used: BTreeSet<_> = messages.chain(["case.yaml".to_owned()]).collect();
        match self.folder.0.keys().find(|name| !used.contains(*name)) {
            Some(unused) => Err(format!("{unused} is not used")),
            None => Ok(()),
        }
    }

    /// Plays steps until one is not a request.
    fn play<T: PartialEq>(&mut self, mut step: impl FnMut(&[Response<Bytes>]) -> Next<T>) -> Result<Next<T>, String> {
        let mut replies = Vec::new();
        for _ in 0..MOST_STEPS {
            let next = step(&replies);
            if next != step(&replies) {
                return Err(format!("the step after {} replies is not deterministic", replies.len()));
            }
            match next {
                Next::Send(request) => replies.push(self.send(&request)?),
                end @ (Next::Done(_) | Next::Over(..) | Next::Failed(_)) => return Ok(end),
            }
        }
        Err(format!("no end after {MOST_STEPS} steps"))
    }

    fn log_in(
        &mut self,
        login: &dyn Login,
        at: Timestamp,
        renew: Option<&Session>,
    ) -> Result<Result<Session, Failure>, String> {
        match self.play(|replies| login.step(&LoginExchange { at, renew, replies }).into())? {
            Next::Done(session) => Ok(Ok(session)),
            Next::Failed(failure) => Ok(Err(failure)),
            Next::Send(_) | Next::Over(..) => Err("a login ended strangely".to_owned()),
        }
    }

    /// The whole poll, with the sessions handled as the gate does it. Every session that was in use
    /// is left in `sessions`.
    fn poll(
        &mut self,
        connection: &Connection,
        case: &Case,
        sessions: &mut Vec<Session>,
    ) -> Result<Result<Reading, Failure>, String> {
        let at: Timestamp = case.at.parse().map_err(|_| "`at` is not a timestamp")?;
        let previous = case.previous.as_deref().map(postmark);
        let provider = &connection.accounts[0];
        if case.renew {
            sessions.push(Session {
                token: Secret::new("expired-token"),
                refresh: Some(Secret::new("refresh-0")),
                lifetime: Duration::from_secs(3600),
            });
        } else if let Some(login) = &connection.login {
            match self.log_in(login.as_ref(), at, None)? {
                Ok(session) => sessions.push(session),
                Err(failure) => return Ok(Err(failure)),
            }
        }
        let mut renewed = Vec::new();
        loop {
            let session = sessions.last().cloned();
            let end = self.play(|replies| {
                let (session, pinned) = (session.as_ref(), case.pinned.as_deref());
                let exchange = Exchange { at, session, pinned, previous: previous.as_ref(), replies };
                provider.step(&exchange).into()
            })?;
            let (renewal, failure) = match end {
                Next::Done(reading) => return Ok(Ok(reading)),
                Next::Failed(failure) => return Ok(Err(failure)),
                Next::Over(renewal, failure) => (renewal, failure),
                Next::Send(_) => return Err("a poll ended strangely".to_owned()),
            };
            let login = connection.login.as_ref().ok_or("a session is over, but there is no login")?;
            if renewed.contains(&renewal) {
                return Ok(Err(failure));
            }
            renewed.push(renewal);
            let renew = match renewal {
                Renewal::Refresh => session.as_ref(),
                Renewal::LogIn => None,
            };
            match self.log_in(login.as_ref(), at, renew)? {
                Ok(session) => sessions.push(session),
                Err(failure) => return Ok(Err(failure)),
            }
        }
    }
}

/// Replays one case; the error says what differs.
fn replay(api: &dyn Api, folder: &Folder) -> Result<(), String> {
    let text = folder.0.get("case.yaml").ok_or("case.yaml is missing")?;
    let case: Case = serde_yaml::from_slice(text).map_err(|error| format!("case.yaml: {error}"))?;
    if case.about.is_empty() {
        return Err("case.yaml: `about` is empty".to_owned());
    }
    let (connection, wallets, secrets) = connect(api, &case)?;
    let mut tape = Tape { folder, played: 0 };
    let mut sessions = Vec::new();
    let ended = tape.poll(&connection, &case, &mut sessions)?;
    let (outcome, shown) = match &ended {
        Ok(reading) => {
            let read: Vec<_> = reading.balances().iter().map(|b| (b.wallet, b.currency.clone())).collect();
            if read != wallets {
                return Err(format!("announced wallets {wallets:?}, read {read:?}"));
            }
            (Outcome::from(reading), String::new())
        }
        Err(failure) => {
            let tokens = sessions.iter().flat_map(|s| [Some(&s.token), s.refresh.as_ref()]).flatten();
            let hidden: Vec<_> = secrets.iter().chain(tokens).map(Secret::expose).collect();
            let private = connection.accounts[0].private();
            let leaked = hidden.iter().chain(&private).flat_map(|text| text.lines()).map(str::trim);
            if let Some(text) = leaked.filter(|text| !text.is_empty()).find(|text| failure.detail.contains(text)) {
                return Err(format!("the failure's text {:?} shows {text:?}", failure.detail));
            }
            (Outcome::from(failure), format!("\n    {}", failure.detail))
        }
    };
    if outcome != case.outcome {
        return Err(format!("the outcome differs\n    recorded {:?}\n    replayed {outcome:?}{shown}", case.outcome));
    }
    tape.finish()
}

/// What stands in a folder, sorted.
fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn cases(api: &str) -> Vec<String> {
    let path = Path::new(PROVIDERS).join(api);
    names(&path).into_iter().filter(|name| path.join(name).is_dir()).collect()
}

#[test]
fn every_case_of_every_api_replays() {
    let mut differences = Vec::new();
    let mut count = 0;
    for api in ALL {
        let name = api.facts().name;
        for case in cases(name) {
            count += 1;
            if let Err(difference) = replay(*api, &Folder::read(name, &case)) {
                differences.push(format!("{name}/{case}: {difference}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {count} cases:\n\n{}\n", differences.len(), differences.join("\n\n"));
}

#[test]
fn every_api_is_recorded_and_every_recording_has_its_api() {
    for api in ALL {
        let name = api.facts().name;
        assert!(cases(name).contains(&"success".to_owned()), "providers/{name}/success/ is missing");
        let loose: Vec<_> = names(&Path::new(PROVIDERS).join(name))
            .into_iter()
            .filter(|file| !cases(name).contains(file) && !["account.yaml", "settings.yaml"].contains(&file.as_str()))
            .collect();
        assert!(loose.is_empty(), "providers/{name}/ holds files of no case: {loose:?}");
    }
    for folder in cases("").iter().filter(|folder| *folder != EXAMPLE) {
        assert!(super::find(folder).is_some(), "providers/{folder}/ belongs to no API");
    }
}

#[test]
fn the_example_of_the_guide_replays() {
    let api = &Registered::<super::example::Example>::NEW;
    assert!(!cases(EXAMPLE).is_empty());
    for case in cases(EXAMPLE) {
        assert_eq!(replay(api, &Folder::read(EXAMPLE, &case)), Ok(()), "{case}");
    }
}

#[test]
fn a_recording_that_differs_is_noticed() {
    let api = super::find("payby").unwrap();
    let folder = Folder::read("payby", "success");
    let changed = |file: &str, from: &str, to: &str| {
        let mut folder = folder.clone();
        let text = std::str::from_utf8(folder.0[file]).unwrap();
        assert!(text.contains(from), "{file} has {from:?}");
        folder.0.insert(file.to_owned(), text.replacen(from, to, 1).leak().as_bytes());
        replay(api, &folder).err().unwrap_or_default()
    };
    assert_eq!(replay(api, &folder), Ok(()));
    for (file, from, to, expected) in [
        (
            "request-1.http",
            "POST",
            "PUT",
            "recorded \"PUT https://api.payby.com/sgs/api/member/getBalance\", sent \"POST",
        ),
        ("request-1.http", "getBalance", "getBalance?x=1", "getBalance?x=1\", sent"),
        ("request-1.http", "api.payby.com", "api.example", "recorded \"POST https://api.example/"),
        ("request-1.http", "Content-Language: en\n", "", "sent header `content-language: en` is not recorded"),
        ("request-1.http", "\n\n", "\nX-More: 1\n\n", "recorded header `x-more: 1` was not sent"),
        ("request-1.http", "645}", "646}", "recorded body"),
        ("request-1.http", " HTTP/1.1", "", "request-1.http is not a recorded request"),
        ("reply-1.http", "HTTP/1.1 200", "HTTP/1.1 x", "reply-1.http is not a recorded reply"),
        ("reply-1.http", "897993.88", "897993.80", "replayed Outcome { reading: None, failure: Some(\"integrity\")"),
        ("case.yaml", "897993.88", "897993.880", "the outcome differs"),
        ("case.yaml", "identity: \"2", "identity: \"3", "the outcome differs"),
        ("case.yaml", "about:", "abuot:", "case.yaml: "),
        ("case.yaml", "outcome:", "account: { currency: XXX }\noutcome:", "the settings are refused"),
    ] {
        let difference = changed(file, from, to);
        assert!(difference.contains(expected), "{file}, {from:?} → {to:?}: {difference}");
    }
    let mut folder = folder;
    folder.0.insert("reply-2.http".to_owned(), b"");
    assert_eq!(replay(api, &folder), Err("reply-2.http is not used".to_owned()));
}
