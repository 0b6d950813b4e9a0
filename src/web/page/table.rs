//! The table of accounts: a row for each, which on a narrow screen becomes a card.
//!
//! The roles are written out because a style that lays a table out otherwise takes them away.

use std::fmt::{self, Write};
use std::time::Duration;

use jiff::Timestamp;

use super::words::{Ago, Grouped, Length, Moment, Text, TimeOfDay, between};
use super::{Page, bar, sparkline};
use crate::web::told::{Account, LastFailure, Provider, Sort, State, Tone, Wallet};

/// The columns: what they are called, and what sorts by them.
const COLUMNS: [(&str, Sort); 4] =
    [("Account", Sort::Name), ("State", Sort::Age), ("Can be spent", Sort::Funds), ("Next poll", Sort::Next)];

pub(super) fn write(html: &mut String, page: &Page) -> fmt::Result {
    html.push_str(
        "<table id=\"accounts\" role=\"table\" aria-label=\"Accounts\">\n<thead role=\"rowgroup\"><tr role=\"row\">",
    );
    for (title, sort) in COLUMNS {
        write_heading(html, page, title, sort)?;
    }
    html.push_str("</tr></thead>\n<tbody role=\"rowgroup\">\n");
    for account in &page.listing.accounts {
        write_account(html, account, page)?;
    }
    html.push_str("</tbody>\n</table>\n");
    Ok(())
}

fn write_heading(html: &mut String, page: &Page, title: &str, sort: Sort) -> fmt::Result {
    // amounts that are hidden give no order
    if sort == Sort::Funds && page.listing.amounts_hidden {
        return write!(html, "<th role=\"columnheader\" scope=\"col\">{title}</th>");
    }
    let sorted = match (page.query.sort == sort, page.query.reverse) {
        (false, _) => "",
        (true, false) => " aria-sort=\"ascending\"",
        (true, true) => " aria-sort=\"descending\"",
    };
    write!(
        html,
        "<th role=\"columnheader\" scope=\"col\"{sorted}><a href=\"{}\" title=\"Sort: {}\">{title}</a></th>",
        page.link(&page.query.sorted_by(sort)),
        sort.label(),
    )
}

fn write_account(html: &mut String, account: &Account, page: &Page) -> fmt::Result {
    let Account { provider, account: name, .. } = account;
    write!(html, "<tr role=\"row\" id=\"account-{}/{}\"", Text(provider), Text(name))?;
    let tone = account.states.first().map_or(Tone::Plain, |state| state.tone());
    write!(html, " class=\"{}\"", tone_class(tone))?;
    if let Some(age) = account.reading.age.filter(|_| account.reading.fresh) {
        // so that an open page withdraws it as well
        let left = Duration::from_secs(account.reading.stale_after_seconds).saturating_sub(age);
        write!(html, " data-fresh-for=\"{}\"", left.as_secs())?;
    }
    write!(
        html,
        "><th role=\"rowheader\" scope=\"row\" class=\"who\"><span class=\"name\">{}</span>\
         <span class=\"provider\">{} <span class=\"api\">{}</span></span>",
        Text(name),
        Text(provider),
        Text(&account.api_title),
    )?;
    if account.environment != "production" || !account.labels.is_empty() {
        html.push_str("<span class=\"labels\">");
        if account.environment != "production" {
            write!(html, "<span class=\"label sandbox\">{}</span> ", Text(&account.environment))?;
        }
        for (name, value) in &account.labels {
            write!(html, "<span class=\"label\">{}={}</span> ", Text(name), Text(value))?;
        }
        html.push_str("</span>");
    }
    html.push_str("</th>\n<td role=\"cell\" class=\"state\">");
    write_state(html, account, page)?;
    html.push_str("</td>\n<td role=\"cell\" class=\"funds\">");
    for wallet in &account.wallets {
        write_wallet(html, account, wallet, page.listing.amounts_hidden)?;
    }
    html.push_str("</td>\n<td role=\"cell\" class=\"next\">");
    write_next(html, account, page)?;
    html.push_str("</td></tr>\n");
    Ok(())
}

/// The class of a tone.
pub(super) const fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "bad",
        Tone::Note => "note",
        Tone::Plain => "plain",
        Tone::Good => "good",
    }
}

fn write_state(html: &mut String, account: &Account, page: &Page) -> fmt::Result {
    html.push_str("<p class=\"badges\">");
    for state in &account.states {
        write!(
            html,
            "<a class=\"badge {}\" href=\"#state-{}\">{}",
            tone_class(state.tone()),
            state.as_str(),
            state.label()
        )?;
        let waiting = account.polling.waiting.as_ref().filter(|waiting| waiting.cause == state.as_str());
        let of_all = page.provider(account).and_then(|provider| provider.throttled_until);
        let until = of_all.filter(|_| *state == State::Throttled).or(waiting.map(|waiting| waiting.until));
        if let Some(until) = until {
            write!(html, " until {}", TimeOfDay(until))?;
        }
        html.push_str("</a> ");
    }
    html.push_str("</p>");
    if let (Some(taken), Some(age)) = (account.reading.taken, account.reading.age) {
        let read = if account.reading.fresh { "read" } else { "withdrawn; last read" };
        write!(html, "<p class=\"age\">{read} {}</p>", Moment(taken, Ago(age)))?;
    }
    if let Some(failure) = &account.last_failure {
        write_failure(html, failure, account.polling.failures_in_a_row, page.at())?;
    }
    Ok(())
}

