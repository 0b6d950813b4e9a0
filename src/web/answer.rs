//! From a request to its answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::activity::Activity;
use super::api::{self, Message, Name, is_from_elsewhere};
use super::body::Parts;
use super::crowd::Crowd;
use super::edition::Title;
use super::encoding::accepts_gzip;
use super::guard::Admission;
use super::told::Query;
use super::{Paths, State, page};
use crate::account::AccountId;
use crate::board::View;
use crate::clock::Now;
use crate::exposition::{Coding, Moment, gzip, negotiate};
use crate::schedule::NotNow;

type Answer = Response<Parts>;

/// What a request may take of this machine.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// How long a reload is waited for.
    pub(super) patience: Duration,
    /// The connection that it came by.
    pub(super) activity: Arc<Activity>,
    /// All connections.
    pub(super) crowd: Arc<Crowd>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
enum Route<'a> {
    Metrics,
    Healthy,
    Ready,
    Reload,
    Page,
    Accounts,
    Account(Name<'a>),
    PollNow(Name<'a>),
    AccountHealth(Name<'a>),
    Description,
    /// Above the prefix: a way to the page.
    Above,
}

impl<'a> Route<'a> {
    /// The route with exactly this path.
    fn of(path: &'a str, paths: &Paths) -> Option<Self> {
        if paths.is_above(path) {
            return Some(Self::Above);
        }
        match paths.below(path)? {
            path if path == paths.telemetry() => Some(Self::Metrics),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            "/-/reload" => Some(Self::Reload),
            "/" => Some(Self::Page),
            "/api/v1/accounts" => Some(Self::Accounts),
            "/api/v1/openapi.json" => Some(Self::Description),
            path => Self::of_account(path),
        }
    }

    /// The route to one account.
    fn of_account(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/health/accounts/") {
            return Name::parse(rest).map(Self::AccountHealth);
        }
        let rest = path.strip_prefix("/api/v1/accounts/")?;
        match rest.strip_suffix("/poll").and_then(Name::parse) {
            Some(name) => Some(Self::PollNow(name)),
            None => Name::parse(rest).map(Self::Account),
        }
    }

    const fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Metrics | Self::Healthy | Self::Ready | Self::Page | Self::Above => {
                (&[Method::GET, Method::HEAD], "GET, HEAD")
            }
            Self::Accounts | Self::Account(_) | Self::AccountHealth(_) | Self::Description => {
                (&[Method::GET, Method::HEAD], "GET, HEAD")
            }
            Self::PollNow(_) => (&[Method::POST], "POST"),
            Self::Reload => (&[Method::POST, Method::PUT], "POST, PUT"),
        }
    }
}

/// The answer to a request, whose body is not looked at. `visit` is what it may take of this machine.
pub(super) async fn answer<B>(state: &State, visit: &Visit, request: &Request<B>) -> Answer {
    let mut answer = match state.guard.admits(request.headers(), &visit.activity, state.clock.now().boot).await {
        Admission::Welcome => answer_of_route(state, visit, request).await,
        Admission::Stranger => {
            let refusal = say(StatusCode::UNAUTHORIZED, "a name and a password are needed here");
            with(refusal, WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"balance-exporter\""))
        }
        Admission::Crowded => say(StatusCode::TOO_MANY_REQUESTS, "too many requests, try again later"),
    };
    state.guard.adorn(answer.headers_mut());
    answer
}

