//! A page of accounts with their providers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::account::Account;
use super::provider::Provider;
use super::query::Query;
use super::selection::{Counts, Selection};
use super::state::States;
use crate::board::{AccountStatus, View};
use crate::clock::Now;

/// A page of accounts, with the providers that they belong to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Listing {
    /// When this was true.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(in crate::web) at: Timestamp,
    /// Whether amounts are kept back (`web.hide_amounts`).
    pub(in crate::web) amounts_hidden: bool,
    /// Accounts in all.
    pub(in crate::web) total: usize,
    /// How many of them need attention.
    pub(in crate::web) needing_attention: usize,
    /// How many the search and the filter leave.
    pub(in crate::web) matching: usize,
    /// This page, from 1 on: the last one if another was asked for beyond it.
    pub(in crate::web) page: usize,
    /// How many pages there are.
    pub(in crate::web) pages: usize,
    /// Most accounts on a page.
    pub(in crate::web) per_page: usize,
    /// The accounts of this page, in the order that was asked for.
    pub(in crate::web) accounts: Vec<Account>,
    /// The providers of these accounts, by name.
    pub(in crate::web) providers: Vec<Provider>,
    /// Of all accounts.
    #[serde(skip)]
    pub(in crate::web) all: Counts,
    /// Of those that the search finds.
    #[serde(skip)]
    pub(in crate::web) found: Counts,
}

impl Listing {
    /// What `query` asks for, as it is at `now`.
    pub(in crate::web) fn of(view: &View, query: &Query, now: &Now) -> Self {
        let Selection { all, found, matching, page, pages, shown, waiting } = Selection::of(view, query, now);
        let names: BTreeSet<_> = shown.iter().map(|(status, _)| &status.config.id.provider).collect();
        let providers = view.providers.iter().filter(|provider| names.contains(&provider.name));
        let told = |(status, states): &(&Arc<AccountStatus>, States)| {
            let waiting = waiting.get(&*status.config.id.provider).copied();
            Account::of(status, *states, waiting, view.hides_amounts, now)
        };
        Self {
            at: now.wall,
            amounts_hidden: view.hides_amounts,
            total: all.all,
            needing_attention: all.attention,
            matching,
            page,
            pages,
            per_page: query.per_page,
            accounts: shown.iter().map(told).collect(),
            providers: providers.map(|provider| Provider::of(provider, now)).collect(),
            all,
            found,
        }
    }
}
