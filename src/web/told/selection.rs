//! The accounts that a query is about, a page of them, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::query::{Only, Query, Sort};
use super::share::nearest;
use super::state::{State, States};
use crate::board::{AccountStatus, View, Waiting};
use crate::clock::Now;
use crate::providers;

/// A page of accounts, and how many there are.
#[derive(Debug)]
pub(in crate::web) struct Selection<'a> {
    /// Of all accounts.
    pub(in crate::web) all: Counts,
    /// Of those that the search finds, whatever the filter.
    pub(in crate::web) found: Counts,
    /// Those that the search and the filter leave.
    pub(in crate::web) matching: usize,
    /// The page that is shown: the last one if the one that was asked for is beyond it.
    pub(in crate::web) page: usize,
    /// How many there are, at least one.
    pub(in crate::web) pages: usize,
    /// What is on the page.
    pub(in crate::web) shown: Vec<(&'a Arc<AccountStatus>, States)>,
    /// What each provider waits for, if for anything.
    pub(in crate::web) waiting: BTreeMap<&'a str, Waiting>,
}

/// How many accounts there are, in all and in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Counts {
    pub(in crate::web) all: usize,
    pub(in crate::web) attention: usize,
    states: [usize; State::ALL.len()],
}

impl Counts {
    fn add(&mut self, states: States) {
        self.all += 1;
        self.attention += usize::from(states.want_attention());
        for state in states.iter() {
            self.states[state as usize] += 1;
        }
    }

    /// How many a filter would leave.
    pub(in crate::web) const fn of(&self, only: Only) -> usize {
        match only {
            Only::Attention => self.attention,
            Only::In(state) => self.states[state as usize],
        }
    }
}

impl<'a> Selection<'a> {
    pub(in crate::web) fn of(view: &'a View, query: &Query, now: &Now) -> Self {
        let providers = || view.providers.iter();
        let throttled: BTreeSet<_> = providers()
            .filter(|provider| provider.paused_until(now).is_some())
            .map(|provider| &*provider.name)
            .collect();
        let waiting = providers().filter_map(|provider| Some((&*provider.name, provider.waiting(now)?))).collect();
        let words: Vec<_> = query.search.split_whitespace().map(str::to_lowercase).collect();
        let (mut all, mut found, mut matching) = (Counts::default(), Counts::default(), Vec::new());
        for status in &view.accounts {
            let states = States::of(status, throttled.contains(&*status.config.id.provider), now);
            all.add(states);
            if !matches(status, &words) {
                continue;
            }
            found.add(states);
            let wanted = match query.only {
                None => true,
                Some(Only::Attention) => states.want_attention(),
                Some(Only::In(state)) => states.has(state),
            };
            if wanted {
                let key = key(status, states, query.sort, view.hides_amounts, now);
                matching.push((key, matching.len(), status, states));
            }
        }
        // the view is in the order of names
        matching.sort_unstable_by_key(|(key, place, ..)| (*key, *place));
        if query.reverse {
            matching.reverse();
        }
        let pages = matching.len().div_ceil(query.per_page).max(1);
        let page = query.page.min(pages);
        let on_page = matching.iter().skip((page - 1) * query.per_page).take(query.per_page);
        let shown = on_page.map(|(_, _, status, states)| (*status, *states)).collect();
        Self { all, found, matching: matching.len(), page, pages, shown, waiting }
    }
}