async fn answer_of_route<B>(state: &State, visit: &Visit, request: &Request<B>) -> Answer {
    let Some(route) = Route::of(request.uri().path(), &state.paths) else {
        return say(StatusCode::NOT_FOUND, "there is nothing here; see / for what there is");
    };
    let (methods, allowed) = route.methods();
    if !methods.contains(request.method()) {
        let refusal = say(StatusCode::METHOD_NOT_ALLOWED, &format!("this can be asked for with {allowed} only"));
        return with(refusal, ALLOW, HeaderValue::from_static(allowed));
    }
    match route {
        Route::Metrics => metrics(state, visit, request.headers()),
        Route::Healthy => say(StatusCode::OK, "balance-exporter is healthy"),
        Route::Ready => ready(state),
        Route::Reload if is_from_elsewhere(request.headers()) => say(StatusCode::FORBIDDEN, ELSEWHERE),
        Route::Reload => reload(state, visit.patience).await,
        Route::Accounts => accounts(state, visit, request),
        Route::Account(name) => account(state, name),
        Route::AccountHealth(name) => {
            let (status, sentence) = api::health(&state.view(), name, &state.clock.now());
            say(status, &sentence)
        }
        Route::PollNow(name) => poll_now(state, visit.patience, name, request.headers()).await,
        Route::Description => json_of(StatusCode::OK, api::json(&api::describe(&state.paths))),
        Route::Page => people(state, visit, request),
        Route::Above => elsewhere(&state.paths.link("/")),
    }
}

fn metrics(state: &State, visit: &Visit, headers: &HeaderMap) -> Answer {
    visit.crowd.begin_scrape(&visit.activity);
    let format = negotiate(listed(headers, &ACCEPT).as_deref());
    let set = |now: &Now, coding| {
        let galley = state.galley(format, coding, *now)?;
        let moment = galley.moment.clone();
        Some((galley.into(), moment))
    };
    let answer = shared(state, visit, headers, format.content_type().into(), format.content_type(), set);
    with(answer, VARY, HeaderValue::from_static("Accept, Accept-Encoding"))
}

fn ready(state: &State) -> Answer {
    let view = state.view();
    if state.is_ready() {
        return say(StatusCode::OK, "balance-exporter is ready");
    }
    let untried = view.accounts.iter().filter(|status| !status.attempted()).count();
    let sentence = format!("not ready: {untried} of {} accounts were not polled yet", view.accounts.len());
    say(StatusCode::SERVICE_UNAVAILABLE, &sentence)
}

async fn reload(state: &State, patience: Duration) -> Answer {
    let Some(reloader) = &state.reloader else {
        return say(
            StatusCode::FORBIDDEN,
            "reloading over HTTP is off; start with --web.enable-lifecycle, or send SIGHUP",
        );
    };
    match timeout(patience, reloader.reload()).await {
        Ok(Ok(())) => say(StatusCode::OK, "the configuration was reloaded"),
        Ok(Err(reason)) => say(StatusCode::INTERNAL_SERVER_ERROR, &reason),
        Err(_) => say(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the reload takes too long; balance_exporter_config_last_reload_successful will tell how it ends",
        ),
    }
}

fn accounts<B>(state: &State, visit: &Visit, request: &Request<B>) -> Answer {
    let answer = asked_for(state, visit, request, JSON, api::accounts);
    with(answer, VARY, HeaderValue::from_static("Accept-Encoding"))
}

fn account(state: &State, name: Name<'_>) -> Answer {
    match api::account(&state.view(), name, &state.clock.now()) {
        Some(account) => json_of(StatusCode::OK, api::json(&account)),
        None => json_of(StatusCode::NOT_FOUND, api::json(&Message::new(api::unknown(name)))),
    }
}

