//! From a request to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::body::Parts;
use super::deadline::Activity;
use super::encoding::accepts_gzip;
use super::guard::Admission;
use super::{Paths, State, page};
use crate::exposition::{Coding, gzip, negotiate};

type Answer = Response<Parts>;

/// What a request may take of this machine.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// How long a reload is waited for.
    pub(super) patience: Duration,
    /// Shared by all connections: the scrapes that may be answered at once.
    pub(super) scrapes: Arc<Semaphore>,
    /// The connection that it came by.
    pub(super) activity: Arc<Activity>,
}

impl Visit {
    /// False if too many scrapes are being answered. A scrape lasts until its last byte has left.
    fn begin_scrape(&self) -> bool {
        let place = self.scrapes.clone().try_acquire_owned();
        place.map(|place| self.activity.take_place(place)).is_ok()
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
enum Route {
    Metrics,
    Healthy,
    Ready,
    Reload,
    Page,
    /// Above the prefix: a way to the page.
    Above,
}

impl Route {
    /// The route with exactly this path.
    fn of(path: &str, paths: &Paths) -> Option<Self> {
        if paths.is_above(path) {
            return Some(Self::Above);
        }
        match paths.below(path)? {
            path if path == paths.telemetry() => Some(Self::Metrics),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            "/-/reload" => Some(Self::Reload),
            "/" => Some(Self::Page),
            _ => None,
        }
    }

    const fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Metrics | Self::Healthy | Self::Ready | Self::Page | Self::Above => {
                (&[Method::GET, Method::HEAD], "GET, HEAD")
            }
            Self::Reload => (&[Method::POST, Method::PUT], "POST, PUT"),
        }
    }
}

/// The answer to a request, whose body is not looked at. `visit` is what it may take of this machine.
pub(super) async fn answer<B>(state: &State, visit: &Visit, request: &Request<B>) -> Answer {
    let mut answer = match state.guard.admits(request.headers(), state.clock.now().boot).await {
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
        Route::Metrics if visit.begin_scrape() => metrics(state, request.headers()),
        Route::Metrics => say(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes are being answered, try again later"),
        Route::Healthy => say(StatusCode::OK, "balance-exporter is healthy"),
        Route::Ready => ready(state),
        Route::Reload => reload(state, visit.patience).await,
        Route::Page => people(state, request.headers()),
        Route::Above => elsewhere(&state.paths.link("/")),
    }
}

fn metrics(state: &State, headers: &HeaderMap) -> Answer {
    let format = negotiate(listed(headers, &ACCEPT).as_deref());
    let coding =
        if accepts_gzip(listed(headers, &ACCEPT_ENCODING).as_deref()) { Coding::Gzip } else { Coding::Identity };
    let (galley, coding) = match state.galley(format, coding) {
        Some(galley) => (Some(galley), coding),
        None => (state.galley(format, Coding::Identity), Coding::Identity),
    };
    let body = galley.map(Parts::from).unwrap_or_default();
    let answer = answered(StatusCode::OK, format.content_type(), body, coding);
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

fn people(state: &State, headers: &HeaderMap) -> Answer {
    let html = page::render(&state.view(), &state.clock.now(), &state.paths);
    let answer = text_of(StatusCode::OK, "text/html; charset=utf-8", html, headers);
    let answer = with(answer, VARY, HeaderValue::from_static("Accept-Encoding"));
    let answer = with(answer, REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
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
    text_of(status, "text/plain; charset=utf-8", format!("{sentence}\n"), &HeaderMap::new())
}

/// A text, compressed if `request` allows that.
fn text_of(status: StatusCode, content_type: &'static str, text: String, request: &HeaderMap) -> Answer {
    let wanted = accepts_gzip(listed(request, &ACCEPT_ENCODING).as_deref());
    match wanted.then(|| gzip(&text)).flatten() {
        Some(compressed) => answered(status, content_type, Bytes::from(compressed).into(), Coding::Gzip),
        None => answered(status, content_type, Bytes::from(text).into(), Coding::Identity),
    }
}

fn answered(status: StatusCode, content_type: &'static str, body: Parts, coding: Coding) -> Answer {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer = with(answer, CONTENT_TYPE, HeaderValue::from_static(content_type));
    // also for HEAD, which gets the headers alone
    answer = with(answer, CONTENT_LENGTH, length);
    answer = with(answer, X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer = with(answer, CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match coding {
        Coding::Gzip => with(answer, CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        Coding::Identity => answer,
    }
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
