//! Everything that production has — schedule, limiter, gate, sessions, store, board — killed and started again, over
//! and over, on disks that lose what was not synced. One seed decides everything; `RESTARTS_SEED=<seed>` runs that one
//! alone, `RESTARTS_DAYS` says how many days there are in all.
//!
//! The judges know nothing of the code: the provider's own log of arrivals, and what the wire has said.

use std::time::Instant;

use super::world::{Tally, World};

/// Simulated days, if nobody asks for more.
const DAYS: u64 = 100;
const SEEDS: u64 = 50;

#[test]
#[expect(clippy::disallowed_methods, reason = "how a person asks for more, and how long it took")]
fn limits_numbers_and_counters_survive_every_end() {
    let asked = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let days = asked("RESTARTS_DAYS").unwrap_or(DAYS);
    let fresh = fastrand::u64(1_000..u64::MAX);
    let seeds: Vec<u64> = match asked("RESTARTS_SEED") {
        Some(seed) => vec![seed],
        None => (1..SEEDS).chain([fresh]).collect(),
    };
    let hours = days * 24 / SEEDS;
    let began = Instant::now();
    let mut total = Tally::default();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async { World::new(seed).run(hours).await })
        });
        match run {
            Ok(tally) => total += tally,
            Err(panic) => {
                eprintln!("RESTARTS_SEED={seed} RESTARTS_DAYS={days} breaks a law");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{days} days in {:?}, the fresh seed was {fresh}: {total:?}", began.elapsed());
    // the run must have met what it is about
    let Tally { kills, power_failures, stops, arrivals, remembered, .. } = total;
    assert!(kills > 50 && power_failures > 50 && stops > 10 && arrivals > 500 && remembered > 50, "{total:?}");
}
