//! Whether a request that changes something comes from a page of somebody else.
//!
//! A page anywhere can send a form to an exporter that its reader can reach, with the password that his browser knows.
//! Browsers tell of that, in one of two headers that no page can set: `Sec-Fetch-Site` over TLS and to the own
//! machine, `Origin` otherwise. Who sends neither is no browser, and nobody's password is with it but its own. So
//! a program needs no header for it, and a page cannot leave one away.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True if a browser says that another site is behind the request, or says something that is not understood.
pub(in crate::web) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        // `none` is the reader himself
        return !["same-origin", "none"].iter().any(|own| site == own);
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    !authority.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_somebody_else_is_told_by_its_browser() {
        for (site, origin, elsewhere) in [
            (None, None, false),
            (Some("same-origin"), None, false),
            (Some("same-origin"), Some("http://balances.example"), false),
            (Some("none"), None, false),
            (Some("cross-site"), None, true),
            (Some("same-site"), None, true),
            (Some("cross-site"), Some("http://exporter:10920"), true),
            (Some(""), None, true),
            (Some("SAME-ORIGIN"), None, true),
            (None, Some("http://exporter:10920"), false),
            (None, Some("https://EXPORTER:10920"), false),
            (None, Some("http://exporter"), true),
            (None, Some("http://evil.example"), true),
            (None, Some("http://evil.example/exporter:10920"), true),
            (None, Some("http://user@exporter:10920"), true),
            (None, Some("null"), true),
            (None, Some(""), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "exporter:10920".parse().unwrap());
            site.map(|site| headers.insert(SEC_FETCH_SITE, site.parse().unwrap()));
            origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
            assert_eq!(is_from_elsewhere(&headers), elsewhere, "{site:?} {origin:?}");
        }
        let mut no_host = HeaderMap::new();
        no_host.insert(ORIGIN, "http://exporter:10920".parse().unwrap());
        assert!(is_from_elsewhere(&no_host));
    }
}
