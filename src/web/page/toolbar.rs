//! What stands above the table: how it is in a sentence, the search, the filters, what the states mean, the providers.

use std::fmt::{self, Write};

use super::table::{Clocked, tone_class};
use super::words::{Clock, Count, Grouped, Moment, Text};
use super::{Page, bar};
use crate::web::told::{Only, Provider, Query, Sort, State, Tone};

/// More providers than these are shown when somebody asks.
const PROVIDERS_AT_A_LOOK: usize = 4;

/// How it is, in a sentence.
pub(super) fn write_summary(html: &mut String, page: &Page) -> fmt::Result {
    let listing = page.listing;
    let fresh = listing.all.of(Only::In(State::Fresh));
    let (total, wanting) = (Grouped(&listing.total.to_string()).to_string(), listing.needing_attention);
    html.push_str("<section id=\"summary\" aria-label=\"Summary\">\n<p class=\"headline\">");
    match (listing.total, wanting) {
        (0, _) => html.push_str("No accounts yet."),
        (_, 0) => html.push_str("<span class=\"good\">Nothing needs attention.</span>"),
        (_, 1) => html.push_str("<span class=\"bad\">1 account needs attention.</span>"),
        (_, some) => {
            write!(html, "<span class=\"bad\">{} accounts need attention.</span>", Grouped(&some.to_string()))?;
        }
    }
    match listing.total {
        0 => {}
        1 => html.push_str(if fresh == 1 { " The account is fresh." } else { " The account is not fresh." }),
        _ if fresh == listing.total => write!(html, " All {total} accounts are fresh.")?,
        _ => write!(html, " {} of {total} accounts are fresh.", Grouped(&fresh.to_string()))?,
    }
    html.push_str("</p>\n<p class=\"asof\"><span id=\"refreshed\">As of ");
    write!(html, "{}</span>", Moment(listing.at, Clock(listing.at)))?;
    if listing.amounts_hidden {
        html.push_str(" <span class=\"hidden\">Amounts are hidden (<code>web.hide_amounts</code>).</span>");
    }
    html.push_str("</p>\n</section>\n");
    Ok(())
}

/// The search and the order. It is a form like any other: without a script its button does it.
pub(super) fn write_search(html: &mut String, page: &Page) -> fmt::Result {
    let Query { search, only, per_page, .. } = page.query;
    write!(
        html,
        "<form id=\"search\" role=\"search\" method=\"get\" action=\"{}\" data-keep>",
        page.link(&Query::default())
    )?;
    write!(
        html,
        "<label class=\"field\"><span>Search</span><input type=\"search\" name=\"q\" value=\"{}\" maxlength=\"100\" \
         placeholder=\"account, provider, label, currency\" autocomplete=\"off\" spellcheck=\"false\"></label>\
         <label class=\"field\"><span>Order</span><select name=\"sort\">",
        Text(search)
    )?;
    for sort in Sort::ALL.into_iter().filter(|sort| !page.listing.amounts_hidden || *sort != Sort::Funds) {
        let usual = page.query.sort == sort;
        write_option(html, sort.as_str(), sort.label(), usual && !page.query.reverse)?;
        if usual && page.query.reverse {
            write_option(html, &page.query.sort_text(), &format!("{}, reversed", sort.label()), true)?;
        }
    }
    html.push_str("</select></label>");
    if let Some(only) = only {
        write!(html, "<input type=\"hidden\" name=\"state\" value=\"{}\">", only.as_str())?;
    }
    if *per_page != Query::default().per_page {
        write!(html, "<input type=\"hidden\" name=\"per_page\" value=\"{per_page}\">")?;
    }
    html.push_str("<button>Show</button>");
    if page.query.narrows() {
        write!(html, "<a class=\"reset\" href=\"{}\">Show all</a>", page.link(&Query::default()))?;
    }
    html.push_str("</form>\n");
    Ok(())
}

fn write_option(html: &mut String, value: &str, label: &str, chosen: bool) -> fmt::Result {
    write!(html, "<option value=\"{value}\"{}>{label}</option>", if chosen { " selected" } else { "" })
}

/// A link for each state that some account is in.
pub(super) fn write_filters(html: &mut String, page: &Page) -> fmt::Result {
    html.push_str("<nav id=\"filters\" aria-label=\"Filter by state\"><ul>");
    write_filter(html, page, None, "all", page.listing.found.all, Tone::Plain)?;
    for only in Only::all() {
        let count = page.listing.found.of(only);
        if count > 0 || page.query.only == Some(only) {
            let tone = match only {
                Only::Attention => Tone::Bad,
                Only::In(state) => state.tone(),
            };
            write_filter(html, page, Some(only), only.label(), count, tone)?;
        }
    }
    html.push_str("</ul></nav>\n");
    Ok(())
}