/// Whether all of the words are somewhere in what an account is called.
fn matches(status: &AccountStatus, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let config = &status.config;
    let mut text = format!("{} {} {}", config.id, config.api, config.environment.as_str());
    let title = providers::find(config.api).map(|api| api.facts().title);
    let wallets = config.wallets.iter().flat_map(|(wallet, currency)| [wallet.as_str(), currency.as_str()]);
    for more in title.into_iter().chain(wallets) {
        text.extend([" ", more]);
    }
    for (name, value) in &config.labels {
        text.extend([" ", name, "=", value]);
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}

/// The smaller, the earlier. An order by amounts would betray them.
fn key(status: &AccountStatus, in_states: States, sort: Sort, hides_amounts: bool, now: &Now) -> i64 {
    match sort {
        Sort::Funds if !hides_amounts => nearest(status, now).unwrap_or(i64::MAX),
        Sort::Urgency | Sort::Funds => in_states.urgency().into(),
        Sort::Name => 0,
        Sort::Age => match &status.snapshot {
            Some(snapshot) => i64::try_from(snapshot.age(now).as_millis()).map_or(i64::MIN, |age| -age),
            None => i64::MIN,
        },
        Sort::Next => status.next_poll.map_or(i64::MAX, jiff::Timestamp::as_millisecond),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::sample::{at, board};

    fn names(view: &View, query: &str) -> Vec<String> {
        let query = Query::parse(Some(query));
        Selection::of(view, &query, &at(100)).shown.iter().map(|(status, _)| status.config.id.to_string()).collect()
    }

    const FLEET: &str = "bridge/fleet";
    const OLD: &str = "payby-uae/old";
    const SETTLEMENT: &str = "payby-uae/settlement";
    const YOUNG: &str = "payby-uae/young";

    #[test]
    fn a_query_picks_and_orders() {
        let view = board().view();
        for (query, expected) in [
            ("sort=name", vec![FLEET, OLD, SETTLEMENT, YOUNG]),
            ("sort=-name", vec![YOUNG, SETTLEMENT, OLD, FLEET]),
            // refused, below a level, and what nothing is known of
            ("", vec![OLD, SETTLEMENT, YOUNG, FLEET]),
            ("sort=funds", vec![OLD, SETTLEMENT, FLEET, YOUNG]),
            ("sort=age", vec![FLEET, YOUNG, OLD, SETTLEMENT]),
            ("sort=next", vec![SETTLEMENT, FLEET, OLD, YOUNG]),
            ("q=payby-uae", vec![OLD, SETTLEMENT, YOUNG]),
            ("q=UAE+settle", vec![SETTLEMENT]),
            ("q=aed&sort=name", vec![FLEET, OLD, SETTLEMENT, YOUNG]),
            ("q=%3Cscript%3E+fleet", vec![FLEET]),
            ("q=nobody", vec![]),
            ("state=fresh&sort=name", vec![OLD, SETTLEMENT]),
            ("state=attention&sort=name", vec![OLD, SETTLEMENT]),
            ("state=not_polled&sort=name", vec![FLEET, YOUNG]),
            ("state=throttled&sort=name", vec![OLD, SETTLEMENT, YOUNG]),
            ("state=fresh&q=old", vec![OLD]),
            ("sort=name&per_page=3", vec![FLEET, OLD, SETTLEMENT]),
            ("sort=name&per_page=3&page=2", vec![YOUNG]),
            ("sort=name&per_page=3&page=99", vec![YOUNG]),
        ] {
            assert_eq!(names(&view, query), expected, "{query}");
        }
    }

    #[test]
    fn an_order_does_not_betray_hidden_amounts() {
        let board = board();
        board.hide_amounts(true);
        let view = board.view();
        assert_eq!(names(&view, "sort=funds"), names(&view, ""));
    }

    #[test]
    fn what_is_found_is_counted() {
        let view = board().view();
        let count = |query| {
            let selection = Selection::of(&view, &Query::parse(Some(query)), &at(100));
            let Selection { all, found, matching, pages, .. } = selection;
            (all.all, all.attention, found.all, found.of(Only::In(State::Fresh)), matching, pages)
        };
        assert_eq!(count(""), (4, 2, 4, 2, 4, 1));
        assert_eq!(count("q=settlement&state=stale&per_page=1"), (4, 2, 1, 1, 0, 1));
        assert_eq!(count("per_page=1"), (4, 2, 4, 2, 4, 4));
        let nothing = View::default();
        let selection = Selection::of(&nothing, &Query::default(), &at(0));
        assert_eq!((selection.matching, selection.page, selection.pages), (0, 1, 1));
    }
}
