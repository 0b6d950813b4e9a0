//! The table: what a provider does, to whom, which reason that has, and what stays on `/metrics`.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use balance_exporter::failure::ErrorReason;

use crate::api::{Api, FIRST, SECOND, token_for};
use crate::scene::{ACCOUNT, STALE_AFTER, Scene, Setting, World, amounts, no_secret};
use crate::server::{Act, Behaviour, say};

/// The client may have this much in buffers, its own and the system's, of a body that it refuses.
const MOST_TAKEN: usize = 10 * 1024 * 1024;

/// One row of the catalogue.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// What the table decides otherwise than the catalogue, or leaves out, and why.
    pub(crate) note: &'static str,
    pub(crate) trials: Vec<Trial>,
}

pub(crate) enum Trial {
    Case(Case),
    /// What does not fit the form of a case.
    Shown(Shown),
}

pub(crate) type Showing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) apis: &'static [Api],
    pub(crate) show: fn(Arc<World>, Api) -> Showing,
}

/// A row with these cases.
pub(crate) fn row(id: &'static str, cases: impl IntoIterator<Item = Case>) -> Row {
    Row { id, note: "", trials: cases.into_iter().map(Trial::Case).collect() }
}

/// A row that cannot be tried here.
pub(crate) fn left_out(id: &'static str, why: &'static str) -> Row {
    Row { id, note: why, trials: Vec::new() }
}

impl Row {
    pub(crate) fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    pub(crate) fn shown(
        mut self,
        name: &'static str,
        apis: &'static [Api],
        show: fn(Arc<World>, Api) -> Showing,
    ) -> Self {
        self.trials.push(Trial::Shown(Shown { name, apis, show }));
        self
    }
}

/// What becomes of the second poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It fails: the number of the first one stays while it is fresh, and no longer.
    Fails(ErrorReason),
    /// It brings this number.
    Reads(&'static str),
}

/// Where a behaviour takes place.
pub(crate) struct Place<'a> {
    pub(crate) world: &'a World,
    pub(crate) api: Api,
    pub(crate) host: &'a str,
    pub(crate) address: SocketAddr,
}

type Change = Box<dyn Fn(&Place<'_>, Behaviour) -> Behaviour + Send + Sync>;
type Set = Box<dyn Fn(&World, Api) -> Setting + Send + Sync>;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) apis: &'static [Api],
    set: Set,
    /// Before the first poll.
    first: Change,
    /// The number that it brings.
    figure: &'static str,
    /// Between the polls.
    fault: Change,
    pub(crate) then: Then,
    /// Inquiries and logins of the second poll.
    sends: (usize, usize),
    renews: bool,
    hurried: bool,
    brief: bool,
    retry_after: Option<u64>,
    skew: Option<i64>,
    lifetime: Option<u64>,
}

pub(crate) fn case(name: impl Into<String>, apis: &'static [Api]) -> Case {
    Case {
        name: name.into(),
        apis,
        set: Box::new(|_, _| Setting::default()),
        first: Box::new(|_, behaviour| behaviour),
        figure: FIRST,
        fault: Box::new(|_, behaviour| behaviour),
        then: Then::Reads(SECOND),
        sends: (1, 0),
        renews: false,
        hurried: false,
        brief: false,
        retry_after: None,
        skew: None,
        lifetime: None,
    }
}

impl Case {
    pub(crate) fn set(mut self, set: impl Fn(&World, Api) -> Setting + Send + Sync + 'static) -> Self {
        self.set = Box::new(set);
        self
    }

    /// Takes place over TLS.
    pub(crate) fn tls(self) -> Self {
        self.set(|_, _| Setting { tls: true, ..Setting::default() })
    }