fn write_filter(
    html: &mut String,
    page: &Page,
    only: Option<Only>,
    label: &str,
    count: usize,
    tone: Tone,
) -> fmt::Result {
    let current = if page.query.only == only { " aria-current=\"true\"" } else { "" };
    write!(
        html,
        "<li><a class=\"chip {}\" href=\"{}\"{current}>{label} <span class=\"count\">{}</span></a></li>",
        tone_class(tone),
        page.link(&page.query.with_only(only)),
        Grouped(&count.to_string()),
    )
}

/// What each state means.
pub(super) fn write_states(html: &mut String) -> fmt::Result {
    html.push_str(
        "<details id=\"states\" data-keep><summary><span class=\"mark\" aria-hidden=\"true\">?</span> \
         What the states mean</summary>\n<dl>\n",
    );
    for state in State::ALL {
        writeln!(
            html,
            "<div id=\"state-{}\"><dt><span class=\"badge {}\">{}</span></dt><dd>{}</dd></div>",
            state.as_str(),
            tone_class(state.tone()),
            state.label(),
            state.meaning(),
        )?;
    }
    html.push_str("</dl>\n</details>\n");
    Ok(())
}

/// The providers of the accounts on this page: the limit of each, and how much of it is used.
pub(super) fn write_providers(html: &mut String, page: &Page) -> fmt::Result {
    let providers = &page.listing.providers;
    if providers.is_empty() {
        return Ok(());
    }
    let open = if providers.len() <= PROVIDERS_AT_A_LOOK { " open" } else { "" };
    write!(
        html,
        "<details id=\"providers\"{open}><summary><h2>Limits of {}</h2></summary>\n<ul>\n",
        Count(providers.len(), "provider")
    )?;
    for provider in providers {
        write_provider(html, page, provider)?;
    }
    html.push_str("</ul>\n</details>\n");
    Ok(())
}

fn write_provider(html: &mut String, page: &Page, provider: &Provider) -> fmt::Result {
    write!(html, "<li id=\"provider-{0}\"><h3>{0}</h3>", Text(&provider.provider))?;
    for window in &provider.limit {
        bar::write_limit(html, window)?;
    }
    if let Some(until) = provider.throttled_until {
        write!(
            html,
            "<p><a class=\"badge note\" href=\"#state-throttled\">throttled</a> until {}</p>",
            Clocked(until, page.at())
        )?;
    }
    html.push_str("</li>\n");
    Ok(())
}

/// Which page this is, and the way to others.
pub(super) fn write_pages(html: &mut String, page: &Page) -> fmt::Result {
    let listing = page.listing;
    html.push_str("<nav id=\"pages\" aria-label=\"Pages\">");
    if listing.pages > 1 {
        let link = |to: usize| page.link(&page.query.at_page(to));
        let (first, last) = ((listing.page - 1) * listing.per_page + 1, listing.page * listing.per_page);
        write!(
            html,
            "<p>Accounts {} to {} of {}</p><ul>",
            Grouped(&first.to_string()),
            Grouped(&last.min(listing.matching).to_string()),
            Grouped(&listing.matching.to_string()),
        )?;
        for to in near(listing.page, listing.pages) {
            match to {
                None => html.push_str("<li class=\"gap\" aria-hidden=\"true\">…</li>"),
                Some(to) => {
                    let current = if to == listing.page { " aria-current=\"page\"" } else { "" };
                    let number = Grouped(&to.to_string()).to_string();
                    write!(
                        html,
                        "<li><a href=\"{}\" aria-label=\"Page {number}\"{current}>{number}</a></li>",
                        link(to)
                    )?;
                }
            }
        }
        html.push_str("</ul>");
    }
    html.push_str("</nav>\n");
    Ok(())
}

/// The first page, the last one, and those around this one; `None` where some are left out.
fn near(page: usize, pages: usize) -> Vec<Option<usize>> {
    let mut near = Vec::new();
    let mut before = 0;
    for to in (1..=pages).filter(|to| *to == 1 || *to == pages || to.abs_diff(page) <= 1) {
        if to > before + 1 {
            near.push(None);
        }
        near.push(Some(to));
        before = to;
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_pages_are_offered() {
        let text = |page, pages| {
            let shown = near(page, pages).into_iter().map(|to| to.map_or("…".to_owned(), |to| to.to_string()));
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(1, 1), "1");
        assert_eq!(text(1, 3), "1 2 3");
        assert_eq!(text(1, 2_000), "1 2 … 2000");
        assert_eq!(text(1_000, 2_000), "1 … 999 1000 1001 … 2000");
        assert_eq!(text(2_000, 2_000), "1 … 1999 2000");
    }
}
