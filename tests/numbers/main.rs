//! Never a wrong number: from the bytes of a reply to the sample of a scrape, over the whole path, against oracles
//! that share no code with it.

#![expect(clippy::unwrap_used, reason = "a test may be plain")]

mod bench;
mod exactness;
mod flows;
mod fuzz;
mod holding;
mod json;
mod judge;
mod mutator;
mod replay;
mod staleness;
mod state;
mod target;
mod torn;
