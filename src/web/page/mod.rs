//! The page for people: what is known of every account, at a look.
//!
//! All of it is in the first answer, and all that can be chosen is in the address, so that it needs no script. The one
//! that it brings refreshes it quietly and asks for polls without leaving the page.

use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::path::Paths;
use super::told::{Account, Listing, Provider, Query};
use crate::board::View;
use crate::clock::Now;

mod bar;
mod sparkline;
mod table;
mod toolbar;
mod words;

use words::{Count, Text};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// A coin, since a browser asks for an icon anyway.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' \
    cy='8' r='7' fill='%231f6feb'/%3E%3Cpath d='M4 10l3-3 2 2 3-4' fill='none' stroke='white' stroke-width='1.5'/%3E\
    %3C/svg%3E";

/// Nothing may be loaded or run but what the page itself brings. It may ask this exporter again, and nobody else.
pub(super) fn content_security_policy() -> String {
    let hash = |text| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// What the page is made of.
struct Page<'a> {
    listing: &'a Listing,
    query: &'a Query,
    paths: &'a Paths,
    /// Whether polls can be asked for.
    may_poll: bool,
}

impl Page<'_> {
    /// When it was true.
    const fn at(&self) -> Timestamp {
        self.listing.at
    }

    /// Whose account it is.
    fn provider(&self, account: &Account) -> Option<&Provider> {
        self.listing.providers.iter().find(|provider| provider.provider == account.provider)
    }

    /// Where another query is answered, as it stands in an attribute.
    fn link(&self, query: &Query) -> String {
        Text(&self.paths.link(&format!("/{}", query.to_text()))).to_string()
    }
}

/// The page as it is at `now`, with what `query` asks for.
pub(super) fn render(view: &View, query: &Query, now: &Now, paths: &Paths, may_poll: bool) -> String {
    let listing = Listing::of(view, query, now);
    let mut html = String::with_capacity(16_384 + listing.accounts.len() * 3_072);
    let page = Page { listing: &listing, query, paths, may_poll };
    // writing into a `String` cannot fail
    let _ = write_page(&mut html, &page);
    html
}

/// A sentence with a way back, for who asked for something without a script.
pub(super) fn sentence(sentence: &str, paths: &Paths) -> String {
    let mut html = String::new();
    let _ = write_head(&mut html, "balance-exporter");
    let _ = write!(
        html,
        "<main>\n<h1>balance-exporter</h1>\n<p class=\"headline\">{}</p>\n<p><a href=\"{}\">Back to the accounts</a></p>\n\
         </main>\n</body>\n</html>\n",
        Text(sentence),
        Text(&paths.link("/")),
    );
    html
}

fn write_head(html: &mut String, title: &str) -> fmt::Result {
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"{ICON}\">\n<style>{STYLE}</style>\n</head>\n<body>\n",
    )
}

fn write_page(html: &mut String, page: &Page) -> fmt::Result {
    let listing = page.listing;
    let title = match listing.needing_attention {
        0 => "balance-exporter: nothing needs attention".to_owned(),
        some => format!("balance-exporter: {} of {} to look at", some, Count(listing.total, "account")),
    };
    write_head(html, &title)?;
    write!(
        html,
        "<a class=\"skip\" href=\"#main\">Skip to the accounts</a>\n\
         <header>\n<h1>balance-exporter <small>{version}</small></h1>\n<nav aria-label=\"Elsewhere\">\
         <a href=\"{metrics}\">Metrics</a> <a href=\"{json}\">JSON</a> <a href=\"{healthy}\">Health</a> \
         <a href=\"{ready}\">Readiness</a></nav>\n</header>\n<main id=\"main\" tabindex=\"-1\">\n",
        version = env!("CARGO_PKG_VERSION"),
        metrics = Text(&page.paths.link(page.paths.telemetry())),
        json = Text(&page.paths.link(&format!("/api/v1/accounts{}", page.query.to_text()))),
        healthy = Text(&page.paths.link("/-/healthy")),
        ready = Text(&page.paths.link("/-/ready")),
    )?;
    toolbar::write_summary(html, page)?;
    html.push_str("<div id=\"tools\">\n");
    if listing.total > 0 {
        toolbar::write_search(html, page)?;
        toolbar::write_filters(html, page)?;
    }
    toolbar::write_states(html)?;
    html.push_str("</div>\n");
    toolbar::write_providers(html, page)?;
    html.push_str("<section id=\"listing\" aria-labelledby=\"listing-title\">\n<h2 id=\"listing-title\" class=\"unseen\">Accounts</h2>\n");
    if listing.matching > 0 {
        table::write(html, page)?;
    } else if listing.total > 0 {
        html.push_str("<p class=\"empty\">No account is like that. ");
        writeln!(html, "<a href=\"{}\">Show all</a></p>", page.link(&Query::default()))?;
    } else {
        html.push_str(
            "<p class=\"empty\">The configuration has no accounts. Add some under <code>providers</code>, check it with \
             <code>balance-exporter check</code>, and have it read again with <code>SIGHUP</code>.</p>\n",
        );
    }
    toolbar::write_pages(html, page)?;
    writeln!(
        html,
        "</section>\n</main>\n<p id=\"said\" class=\"unseen\" role=\"status\"></p>\n<script>{SCRIPT}</script>\n</body>\n\
         </html>"
    )
}

#[cfg(test)]
mod tests;
