//! What a provider allows, and whether the accounts' intervals fit it.

use std::time::Duration;

use humantime::format_duration;

use super::pace::{LONGEST_INTERVAL, SHORTEST_INTERVAL};
use super::raw::{self, RateLimit};
use crate::document::{Path, Problem};
use crate::providers::Facts;
use crate::rate_limit::{Quota, Window};

/// Most requests of a window.
const MOST_REQUESTS: u32 = 1_000_000;
/// Longest window.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// Most windows of a limit.
const MOST_WINDOWS: usize = 8;

/// The limit of a provider entry: as written, or else the API's own.
pub(super) fn of(facts: &Facts, written: Option<&RateLimit>, provider: &Path) -> Result<Quota, Vec<Problem>> {
    let path = provider.key("rate_limit");
    let mut problems = Vec::new();
    let windows = match written {
        None => facts.rate_limit.iter().map(|&(requests, per)| Window { requests, per }).collect(),
        Some(RateLimit::One(window)) => vec![checked(window, &path, &mut problems)],
        Some(RateLimit::All(windows)) => {
            if !(1..=MOST_WINDOWS).contains(&windows.len()) {
                problems.push(Problem::of(path.clone(), format!("expected 1 to {MOST_WINDOWS} windows")));
            }
            let lengths: Vec<_> = windows.iter().map(|window| window.per.get()).collect();
            let windows = windows.iter().enumerate().map(|(index, window)| {
                // the tighter of two would hold, and their series would be the same
                if lengths[..index].contains(&lengths[index]) {
                    let message = "expected another length than the windows before: one of each length is enough";
                    problems.push(Problem::of(path.index(index).key("per"), message));
                }
                checked(window, &path.index(index), &mut problems)
            });
            windows.collect()
        }
    };
    if problems.is_empty() { Ok(Quota { windows }) } else { Err(problems) }
}

fn checked(window: &raw::Window, path: &Path, problems: &mut Vec<Problem>) -> Window {
    if !(1..=MOST_REQUESTS).contains(&window.requests) {
        problems.push(Problem::of(path.key("requests"), format!("expected 1 to {MOST_REQUESTS}")));
    }
    let per = window.per.get();
    if per < Duration::from_secs(1) || per > LONGEST {
        problems.push(Problem::of(path.key("per"), "expected 1s to 31d"));
    }
    Window { requests: window.requests, per }
}

/// Whether accounts with these intervals ask more often than a window allows. They could never keep their
/// intervals, and the limiter would decide whose balance is how old. `is_written` tells whether the entry has a limit
/// of its own, which is to blame then.
pub(super) fn exceeded(quota: &Quota, intervals: &[Duration], provider: &Path, is_written: bool) -> Option<Problem> {
    quota.windows.iter().find_map(|window| {
        let &Window { requests, per } = window;
        let polls = window.requests_at(intervals.iter().copied());
        if polls <= f64::from(requests) * (1.0 + 1e-9) {
            return None;
        }
        let accounts = intervals.len() as u128;
        let seconds = (accounts * per.as_millis()).div_ceil(u128::from(requests) * 1000);
        let fitting = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)).max(SHORTEST_INTERVAL);
        let advice = if fitting > LONGEST_INTERVAL {
            "no interval of at most 24h fits: poll fewer accounts".to_owned()
        } else {
            format!("an interval of {} for all of them fits", format_duration(fitting))
        };
        let who = if accounts == 1 { "1 account asks".to_owned() } else { format!("{accounts} accounts ask") };
        let message = format!(
            "{who} {polls:.1} times in {per}, but the limit is {requests}: {advice}",
            per = format_duration(per),
        );
        let (key, with_key) = if is_written { ("rate_limit", false) } else { ("accounts", true) };
        let problem = Problem::of(provider.key(key), message);
        Some(if with_key { problem.with_the_key() } else { problem })
    })
}
