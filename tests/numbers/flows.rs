//! What went out and came in is the exact sum of what readings differ by, whatever happens between them.

use balance_exporter::board::{Filing, Snapshot};
use balance_exporter::failure::{ErrorReason, Failure};
use num_bigint::BigInt;

use crate::bench::{BRIDGE, Bench, at, bridge_reply};

/// In hundred-millionths.
fn text(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) = (units.unsigned_abs() / 100_000_000, units.unsigned_abs() % 100_000_000);
    format!("{sign}{whole}.{fraction:08}")
}

fn units(text: &str) -> BigInt {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<8}").parse().unwrap()
}

#[test]
fn flows_are_exact_sums_over_failures_and_withdrawals() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bench = Bench::new(BRIDGE, &["service_id: 1, currency: GHS".to_owned()]);
        let mut last: Option<[i64; 3]> = None;
        let mut sums = [[BigInt::ZERO, BigInt::ZERO], [BigInt::ZERO, BigInt::ZERO], [BigInt::ZERO, BigInt::ZERO]];
        let mut clock = 0;
        for _ in 0..200 {
            // up to twice stale_after, so that numbers go and return
            clock += random.u64(1..600);
            if random.u8(..4) == 0 {
                let failure = Err::<Snapshot, _>(Failure::new(ErrorReason::Timeout, "late"));
                assert_eq!(bench.board.file(&bench.configs[0], failure, at(clock)), Filing::Filed);
            } else {
                let widest = 10_i64.pow(random.u32(1..17));
                let read = [(); 3].map(|()| random.i64(-widest..widest));
                bench.file(0, &bridge_reply(&text(read[0]), &text(read[1]), &text(read[2])), at(clock));
                for (wallet, earlier) in last.iter().flatten().enumerate() {
                    let fall = BigInt::from(*earlier) - BigInt::from(read[wallet]);
                    if fall > BigInt::ZERO { sums[wallet][0] += fall } else { sums[wallet][1] -= fall }
                }
                last = Some(read);
            }
            let seen = bench.scrape(at(clock + random.u64(..400)));
            for (wallet, sums) in ["payout", "collection", "sms"].into_iter().zip(&sums) {
                for (metric, sum) in
                    ["balance_outflow_amount_total", "balance_inflow_amount_total"].into_iter().zip(sums)
                {
                    let shown = seen.value(metric, &[("wallet", wallet)]);
                    assert_eq!(shown.map(units), last.map(|_| sum.clone()), "seed {seed}: {metric} of {wallet}");
                }
            }
        }
    }
}
