//! The page for people: what is known of every account, at a look.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::path::Paths;
use crate::account::Balance;
use crate::board::{AccountStatus, View};
use crate::clock::Now;
use crate::config::Severity;
use crate::exposition::span;
use crate::providers::Environment;

const STYLE: &str = include_str!("page.css");

/// Nothing may be loaded or run, and only our own style applies.
pub(super) fn content_security_policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page as it is at `now`.
pub(super) fn render(view: &View, now: &Now, paths: &Paths) -> String {
    let mut html = String::with_capacity(4_096 + view.accounts.len() * 1_024);
    // writing into a `String` cannot fail
    let _ = write_page(&mut html, view, now, paths);
    html
}

fn write_page(html: &mut String, view: &View, now: &Now, paths: &Paths) -> fmt::Result {
    let fresh = view.accounts.iter().filter(|status| status.fresh(now).is_some()).count();
    let all = view.accounts.len();
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>balance-exporter: {fresh} of {all} accounts fresh</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>balance-exporter <small>{version}</small></h1>\n<nav><a href=\"{metrics}\">Metrics</a> \
         <a href=\"{healthy}\">Health</a> <a href=\"{ready}\">Readiness</a></nav>\n</header>\n<main>\n\
         <p>{fresh} of {all} accounts are fresh.</p>\n",
        version = env!("CARGO_PKG_VERSION"),
        metrics = Text(&paths.link(paths.telemetry())),
        healthy = Text(&paths.link("/-/healthy")),
        ready = Text(&paths.link("/-/ready")),
    )?;
    if all > 0 {
        html.push_str(
            "<table>\n<thead><tr><th scope=\"col\">Account</th><th scope=\"col\">Can be spent</th>\
             <th scope=\"col\">Reading</th><th scope=\"col\">Next poll</th><th scope=\"col\">Last failure</th></tr>\
             </thead>\n<tbody>\n",
        );
        for status in &view.accounts {
            write_account(html, status, now)?;
        }
        html.push_str("</tbody>\n</table>\n");
    }
    html.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn write_account(html: &mut String, status: &AccountStatus, now: &Now) -> fmt::Result {
    let id = &status.config.id;
    write!(html, "<tr><th scope=\"row\"><small>{}</small> {}", Text(&id.provider), Text(&id.account))?;
    match status.config.environment {
        Environment::Production => {}
        Environment::Sandbox => html.push_str(" <b class=\"note\">sandbox</b>"),
    }
    html.push_str("</th>\n<td>");
    let fresh = status.fresh(now);
    for balance in fresh.map_or(&[][..], |snapshot| snapshot.reading().balances()) {
        write_balance(html, status, balance)?;
    }
    html.push_str("</td>\n<td>");
    match (fresh, &status.snapshot) {
        (Some(snapshot), _) => write!(html, "<b class=\"good\">fresh</b> {}", Ago(snapshot.age(now)))?,
        (None, Some(snapshot)) => {
            write!(html, "<b class=\"bad\">stale</b> withdrawn; read {}", Ago(snapshot.age(now)))?;
        }
        (None, None) if status.attempted() => html.push_str("<b class=\"bad\">never read</b>"),
        (None, None) => html.push_str("<b class=\"note\">not polled yet</b>"),
    }
    html.push_str("</td>\n<td>");
    if let Some(next) = status.next_poll {
        let wait = between(now.wall, next);
        if wait.is_zero() { html.push_str("due") } else { write!(html, "in {}", coarse(wait))? }
    }
    html.push_str("</td>\n<td>");
    if let Some((when, failure)) = &status.last_failure {
        let class = if status.poll_success { "past" } else { "current" };
        write!(
            html,
            "<details class=\"{class}\"><summary>{ago}: {meaning}</summary><p>{detail}</p><p>To do: {remedy}.</p></details>",
            ago = Ago(between(*when, now.wall)),
            meaning = Text(failure.reason.meaning()),
            detail = Text(&failure.detail),
            remedy = Text(failure.reason.remedy()),
        )?;
    }
    html.push_str("</td></tr>\n");
    Ok(())
}

