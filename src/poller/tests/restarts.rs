//! Everything that production has — schedule, limiter, gate, sessions, store, board — killed and started again, over
//! and over, on disks that lose what was not synced, with clocks that jump and stand still, files that somebody damages
//! or restores, reloads, and providers that throttle, refuse, lose answers and end sessions. At the end of each seed
//! all trouble ends, and everything must be well again in time.
//!
//! One seed decides everything about one day; `RESTARTS_SEED=<seed>` runs that one alone, `RESTARTS_DAYS` says how many
//! there are in all.

use std::panic;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::diary;
use super::judge::Tally;
use super::stage::secs;
use super::world::World;

/// Simulated days, if nobody asks for more: an eighth of a second each. The last one is of a fresh seed.
const DAYS: u64 = 1_000;
/// Seeds that once broke a law, and what it was; they are run besides. What a seed means changes with the world, so
/// what they have found is tested by itself as well.
const FOUND: [u64; 0] = [];
const THREADS: usize = 2;

#[test]
#[expect(clippy::disallowed_methods, reason = "how a person asks for more, and how long it took")]
fn limits_numbers_counters_and_sessions_survive_every_end() {
    let asked = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let days = asked("RESTARTS_DAYS").unwrap_or(DAYS);
    let fresh = fastrand::u64(1_000_000..u64::MAX);
    let seeds: Vec<u64> = match asked("RESTARTS_SEED") {
        Some(seed) => vec![seed],
        None => (1..days).chain([fresh]).chain(FOUND).collect(),
    };
    let ran = seeds.len() as u64;
    let began = Instant::now();
    let waiting = Mutex::new(seeds.into_iter());
    let next = || waiting.lock().unwrap().next();
    let work = || {
        let mut total = Tally::default();
        while let Some(seed) = next() {
            let _diary = asked("RESTARTS_SEED").is_some().then(diary::keep);
            let run = panic::catch_unwind(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
                runtime.unwrap().block_on(async { World::new(seed).run_for(secs(86_400)).await })
            });
            match run {
                Ok(tally) => total += tally,
                Err(broken) => {
                    for entry in diary::close() {
                        eprintln!("{entry}");
                    }
                    eprintln!("RESTARTS_SEED={seed} breaks a law");
                    panic::resume_unwind(broken);
                }
            }
        }
        total
    };
    let mut total = Tally::default();
    thread::scope(|scope| {
        for worker in (0..THREADS).map(|_| scope.spawn(work)).collect::<Vec<_>>() {
            total += worker.join().unwrap_or_else(|broken| panic::resume_unwind(broken));
        }
    });
    println!("{ran} days in {:?}, the fresh seed was {fresh}: {total:?}", began.elapsed());
    if ran < 50 {
        return;
    }
    // the run must have met what it is about
    let Tally { kills, power_failures, stops, arrivals, remembered, resumed, .. } = total;
    assert!(kills > ran && power_failures > ran && stops > ran / 2 && arrivals > 100 * ran, "{total:?}");
    assert!(remembered > ran && resumed > ran / 2, "{total:?}");
    let Tally { logins, refreshes, repeated, reloads, vandals, .. } = total;
    assert!(
        logins > ran && refreshes > ran && repeated > ran / 100 && reloads > ran && vandals > ran / 20,
        "{total:?}"
    );
}
