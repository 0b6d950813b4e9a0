//! What a reader asks to see: all of it stands in the address, so that it works without a script and can be shared.

use url::form_urlencoded::{Serializer, parse};

use super::state::State;

/// Most characters that are searched for.
const MOST_CHARS: usize = 100;
/// Accounts on a page unless somebody asks for another number.
const PER_PAGE: usize = 50;
/// Most accounts on a page.
pub(in crate::web) const MOST_PER_PAGE: usize = 1_000;

/// Which accounts, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Query {
    /// Words that must all be found.
    pub(in crate::web) search: String,
    pub(in crate::web) only: Option<Only>,
    pub(in crate::web) sort: Sort,
    /// The other way round.
    pub(in crate::web) reverse: bool,
    /// From 1 on.
    pub(in crate::web) page: usize,
    pub(in crate::web) per_page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self { search: String::new(), only: None, sort: Sort::Urgency, reverse: false, page: 1, per_page: PER_PAGE }
    }
}

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Only {
    /// Somebody should look.
    Attention,
    /// In this state, whatever others it is in.
    In(State),
}

impl Only {
    /// In the order in which they are offered.
    pub(in crate::web) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Attention).chain(State::ALL.into_iter().map(Self::In))
    }

    /// As it stands in an address.
    pub(in crate::web) const fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::In(state) => state.as_str(),
        }
    }

    /// For people.
    pub(in crate::web) const fn label(self) -> &'static str {
        match self {
            Self::Attention => "needs attention",
            Self::In(state) => state.label(),
        }
    }
}

/// An order of accounts; equal ones stand in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Sort {
    /// The worst state first.
    Urgency,
    /// By provider and account.
    Name,
    /// The nearest to its threshold first, or the furthest below it.
    Funds,
    /// The oldest reading first.
    Age,
    /// The next to be polled first.
    Next,
}

impl Sort {
    /// In the order in which they are offered.
    pub(in crate::web) const ALL: [Self; 5] = [Self::Urgency, Self::Name, Self::Funds, Self::Age, Self::Next];

    /// As it stands in an address.
    pub(in crate::web) const fn as_str(self) -> &'static str {
        match self {
            Self::Urgency => "urgency",
            Self::Name => "name",
            Self::Funds => "funds",
            Self::Age => "age",
            Self::Next => "next",
        }
    }

    /// For people.
    pub(in crate::web) const fn label(self) -> &'static str {
        match self {
            Self::Urgency => "most urgent first",
            Self::Name => "by name",
            Self::Funds => "nearest to a threshold first",
            Self::Age => "oldest reading first",
            Self::Next => "next to be polled first",
        }
    }
}

impl Query {
    /// What stands behind the `?` of an address. What makes no sense counts for nothing: an address that somebody
    /// has cut short still shows the accounts.
    pub(in crate::web) fn parse(text: Option<&str>) -> Self {
        let mut query = Self::default();
        for (key, value) in parse(text.unwrap_or_default().as_bytes()) {
            match &*key {
                "q" => query.search = value.trim().chars().take(MOST_CHARS).collect(),
                "state" => query.only = Only::all().find(|only| only.as_str() == value),
                "sort" => {
                    let (name, reverse) = value.strip_prefix('-').map_or((&*value, false), |name| (name, true));
                    if let Some(sort) = Sort::ALL.into_iter().find(|sort| sort.as_str() == name) {
                        (query.sort, query.reverse) = (sort, reverse);
                    }
                }
                "page" => query.page = value.parse().unwrap_or(1).max(1),
                "per_page" => query.per_page = value.parse().unwrap_or(PER_PAGE).clamp(1, MOST_PER_PAGE),
                _ => {}
            }
        }
        query
    }

