"""Two days of scrapes of an exporter whose accounts fare in every way that a dashboard is for.

Times count from the beginning of the world. One wallet is nearly empty, one is low, one runs out soon; one account
cannot be reached, one has wrong credentials, one was removed; one provider asks to slow down, and one's clock is wrong.
Beside the exporter there is another program, which no dashboard of ours may show.
"""

import random

from account import HOUR, STEP, Account, Wallet

SPAN = 50 * HOUR
US = {"job": "balances", "instance": "10.0.7.21:10920"}
STRANGER = {"job": "node", "instance": "10.0.7.9:9100"}
#: The account that has something to show in every panel but for figures that its provider does not send.
SHOWN = ("bridge-gh", "gh-payouts")


def ago(hours):
    return SPAN - hours * HOUR


def accounts():
    treasury, africa, latin = {"team": "treasury"}, {"team": "west-africa"}, {"team": "latin-america"}
    total = ("available", "total", "frozen")
    return [
        Account(
            "payby-uae",
            "uae-settlement",
            "payby",
            labels=treasury,
            interval=30,
            wallets=[
                Wallet("main", "AED", 610_000, 9_000, (180_000, 450_000), {"warning": 50_000, "critical": 10_000}),
            ],
        ),
        Account(
            "payby-uae",
            "uae-usd-float",
            "payby",
            labels=treasury,
            hiccups={"integrity": 0.002},
            wallets=[
                Wallet("main", "USD", 64_000, 900, (0, 0), {"warning": 25_000, "critical": 5_000}),
            ],
        ),
        Account(
            "bridge-gh",
            "gh-payouts",
            "bridge",
            labels=africa,
            hiccups={"timeout": 0.01, "connect": 0.004},
            trouble=[(ago(4.5), ago(4), "unavailable")],
            wallets=[
                Wallet("payout", "GHS", 21_000, 400, thresholds={"warning": 4_000, "critical": 1_500}),
                Wallet("collection", "GHS", 2_000, -310, figures=total, frozen=350),
                Wallet("sms", "GHS", 900, 6, (80, 700), thresholds={"warning": 50}),
            ],
        ),
        Account(
            "bridge-gh",
            "gh-operations",
            "bridge",
            labels=africa,
            wallets=[
                Wallet("payout", "GHS", 38_000, 260, (9_000, 30_000), {"warning": 6_000, "critical": 2_000}),
            ],
        ),
        Account(
            "bridge-gh",
            "gh-branch-2",
            "bridge",
            labels=africa,
            gone=ago(7),
            wallets=[
                Wallet("payout", "GHS", 5_000, 40, (2_000, 5_000), {"warning": 500}),
            ],
        ),
        Account(
            "dialog-lk",
            "lk-field-line",
            "dialog",
            interval=120,
            trouble=[(ago(0.8), None, "unavailable")],
            wallets=[
                Wallet(
                    "main", "LKR", 46_000, 310, (12_000, 40_000), {"warning": 10_000}, ("total", "limit"), limit=50_000
                ),
            ],
        ),
        Account(
            "smilepayz-pe",
            "pe-payout",
            "smilepayz",
            labels=latin,
            hiccups={"rate_limited": 0.02},
            wallets=[
                Wallet(
                    "payout",
                    "PEN",
                    160_000,
                    2_900,
                    (30_000, 120_000),
                    {"warning": 28_000, "critical": 9_000},
                    total,
                    1_200,
                ),
            ],
        ),
        Account(
            "smilepayz-pe",
            "pe-payin",
            "smilepayz",
            labels=latin,
            trouble=[(ago(3), None, "auth")],
            wallets=[
                Wallet("payin", "PEN", 44_000, 330, (20_000, 40_000), {"warning": 15_000}, total, 800),
            ],
        ),
    ]


LIMITS = {
    "payby-uae": {"1m": (60, 20)},
    "bridge-gh": {"1m": (60, 100), "1s": (1, 20)},
    "dialog-lk": {"1m": (60, 30)},
    "smilepayz-pe": {"1m": (60, 30)},
}
SLOWNESS = {"payby-uae": 0.2, "bridge-gh": 0.7, "dialog-lk": 1.6, "smilepayz-pe": 0.4}
BOUNDS = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0]
LATE = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0]


class Histogram:
    def __init__(self, name, bounds):
        self.name, self.bounds = name, bounds
        self.counts, self.sum = [0] * (len(bounds) + 1), 0

    def observe(self, value):
        self.sum += value
        self.counts[next((at for at, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))] += 1

    def samples(self, labels):
        seen = 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            seen += count
            yield f"{self.name}_bucket", {**labels, "le": bound}, seen
        yield f"{self.name}_sum", labels, round(self.sum, 6)
        yield f"{self.name}_count", labels, seen


