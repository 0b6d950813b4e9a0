//! What the page and the JSON tell: one account as people and programs hear of it, and which accounts are asked for.
//!
//! Two rules are kept here, so that neither the page nor the JSON can break them: an amount that is not fresh is not
//! told, and with `web.hide_amounts` none is, nor anything that it could be guessed from.

mod account;
mod line;
mod listing;
mod provider;
mod query;
mod selection;
mod share;
mod state;

pub(super) use account::{Account, LastFailure, Level, PastPoll, Wallet};
pub(super) use line::TOP;
pub(super) use listing::Listing;
pub(super) use provider::{Provider, Window};
pub(super) use query::{MOST_PER_PAGE, Only, Query, Sort};
pub(super) use state::{State, States, Tone};
