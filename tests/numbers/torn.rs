//! All figures of an account in a scrape are of one reply, however often replies come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::bench::{BRIDGE, Bench, at, bridge_reply};

#[test]
fn no_scrape_mixes_two_replies() {
    let bench =
        Bench::new(BRIDGE, &["service_id: 1, currency: GHS".to_owned(), "service_id: 2, currency: GHS".to_owned()]);
    let done = AtomicBool::new(false);
    bench.file(0, &bridge_reply("0", "0", "7"), at(0));
    bench.file(1, &bridge_reply("0", "0", "7"), at(0));
    thread::scope(|scope| {
        // a scrape that fails ends the writer, too
        let ends = Ends(&done);
        let writer = scope.spawn(|| {
            let mut count = 0_u64;
            while !done.load(Ordering::Relaxed) {
                count += 1;
                for index in [0, 1] {
                    let (once, twice, more) = (count.to_string(), (2 * count).to_string(), (3 * count + 7).to_string());
                    // read at a time that the figures tell, too
                    bench.file(index, &bridge_reply(&once, &twice, &more), at(count % 300));
                }
            }
            count
        });
        let mut different = 0;
        let mut before = 0;
        for _ in 0..2_000 {
            let seen = bench.scrape(at(300));
            for account in ["a0", "a1"] {
                let figure = |metric, wallet| {
                    let value = seen.value(metric, &[("account", account), ("wallet", wallet)]);
                    value.unwrap().parse::<u64>().unwrap()
                };
                let once = figure("balance_available_amount", "payout");
                assert_eq!(figure("balance_available_amount", "collection"), 2 * once);
                assert_eq!(figure("balance_available_amount", "sms"), 3 * once + 7);
                assert_eq!(figure("balance_inflow_amount_total", "payout"), once, "flows are of the same reply");
                assert_eq!(figure("balance_inflow_amount_total", "sms"), 3 * once);
                let label = [("account", account)];
                let read = seen.value("balance_last_success_timestamp_seconds", &label).unwrap();
                assert_eq!(read, (1_800_000_000 + once % 300).to_string(), "the time is of the same reply");
                assert_eq!(seen.value("balance_polls_total", &label), Some(&*(once + 1).to_string()));
                different += u64::from(once != before);
                before = once;
            }
        }
        drop(ends);
        let written = writer.join().unwrap();
        assert!(different > 200, "only {different} changes were seen of {written}");
    });
}

/// Says that it is over, also when it ends badly.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