/// What can be spent, and how bad that is; the other figures below it.
fn write_balance(html: &mut String, status: &AccountStatus, balance: &Balance) -> fmt::Result {
    let (wallet, currency) = (balance.wallet, &balance.currency);
    html.push_str("<div>");
    if status.config.wallets.len() > 1 {
        write!(html, "<small>{}</small> ", Text(wallet.as_str()))?;
    }
    if let Some(spendable) = balance.spendable() {
        write!(html, "<data>{spendable}</data> {}", Text(currency.as_str()))?;
        let of_this = status.config.thresholds.iter().filter(|t| t.wallet == wallet && t.currency == *currency);
        if let Some(level) = of_this.filter(|t| spendable < t.amount).max_by_key(|t| t.severity) {
            let class = match level.severity {
                Severity::Warning => "note",
                Severity::Critical => "bad",
            };
            write!(html, " <b class=\"{class}\">below {} {}</b>", level.severity.as_str(), level.amount)?;
        }
    }
    for (name, figure) in
        [("total", balance.amount), ("frozen", balance.frozen), ("credit limit", balance.credit_limit)]
    {
        if let Some(figure) = figure {
            write!(html, "<br><small>{name} {figure}</small>")?;
        }
    }
    html.push_str("</div>");
    Ok(())
}

/// Text as HTML shows it, in elements and in quoted attributes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

struct Ago(Duration);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) { f.write_str("just now") } else { write!(f, "{} ago", coarse(self.0)) }
    }
}

/// A length of time to about a hundredth: nobody reads the seconds of a day.
fn coarse(length: Duration) -> String {
    let seconds = length.as_secs();
    let unit = match seconds {
        0..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    span(Duration::from_secs(seconds - seconds % unit))
}

/// From one to the other; nothing if it is the other way round.
fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::sample::{at, board};

    fn paths(telemetry: &str) -> Paths {
        Paths::new(telemetry, None, None)
    }

    #[test]
    fn every_account_is_told_of() {
        let page = render(&board().view(), &at(100), &paths("/metrics"));
        for expected in [
            "<title>balance-exporter: 2 of 4 accounts fresh</title>",
            "<a href=\"/metrics\">Metrics</a>",
            "<small>payby-uae</small> settlement",
            "<data>99.05</data> AED <b class=\"note\">below warning 50000</b>",
            "<br><small>total 120.00</small><br><small>frozen 20.95</small><br><small>credit limit 0</small>",
            "<b class=\"good\">fresh</b> 2s ago",
            "in 29s",
            "<b class=\"note\">not polled yet</b>",
            "<summary>just now: the provider refused the credentials or the signature</summary>",
            "<p>the provider refused the signature: &quot;&lt;b&gt;no&quot;</p>",
        ] {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
        assert!(!page.contains("<b>no") && !page.contains("<script"), "{page}");
    }

    #[test]
    fn a_balance_that_cannot_be_vouched_for_is_not_shown() {
        let page = render(&board().view(), &at(7_300), &paths("/metrics"));
        assert!(page.contains("<b class=\"bad\">stale</b> withdrawn; read 2h1m ago"), "{page}");
        assert!(page.contains("due"));
        for digits in ["99.05", "12.50", "120.00"] {
            assert!(!page.contains(digits), "{digits} is in\n{page}");
        }
    }

    #[test]
    fn the_worst_level_is_named() {
        let board = board();
        let config = board.view().accounts[2].config.clone();
        for (available, expected) in [
            ("50000", None),
            ("49999.99", Some("<b class=\"note\">below warning 50000</b>")),
            ("0.50", Some("<b class=\"note\">below warning 50000</b>")),
            ("0.49", Some("<b class=\"bad\">below critical 0.50</b>")),
            ("-1", Some("<b class=\"bad\">below critical 0.50</b>")),
        ] {
            board.file(&config, Ok(crate::exposition::sample::snapshot(available, at(100))), at(100));
            let mut row = String::new();
            write_account(&mut row, &board.view().accounts[2], &at(100)).unwrap();
            assert_eq!(row.contains("below"), expected.is_some(), "{row}");
            assert!(row.contains(expected.unwrap_or_default()), "{row}");
        }
    }

    #[test]
    fn markup_in_names_is_shown_and_not_obeyed() {
        assert_eq!(Text("a<b>&\"c\"'").to_string(), "a&lt;b&gt;&amp;&quot;c&quot;&#39;");
        let page = render(&View::default(), &at(0), &paths("/x\"onclick=\"y"));
        assert!(page.contains("href=\"/x&quot;onclick=&quot;y\""));
    }

    #[test]
    fn the_style_needs_no_exception() {
        let page = render(&board().view(), &at(100), &paths("/metrics"));
        assert!(!page.contains("style=") && !STYLE.contains('<'));
        assert_eq!(page.matches("<style>").count(), 1);
    }

    #[test]
    fn lengths_of_time_are_short() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_661, "1h1m"), (90_061, "1d1h")] {
            assert_eq!(coarse(Duration::from_secs(seconds)), text);
        }
    }
}