fn write_failure(html: &mut String, failure: &LastFailure, in_a_row: u32, now: Timestamp) -> fmt::Result {
    let (class, before) = match (failure.current, in_a_row) {
        (false, _) => ("over", "Last failure".to_owned()),
        (true, 0 | 1) => ("current", "Failed".to_owned()),
        (true, many) => ("current", format!("Failed {many} times, last")),
    };
    write!(
        html,
        "<details class=\"failure {class}\"><summary>{before} {}: {}</summary><p>{}.</p><p>To do: {}.</p></details>",
        Moment(failure.at, Ago(between(failure.at, now))),
        Text(&failure.detail),
        Text(&capitalised(&failure.meaning)),
        Text(&failure.remedy),
    )
}

fn write_wallet(html: &mut String, account: &Account, wallet: &Wallet, hidden: bool) -> fmt::Result {
    let currency = Text(&wallet.currency);
    html.push_str("<div class=\"wallet\"><div class=\"figures\">");
    if account.wallets.len() > 1 {
        write!(html, "<span class=\"pot\">{}</span> ", Text(&wallet.wallet))?;
    }
    match &wallet.spendable {
        Some(spendable) => write!(
            html,
            "<span class=\"spendable\"><data class=\"amount\" value=\"{spendable}\">{}</data> \
             <span class=\"currency\">{currency}</span></span>",
            Grouped(spendable)
        )?,
        None if hidden && account.reading.fresh => {
            write!(html, "<span class=\"unknown\">hidden</span> <span class=\"currency\">{currency}</span>")?;
        }
        None => write!(html, "<span class=\"unknown\">unknown</span> <span class=\"currency\">{currency}</span>")?,
    }
    bar::write_funds(html, wallet)?;
    let more = [("total", &wallet.amount), ("frozen", &wallet.frozen), ("credit limit", &wallet.credit_limit)];
    let told = more.iter().filter_map(|(name, figure)| Some((name, figure.as_deref()?)));
    let told: Vec<_> = told.map(|(name, figure)| format!("{name} {}", Grouped(figure))).collect();
    if !told.is_empty() {
        write!(html, "<small class=\"more\">{}</small>", told.join(", "))?;
    }
    html.push_str("</div>");
    sparkline::write(html, &account.past, wallet)?;
    html.push_str("</div>");
    Ok(())
}

fn write_next(html: &mut String, account: &Account, page: &Page) -> fmt::Result {
    let now = page.at();
    let polling = &account.polling;
    html.push_str("<p class=\"when\">");
    let waiting = polling.waiting.as_ref();
    match (waiting, polling.next) {
        _ if account.states.contains(&State::Polling) => html.push_str("being polled"),
        (Some(waiting), _) => write!(html, "{}", In(waiting.until, now))?,
        (None, Some(next)) => write!(html, "{}", In(next, now))?,
        (None, None) => html.push_str("soon"),
    }
    html.push_str("</p>");
    if let Some(waiting) = waiting.filter(|waiting| waiting.cause != "interval") {
        write!(html, "<small class=\"why\">{}</small>", Text(&waiting.meaning))?;
    }
    write!(html, "<small>every {}</small>", Length(Duration::from_secs(polling.interval_seconds)))?;
    if let Some(window) = page.provider(account).and_then(Provider::tightest) {
        write!(html, "<small>limit: {}</small>", bar::Used(window))?;
    }
    if page.may_poll {
        write!(
            html,
            "<form class=\"poll\" method=\"post\" action=\"{}\"><button>Poll now<span class=\"unseen\"> {}</span>\
             </button><output></output></form>",
            Text(&page.paths.link(&format!("/api/v1/accounts/{}/{}/poll", account.provider, account.account))),
            Text(&account.account),
        )?;
    }
    Ok(())
}

/// How long until then.
struct In(Timestamp, Timestamp);

impl fmt::Display for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(then, now) = self;
        let left = between(*now, *then);
        if left.is_zero() {
            write!(f, "{}", Moment(*then, "due"))
        } else {
            write!(f, "{}", Moment(*then, format_args!("in {}", Length(left))))
        }
    }
}

/// The time of day, and how long until then.
pub(super) struct Clocked(pub(super) Timestamp, pub(super) Timestamp);

impl fmt::Display for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(then, now) = self;
        let left = Length(between(*now, *then)).to_string();
        write!(f, "{}", Moment(*then, format_args!("{}, in {left}", TimeOfDay(*then))))
    }
}

fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
