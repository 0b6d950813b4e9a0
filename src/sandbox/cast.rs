//! Whose accounts the sandbox keeps: those of a small payments team.

use std::time::Duration;

use super::account::{Account, Listing, Pot, Scale, Shape, Tariff, Watch};
use super::drift::Drift;

/// All accounts, in the order of the matching configuration. Names are unique.
pub(super) fn accounts() -> Vec<Account> {
    vec![
        account(
            "lk-reload-pool",
            Listing::Dialog { segment: "94770000101", encrypted: false, tariff: Tariff::Prepaid },
            vec![pot("main", "LKR", 2, drains(4_800_000, 900_000, 420))],
            watch(10, 10_000, 4_000, "airtime"),
        ),
        account(
            "lk-sms-sender",
            Listing::Dialog { segment: "94770000102", encrypted: false, tariff: Tariff::Prepaid },
            vec![pot("main", "LKR", 2, drains(350_000, 40_000, 600))],
            watch(15, 500, 150, "messaging"),
        ),
        account(
            "lk-field-line",
            Listing::Dialog {
                segment: "94770000103",
                encrypted: false,
                tariff: Tariff::Postpaid { limit: "15000.00" },
            },
            vec![pot("main", "LKR", 2, drains(1_500_000, 600_000, 900))],
            watch(15, 3_000, 1_000, "field"),
        ),
        account(
            "lk-wallet-app",
            Listing::Dialog { segment: "etel%3A9477-k7%252BQx%25A3m", encrypted: true, tariff: Tariff::Prepaid },
            vec![pot("main", "LKR", 2, drains(90_000, 15_000, 300))],
            watch(15, 100, 50, "airtime"),
        ),
        account(
            "uae-settlement",
            Listing::PayBy,
            vec![pot("main", "AED", 2, drains(89_799_388, 20_000_000, 600))],
            watch(5, 150_000, 60_000, "treasury"),
        ),
        account(
            "uae-usd-float",
            Listing::PayBy,
            vec![pot("main", "USD", 2, drains(12_500_000, 6_000_000, 900))],
            watch(10, 25_000, 10_000, "treasury"),
        ),
        account(
            "gh-operations",
            Listing::Bridge { service_id: 4_101 },
            vec![
                pot("payout", "GHS", 2, drains(2_400_000, 500_000, 300)),
                pot("collection", "GHS", 2, collects(50_000, 1_800_000, 360)),
                pot("sms", "GHS", 1, drains(9_000, 1_000, 600)),
            ],
            watch(5, 4_000, 1_500, "west-africa"),
        ),
        account(
            "gh-merchant-payouts",
            Listing::Bridge { service_id: 4_102 },
            vec![
                pot("payout", "GHS", 2, drains(7_500_000, 2_500_000, 480)),
                pot("collection", "GHS", 2, collects(0, 640_000, 480)),
                pot("sms", "GHS", 1, drains(4_000, 900, 900)),
            ],
            watch(10, 15_000, 5_000, "west-africa"),
        ),
        // runs low a minute and a half after the start, and again every three minutes
        account(
            "pe-payout",
            smilepayz("71220010000000000101", Shape::Object, Scale::Major),
            vec![Pot {
                held: 125_050,
                ..pot("payout", "PEN", 2, Drift { phase: 0, ..drains(6_000_000, 250_000, 180) })
            }],
            watch(5, 40_000, 15_000, "latam"),
        ),
        account(
            "pe-payin",
            smilepayz("71220010000000000102", Shape::Object, Scale::Major),
            vec![Pot { held: 32_000, ..pot("payin", "PEN", 2, collects(200_000, 5_000_000, 300)) }],
            watch(10, 1_000, 200, "latam"),
        ),
        account(
            "br-payout",
            smilepayz("71320010000000000201", Shape::Object, Scale::Minor(2)),
            vec![pot("payout", "BRL", 2, drains(48_000_000, 15_000_000, 540))],
            watch(15, 100_000, 40_000, "latam"),
        ),
        account(
            "id-payout",
            smilepayz("61020010000000000301", Shape::Array, Scale::Major),
            vec![Pot { held: 2_500_000, ..pot("payout", "IDR", 0, drains(980_000_000, 210_000_000, 480)) }],
            watch(10, 150_000_000, 50_000_000, "apac"),
        ),
    ]
}

fn account(name: &'static str, listing: Listing, pots: Vec<Pot>, watch: Watch) -> Account {
    Account { name, listing, pots, watch, reported: None, requests: 0 }
}

const fn smilepayz(account_no: &'static str, shape: Shape, scale: Scale) -> Listing {
    Listing::Smilepayz { account_no, shape, scale }
}

const fn pot(wallet: &'static str, currency: &'static str, decimals: u8, drift: Drift) -> Pot {
    Pot { wallet, currency, decimals, drift, held: 0, set: None }
}

/// From `from` to about `to` minor units in `round` seconds, and then topped up; a fifth of the way at the start.
const fn drains(from: u64, to: u64, round: u64) -> Drift {
    Drift { from, to, round, phase: round / 5 }
}

/// From `from` to about `to` minor units in `round` seconds, and then swept; half-way at the start.
const fn collects(from: u64, to: u64, round: u64) -> Drift {
    Drift { from, to, round, phase: round / 2 }
}

const fn watch(interval: u64, warning: u64, critical: u64, team: &'static str) -> Watch {
    Watch { interval: Duration::from_secs(interval), warning, critical, team }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::money::{Amount, Currency};

    #[test]
    fn names_are_unique_and_currencies_exist() {
        let accounts = accounts();
        let names: BTreeSet<_> = accounts.iter().map(|account| account.name).collect();
        assert_eq!(names.len(), accounts.len());
        for pot in accounts.iter().flat_map(|account| &account.pots) {
            assert!(Currency::parse(pot.currency).is_some(), "{}", pot.currency);
        }
    }

    #[test]
    fn one_account_runs_low_within_three_minutes_whatever_the_seed() {
        let accounts = accounts();
        let account = accounts.iter().find(|account| account.name == "pe-payout").unwrap();
        let level = |text: u64| Amount::parse(&text.to_string()).unwrap();
        for seed in 0..100 {
            let available = |second| account.figures(seed, Duration::from_secs(second))[0].available.unwrap();
            assert!(available(0) > level(account.watch.warning));
            assert!(available(110) < level(account.watch.warning), "seed {seed}");
            assert!((0..180).any(|second| available(second) < level(account.watch.critical)), "seed {seed}");
        }
    }
}