    /// What the provider does differently from the beginning.
    pub(crate) fn first(mut self, change: impl Fn(&Place<'_>, Behaviour) -> Behaviour + Send + Sync + 'static) -> Self {
        self.first = Box::new(change);
        self
    }

    /// The number of the first poll, if it is another one.
    pub(crate) fn from(mut self, figure: &'static str) -> Self {
        self.figure = figure;
        self
    }

    /// What the provider does differently from the second poll on.
    pub(crate) fn does(mut self, change: impl Fn(&Place<'_>, Behaviour) -> Behaviour + Send + Sync + 'static) -> Self {
        self.fault = Box::new(change);
        self
    }

    /// What each inquiry is answered with.
    pub(crate) fn answers(self, acts: impl Fn(Api) -> Vec<Act> + Send + Sync + 'static) -> Self {
        self.does(move |place, behaviour| behaviour.answering(acts(place.api)))
    }

    /// The same, in whole bytes.
    pub(crate) fn says(self, bytes: impl Fn(Api) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.answers(move |api| vec![say(bytes(api))])
    }

    pub(crate) const fn fails(mut self, reason: ErrorReason) -> Self {
        self.then = Then::Fails(reason);
        self
    }

    pub(crate) const fn reads(mut self, figure: &'static str) -> Self {
        self.then = Then::Reads(figure);
        self
    }

    pub(crate) const fn sends(mut self, inquiries: usize, logins: usize) -> Self {
        self.sends = (inquiries, logins);
        self
    }

    /// With Dialog the answer ends the session, which is renewed once.
    pub(crate) const fn renews(mut self) -> Self {
        self.renews = true;
        self
    }

    /// The second poll has a second, since it will run out of time.
    pub(crate) const fn hurried(mut self) -> Self {
        self.hurried = true;
        self
    }

    /// The session of the first poll is over before the second.
    pub(crate) const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// The provider named so many seconds.
    pub(crate) const fn waits(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The exposition tells that the provider's clock is off by so many seconds.
    pub(crate) const fn skewed(mut self, seconds: i64) -> Self {
        self.skew = Some(seconds);
        self
    }

    /// The exposition tells that the session lasts so many seconds.
    pub(crate) const fn lasts(mut self, seconds: u64) -> Self {
        self.lifetime = Some(seconds);
        self
    }

    /// Tries it with one API.
    pub(crate) async fn run(&self, world: &World, api: Api) -> Result<(), String> {
        let setting = (self.set)(world, api);
        let tls = setting.tls.then(|| world.certificates.good());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut good = Behaviour { tls: tls.clone(), ..Behaviour::good(api, self.figure) };
        if self.brief {
            good = good.logging_in(vec![say(token_for(30).bytes())]);
        }
        let good = (self.first)(&Place { world, api, host: "", address: nowhere }, good);
        let mut scene = Scene::open(world, api, setting, good).await?;
        let status = scene.poll().await?;
        if let Some((_, failure)) = status.last_failure.as_deref() {
            return Err(format!("the first poll fails: {failure}"));
        }
        let told = scene.scrape()?;
        let shown = if self.figure == "120450" { FIRST } else { self.figure };
        equal("the first number", scene.figure(&told), Some(shown))?;

        let place = Place { world, api, host: &scene.host.clone(), address: scene.server.address };
        let fault = (self.fault)(&place, Behaviour { tls, ..Behaviour::good(api, SECOND) });
        scene.server.behave(fault);
        if self.hurried {
            scene.reload("1s").await?;
        }
        let status = scene.poll().await?;
        let failure = status.last_failure.as_deref().map(|(_, failure)| failure);
        if let Some(failure) = failure {
            no_secret("the failure", &format!("{failure:?}"))?;
        }
        let told = scene.scrape().map_err(|why| format!("{why}; {failure:?}"))?;
        let why = |what: &str| format!("{what} ({failure:?})");
        match self.then {
            Then::Fails(reason) => {
                equal(&why("the reason"), failure.map(|failure| failure.reason), Some(reason))?;
                equal(
                    "the wish to wait",
                    failure.and_then(|f| f.retry_after),
                    self.retry_after.map(Duration::from_secs),
                )?;
                equal("the number after a failure", scene.figure(&told), Some(shown))?;
            }
            Then::Reads(figure) => equal(&why("the number"), scene.figure(&told), Some(figure))?,
        }
        let failed = matches!(self.then, Then::Fails(_));
        for reason in ErrorReason::ALL {
            let counted =
                told.value("balance_poll_failures_total", &[("account", ACCOUNT), ("reason", reason.as_str())]);
            let expected = if self.then == Then::Fails(reason) { "1" } else { "0" };
            equal(&why(&format!("the count of {reason}")), counted, Some(expected))?;
        }
        equal(
            "balance_poll_success",
            scene.value(&told, "balance_poll_success"),
            Some(if failed { "0" } else { "1" }),
        )?;
        equal("balance_fresh", scene.value(&told, "balance_fresh"), Some("1"))?;
        equal("balance_polls_total", scene.value(&told, "balance_polls_total"), Some("2"))?;
        self.arrived(&scene, failure.is_some())?;
        if let Some(skew) = self.skew {
            let told =
                scene.value(&told, "balance_provider_clock_skew_seconds").and_then(|text| text.parse::<i64>().ok());
            if told.is_none_or(|told| (told - skew).abs() > 30) {
                return Err(format!("the skew is {told:?} and not {skew}"));
            }
        }
        if let Some(lifetime) = self.lifetime {
            lasts(&scene, &told, lifetime)?;
        }

        scene.age(STALE_AFTER + Duration::from_secs(1));
        let told = scene.scrape()?;
        equal("amounts of an old reading", amounts(&told), 0)?;
        equal("balance_fresh of an old reading", scene.value(&told, "balance_fresh"), Some("0"))
    }

    /// One poll is one request, unless the table says otherwise; and nothing is said to whom we do not trust.
    fn arrived(&self, scene: &Scene, failed: bool) -> Result<(), String> {
        let seen = &scene.server.seen;
        let (inquiries, logins) = if self.renews && scene.api == Api::Dialog { (2, 1) } else { self.sends };
        let sent = (seen.requests().len() - seen.logins(), seen.logins());
        equal("inquiries and logins", sent, (inquiries, logins))?;
        if sent == (0, 0) && seen.bytes() > 0 {
            return Err(format!("{} bytes of a request for a peer that is not trusted", seen.bytes()));
        }
        if failed && !self.hurried && seen.flooded() > MOST_TAKEN {
            return Err(format!("{} bytes were taken", seen.flooded()));
        }
        Ok(())
    }
}

fn lasts(scene: &Scene, told: &balance_exporter::exposition::checker::Exposition, lifetime: u64) -> Result<(), String> {
    use balance_exporter::clock::Clock;
    let name = "balance_provider_session_expiry_timestamp_seconds";
    let now = scene.clock.now().wall.as_millisecond();
    let left = scene.value(told, name).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "a date in our time")]
    let left = (left * 1000.0) as i64 - now;
    let expected = i64::try_from(lifetime * 1000).unwrap();
    if (left - expected).abs() > 1000 { Err(format!("the session lasts {left} ms and not {expected}")) } else { Ok(()) }
}

pub(crate) fn equal<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} and not {expected:?}")) }
}