class Provider:
    def __init__(self, name):
        self.name, self.chance = name, random.Random(name)
        self.requests, self.deferred, self.throttled, self.skew = 0, 0, 0, 0
        self.durations = Histogram("balance_provider_request_duration_seconds", BOUNDS)

    def live(self, now, sent):
        self.requests += sent
        for _ in range(sent):
            slow = 6 if self.name == "bridge-gh" and ago(5) < now < ago(3.9) else 1
            self.durations.observe(slow * SLOWNESS[self.name] * self.chance.lognormvariate(0, 0.4))
        if self.name == "smilepayz-pe":
            # in bursts: each half hour, and for good in the end
            self.throttled += int(now % (2 * HOUR) < 2 * STEP or now > ago(0.5))
            self.skew = 75 if now > ago(1.5) else self.chance.choice((0, 1))
        self.deferred += self.chance.choice((0, 0, 0, 1)) if self.name in ("smilepayz-pe", "payby-uae") else 0

    def samples(self, now):
        own = {"provider": self.name}
        yield "balance_provider_requests_total", own, self.requests
        yield "balance_provider_deferred_total", own, self.deferred
        yield "balance_provider_throttled_total", own, self.throttled
        for window, (length, limit) in LIMITS[self.name].items():
            of = {**own, "window": window}
            used = min(limit, round(limit * self.busy(length) * self.chance.uniform(0.7, 1.3)))
            yield "balance_provider_rate_limit_requests", of, limit
            yield "balance_provider_rate_limit_window_seconds", of, length
            yield "balance_provider_rate_limit_remaining", of, limit - used
        if self.name == "smilepayz-pe" and (now % (2 * HOUR) < 4 * STEP or now > ago(0.5)):
            yield "balance_provider_paused_until_timestamp_seconds", own, now - now % 600 + 900
        yield "balance_provider_clock_skew_seconds", own, self.skew
        if self.name == "dialog-lk":
            yield "balance_provider_session_expiry_timestamp_seconds", own, now - now % HOUR + HOUR + 60
        yield from self.durations.samples(own)

    def busy(self, length):
        """The share of a window that is taken; the short ones are mostly free."""
        share = {"payby-uae": 0.3, "bridge-gh": 0.06, "dialog-lk": 0.1, "smilepayz-pe": 0.72}[self.name]
        return share if length > 1 else 0.05


class Process:
    def __init__(self):
        self.chance = random.Random("process")
        self.cpu = 0
        self.lateness = Histogram("balance_exporter_poll_lateness_seconds", LATE)

    def live(self, now, polls):
        self.cpu += self.chance.uniform(0.3, 0.9)
        for _ in range(polls):
            self.lateness.observe(self.chance.lognormvariate(-6, 0.6) * (400 if ago(4.6) < now < ago(4.4) else 1))

    def samples(self, now):
        chance = self.chance
        yield "balance_exporter_build_info", {"version": "0.1.0"}, 1
        yield "balance_exporter_config_last_reload_successful", {}, int(not ago(2.6) < now < ago(2))
        yield "balance_exporter_state_write_success", {}, int(not ago(3.4) < now < ago(3.1))
        loaded = next(ago(hours) for hours in (2, 5, 50) if now >= ago(hours))
        yield "balance_exporter_config_last_reload_success_timestamp_seconds", {}, max(loaded, 1)
        yield from self.lateness.samples({})
        yield from self.machine(41e6 + chance.uniform(0, 2e6), 23 + chance.randrange(6), self.cpu)

    @staticmethod
    def machine(memory, files, cpu):
        yield "process_cpu_seconds_total", {}, round(cpu, 2)
        yield "process_max_fds", {}, 1024
        yield "process_open_fds", {}, files
        yield "process_resident_memory_bytes", {}, round(memory)
        yield "process_start_time_seconds", {}, 1
        yield "process_threads", {}, 9
        yield "process_virtual_memory_bytes", {}, 1.2e9


def scrapes():
    """Each scrape: its time, and its samples with the labels that Prometheus adds."""
    everyone, process = accounts(), Process()
    providers = [Provider(name) for name in LIMITS]
    for now in range(0, SPAN + 1, STEP):
        present = [account for account in everyone if account.gone is None or now < account.gone]
        for account in present:
            account.live(now)
        for provider in providers:
            provider.live(now, sum(max(1, STEP // each.interval) for each in present if each.provider == provider.name))
        process.live(now, len(present))
        samples = [sample for part in (*present, *providers, process) for sample in part.samples(now)]
        scrape = [(name, {**US, **labels}, value) for name, labels, value in samples]
        scrape += [(name, STRANGER, value) for name, _, value in Process.machine(9e7, 12, now / 100)]
        for target, is_up in ((US, 1), (STRANGER, 0)):
            scrape.append(("up", target, is_up))
            scrape.append(("scrape_duration_seconds", target, round(process.chance.uniform(0.004, 0.011), 6)))
            scrape.append(("scrape_samples_scraped", target, len(samples)))
        yield now, scrape
