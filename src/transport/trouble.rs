//! One reason and one sentence for whatever the library reports.
//!
//! Its own text is left out everywhere: it can hold the URL.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use humantime::format_duration;
use rustls::CertificateError;

use super::Settings;
use super::phase::{self, Phase};
use super::resolver::NotResolved;
use crate::failure::{ErrorReason, Failure};

/// The request did not end within its deadline.
pub(super) fn late(deadline: Duration) -> Failure {
    out_of_time(&format!("no complete answer within {}", format_duration(deadline)))
}

/// A phase that runs out of time carries its own name.
fn out_of_time(what: &str) -> Failure {
    match phase::current() {
        Phase::Resolve => Failure::new(ErrorReason::Dns, format!("{what}: the provider's name was not resolved")),
        Phase::Connect => Failure::new(ErrorReason::Connect, format!("{what}: the connection was not established")),
        Phase::Handshake => Failure::new(ErrorReason::Tls, format!("{what}: the TLS handshake did not finish")),
        Phase::Exchange | Phase::Body => Failure::new(ErrorReason::Timeout, what),
    }
}

/// What the libraries report of a request that they gave up.
pub(super) fn explained(error: &(dyn StdError + 'static), settings: &Settings) -> Failure {
    // with a proxy it is the proxy's name that is looked up, and the proxy that is called
    let whom = if settings.proxy.is_some() { "the proxy" } else { "the provider" };
    if let Some(tls) = cause::<rustls::Error>(error) {
        return Failure::new(ErrorReason::Tls, format!("TLS with the provider failed: {}", tls_trouble(tls)));
    }
    if cause::<NotResolved>(error).is_some() {
        return Failure::new(ErrorReason::Dns, format!("the host name of {whom} has no address"));
    }
    let io = io_kind(error);
    let is_timeout = io == Some(io::ErrorKind::TimedOut) || cause(error).is_some_and(reqwest::Error::is_timeout);
    match phase::current() {
        Phase::Resolve | Phase::Connect | Phase::Handshake if is_timeout => {
            out_of_time(&format!("gave up after {}", format_duration(settings.connect_timeout)))
        }
        Phase::Resolve => Failure::new(ErrorReason::Dns, format!("the host name of {whom} could not be resolved")),
        Phase::Connect => {
            let why = io.map_or_else(|| "refused".to_owned(), |kind| kind.to_string());
            let how = if settings.proxy.is_some() { " through the proxy" } else { "" };
            Failure::new(ErrorReason::Connect, format!("cannot connect to the provider{how}: {why}"))
        }
        // a close and a reset are one event, and so is how far the peer let us get: which is seen depends on what it
        // had read and on which packet came first
        Phase::Handshake if ended(io) => {
            Failure::new(ErrorReason::Connect, "the provider closed the connection instead of making a TLS session")
        }
        Phase::Handshake => {
            let why = io.map_or_else(|| "not TLS".to_owned(), |kind| kind.to_string());
            Failure::new(ErrorReason::Tls, format!("no TLS session with the provider: {why}"))
        }
        Phase::Exchange | Phase::Body if is_timeout => Failure::new(ErrorReason::Timeout, "the connection went dead"),
        Phase::Exchange
            if ended(io)
                || causes(error).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_incomplete_message) =>
        {
            Failure::new(ErrorReason::Connect, "the provider closed the connection instead of answering")
        }
        Phase::Exchange => malformed("the provider's answer is not valid HTTP"),
        Phase::Body => malformed("the body of the provider's answer breaks off or is not valid HTTP"),
    }
}

/// Whether this says that the peer has ended the connection.
pub(super) fn has_ended(error: &(dyn StdError + 'static)) -> bool {
    ended(io_kind(error))
}

/// What the system says; the outer ones know no more than that something failed.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref()).last().map(io::Error::kind)
}

fn ended(io: Option<io::ErrorKind>) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(io, Some(ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof))
}

/// The answer is not what HTTP or we allow.
pub(super) fn malformed(what: impl Into<String>) -> Failure {
    Failure::new(ErrorReason::Malformed, what)
}

/// What rustls found, in our words: its own hold names that the peer chose.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library may add more")]
fn tls_trouble(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(why) => certificate_trouble(why),
        rustls::Error::AlertReceived(_) => "the provider refused the handshake",
        rustls::Error::PeerIncompatible(_) => "no protocol version or cipher suite in common",
        rustls::Error::InvalidMessage(_) => "the answer is not TLS",
        _ => "protocol error",
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may add more")]
fn certificate_trouble(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer => "no trusted authority vouches for its certificate",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or the local clock is wrong"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or the local clock is wrong"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::Revoked => "its certificate was revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers"
        }
        _ => "its certificate is not valid",
    }
}

fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// From the outermost to the innermost.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn StdError + 'static)| {
        let error: &(dyn StdError + 'static) = *error;
        // an `io::Error` hides what it wraps from `source`
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