    /// The same as [`parse`](Self::parse) reads it, as short as it can be; with its `?`, or nothing.
    pub(in crate::web) fn to_text(&self) -> String {
        let usual = Self::default();
        let mut text = Serializer::new(String::new());
        if !self.search.is_empty() {
            text.append_pair("q", &self.search);
        }
        if let Some(only) = self.only {
            text.append_pair("state", only.as_str());
        }
        if (self.sort, self.reverse) != (usual.sort, usual.reverse) {
            text.append_pair("sort", &self.sort_text());
        }
        if self.per_page != usual.per_page {
            text.append_pair("per_page", &self.per_page.to_string());
        }
        if self.page != usual.page {
            text.append_pair("page", &self.page.to_string());
        }
        let text = text.finish();
        if text.is_empty() { text } else { format!("?{text}") }
    }

    /// The value of `sort`.
    pub(in crate::web) fn sort_text(&self) -> String {
        format!("{}{}", if self.reverse { "-" } else { "" }, self.sort.as_str())
    }

    /// The first page of another filter.
    pub(in crate::web) fn with_only(&self, only: Option<Only>) -> Self {
        Self { only, page: 1, ..self.clone() }
    }

    /// The first page of another order. The same order once more is the other way round.
    pub(in crate::web) fn sorted_by(&self, sort: Sort) -> Self {
        Self { sort, reverse: self.sort == sort && !self.reverse, page: 1, ..self.clone() }
    }

    /// Another page of the same.
    pub(in crate::web) fn at_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// Whether anything is left out by it.
    pub(in crate::web) const fn narrows(&self) -> bool {
        self.only.is_some() || !self.search.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_shown() {
        for (text, means, told) in [
            ("", Query::default(), ""),
            (
                "q=payby&state=stale",
                Query { search: "payby".to_owned(), only: Some(Only::In(State::Stale)), ..Query::default() },
                "?q=payby&state=stale",
            ),
            ("q=+a%26b%3Cc%3E+", Query { search: "a&b<c>".to_owned(), ..Query::default() }, "?q=a%26b%3Cc%3E"),
            ("state=attention", Query { only: Some(Only::Attention), ..Query::default() }, "?state=attention"),
            (
                "sort=-name&page=3",
                Query { sort: Sort::Name, reverse: true, page: 3, ..Query::default() },
                "?sort=-name&page=3",
            ),
            ("per_page=100", Query { per_page: 100, ..Query::default() }, "?per_page=100"),
            // what makes no sense
            ("q=&state=&sort=&page=&per_page=", Query::default(), ""),
            ("state=rich&sort=--name&page=0&per_page=0", Query { per_page: 1, ..Query::default() }, "?per_page=1"),
            ("page=-1&per_page=99999999999999999999", Query::default(), ""),
            ("per_page=5000", Query { per_page: MOST_PER_PAGE, ..Query::default() }, "?per_page=1000"),
            ("%", Query::default(), ""),
            ("&&==&=x&y", Query::default(), ""),
            ("q=%FF%00", Query { search: "\u{fffd}\0".to_owned(), ..Query::default() }, "?q=%EF%BF%BD%00"),
        ] {
            let query = Query::parse(Some(text));
            assert_eq!((&query, query.to_text().as_str()), (&means, told), "{text}");
            assert_eq!(Query::parse(told.strip_prefix('?')), query, "{text}");
        }
        assert_eq!(Query::parse(None), Query::default());
        assert_eq!(Query::parse(Some(&format!("q={}", "é".repeat(1_000)))).search.chars().count(), MOST_CHARS);
    }

    #[test]
    fn every_filter_and_order_can_be_asked_for() {
        for only in Only::all() {
            assert_eq!(Query::parse(Some(&format!("state={}", only.as_str()))).only, Some(only));
        }
        for sort in Sort::ALL {
            assert_eq!(Query::parse(Some(&format!("sort={}", sort.as_str()))).sort, sort);
        }
    }

    #[test]
    fn another_order_begins_at_its_first_page() {
        let query = Query { page: 7, search: "x".to_owned(), ..Query::default() };
        let by_name = query.sorted_by(Sort::Name);
        assert_eq!(by_name.to_text(), "?q=x&sort=name");
        assert_eq!(by_name.sorted_by(Sort::Name).to_text(), "?q=x&sort=-name");
        assert_eq!(by_name.sorted_by(Sort::Name).sorted_by(Sort::Name).to_text(), "?q=x&sort=name");
    }
}