async fn poll_now(state: &State, patience: Duration, name: Name<'_>, headers: &HeaderMap) -> Answer {
    let refused = |sentence| (StatusCode::FORBIDDEN, Message::new(sentence), None);
    let (status, message, retry_after) = match &state.prompter {
        None => refused("polling over HTTP is off; start with --web.enable-lifecycle"),
        Some(_) if is_from_elsewhere(headers) => refused(ELSEWHERE),
        Some(prompter) => {
            let id = AccountId { provider: name.provider.into(), account: name.account.into() };
            let outcome = timeout(patience, prompter.prompt(id)).await.unwrap_or(Err(NotNow::Stopping));
            api::polled(outcome, name, &state.clock.now())
        }
    };
    // a form without a script is read by whoever sent it
    let by_people = listed(headers, &ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let answer = if by_people {
        let html = page::sentence(&message.message, &state.paths);
        of_people(of_parts(status, "text/html; charset=utf-8", Bytes::from(html).into()))
    } else {
        json_of(status, api::json(&message))
    };
    match retry_after {
        Some(seconds) => with(answer, RETRY_AFTER, HeaderValue::from(seconds)),
        None => answer,
    }
}

/// Why a request that would change something is refused.
const ELSEWHERE: &str = "this request comes from a page of another site; if it does not, let the proxy in between pass \
    the headers Host and Sec-Fetch-Site on";

const JSON: &str = "application/json";

fn json_of(status: StatusCode, json: String) -> Answer {
    of_parts(status, JSON, Bytes::from(json).into())
}

/// A text about the accounts that the request's query asks for.
fn asked_for<B>(
    state: &State,
    visit: &Visit,
    request: &Request<B>,
    content_type: &'static str,
    render: impl FnOnce(&View, &Query, &Now) -> String,
) -> Answer {
    let query = request.uri().query();
    let name = format!("{content_type}?{}", query.unwrap_or_default());
    let query = Query::parse(query);
    shared(state, visit, request.headers(), name.into(), content_type, |now, coding| {
        let view = state.view();
        let text = render(&view, &query, now);
        let bytes = match coding {
            Coding::Gzip => gzip(&text)?,
            Coding::Identity => text.into_bytes(),
        };
        Some((Bytes::from(bytes).into(), Moment::of(&view, *now)))
    })
}

fn people<B>(state: &State, visit: &Visit, request: &Request<B>) -> Answer {
    of_people(asked_for(state, visit, request, "text/html; charset=utf-8", |view, query, now| {
        page::render(view, query, now, &state.paths, state.prompter.is_some())
    }))
}

/// A page with all that keeps it to itself.
fn of_people(answer: Answer) -> Answer {
    let answer = with(answer, VARY, HeaderValue::from_static("Accept-Encoding"));
    // without a referrer a form would not tell where it comes from either
    let answer = with(answer, REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    match HeaderValue::from_str(&page::content_security_policy()) {
        Ok(policy) => with(answer, CONTENT_SECURITY_POLICY, policy),
        Err(_) => say(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be shown safely"),
    }
}

fn elsewhere(link: &str) -> Answer {
    match HeaderValue::from_str(link) {
        Ok(link) => with(say(StatusCode::FOUND, "it is elsewhere"), LOCATION, link),
        Err(_) => say(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// A sentence as plain text.
fn say(status: StatusCode, sentence: &str) -> Answer {
    of_parts(status, "text/plain; charset=utf-8", Bytes::from(format!("{sentence}\n")).into())
}

/// A text that is large, compressed if the request allows that. Whoever asks for the same one at about the same time
/// gets the same copy; `text` tells it from others.
fn shared(
    state: &State,
    visit: &Visit,
    request: &HeaderMap,
    text: Cow<'static, str>,
    content_type: &'static str,
    make: impl FnOnce(&Now, Coding) -> Option<(Parts, Moment)>,
) -> Answer {
    let coding =
        if accepts_gzip(listed(request, &ACCEPT_ENCODING).as_deref()) { Coding::Gzip } else { Coding::Identity };
    let title = Title { text, coding };
    let clock = || state.clock.now();
    let body = state.press.body(title, &visit.activity, state.board.epoch(), clock, |now| make(now, coding));
    match (body, coding) {
        (Some(body), Coding::Gzip) => {
            with(of_parts(StatusCode::OK, content_type, body), CONTENT_ENCODING, HeaderValue::from_static("gzip"))
        }
        (Some(body), Coding::Identity) => of_parts(StatusCode::OK, content_type, body),
        (None, _) => say(StatusCode::INTERNAL_SERVER_ERROR, "cannot compress the answer: ask for it without"),
    }
}

fn of_parts(status: StatusCode, content_type: &'static str, body: Parts) -> Answer {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer = with(answer, CONTENT_TYPE, HeaderValue::from_static(content_type));
    // also for HEAD, which gets the headers alone
    answer = with(answer, CONTENT_LENGTH, length);
    answer = with(answer, X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    with(answer, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}

/// A header that is a list, which may be spread over several lines.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}
