"""One account of the world: what its wallets hold, how its polls end, and the series that the exporter makes of it."""

import random
from dataclasses import dataclass, field

STEP = 120  # seconds between scrapes
HOUR = 3600
REASONS = [
    "dns",
    "connect",
    "tls",
    "timeout",
    "auth",
    "rate_limited",
    "redirect",
    "rejected",
    "unavailable",
    "malformed",
    "schema",
    "mismatch",
    "integrity",
    "clock",
    "internal",
]


@dataclass
class Wallet:
    """Money that is spent evenly, with some chance, and topped up when it falls below a level."""

    name: str
    currency: str
    holds: float
    spends: float  # per hour
    refill: tuple = (0, 0)  # below which level, by how much
    thresholds: dict = field(default_factory=dict)
    figures: tuple = ("available",)  # of: available, total, frozen, limit
    frozen: float = 0
    limit: float = 0

    def spend(self, chance):
        self.holds -= self.spends * STEP / HOUR * chance.uniform(0, 2)
        if self.holds < self.refill[0]:
            self.holds += self.refill[1]
        self.holds = round(self.holds, 2)


@dataclass
class Account:
    """`trouble` is a list of (from, until, reason), in seconds of the world, until None for ever."""

    provider: str
    name: str
    api: str
    wallets: list
    labels: dict = field(default_factory=dict)
    trouble: list = field(default_factory=list)
    hiccups: dict = field(default_factory=dict)  # reason: chance that a single poll fails so
    interval: int = 60
    stale_after: int = 600
    gone: float = None  # when it was taken out of the configuration

    def __post_init__(self):
        self.chance = random.Random(self.name)
        self.last_success, self.polls, self.succeeded = 0, 0, False
        self.failures = dict.fromkeys(REASONS, 0)
        self.held, self.repeated = 0, 0
        self.shown, self.flows = {}, {}

    def reason(self, now):
        for since, until, reason in self.trouble:
            if since <= now and (until is None or now < until):
                return reason
        return next((reason for reason, share in self.hiccups.items() if self.chance.random() < share), None)

    def live(self, now):
        """What happens until the scrape at `now`."""
        for wallet in self.wallets:
            wallet.spend(self.chance)
        reason, polls = self.reason(now), max(1, STEP // self.interval)
        self.polls += polls
        self.succeeded = reason is None
        if reason:
            self.failures[reason] += polls
            return
        # rare, at times of their own
        self.held += int(now % (9 * HOUR) == 2 * HOUR)
        self.repeated += int(now % (11 * HOUR) == HOUR)
        self.last_success = now - 3
        for wallet in self.wallets:
            change = wallet.holds - self.shown.get(wallet.name, wallet.holds)
            flows = self.flows.setdefault(wallet.name, {"outflow": 0, "inflow": 0})
            flows["inflow" if change > 0 else "outflow"] += abs(change)
            self.shown[wallet.name] = wallet.holds

    def samples(self, now):
        """Everything that a scrape shows of it: name, labels, value."""
        own = {"provider": self.provider, "account": self.name, **self.labels}
        fresh = now - self.last_success <= self.stale_after
        for wallet in self.wallets:
            yield from self.amounts(wallet, {**own, "wallet": wallet.name, "currency": wallet.currency}, fresh)
        yield "balance_fresh", own, int(fresh)
        yield "balance_poll_success", own, int(self.succeeded)
        yield "balance_last_success_timestamp_seconds", own, self.last_success
        yield "balance_last_poll_timestamp_seconds", own, now - 2
        yield "balance_next_poll_timestamp_seconds", own, now + self.interval - 3
        yield "balance_poll_interval_seconds", own, self.interval
        yield "balance_stale_after_seconds", own, self.stale_after
        yield "balance_polls_total", own, self.polls
        for reason, count in self.failures.items():
            yield "balance_poll_failures_total", {**own, "reason": reason}, count
        yield "balance_readings_held_total", own, self.held
        yield "balance_repeated_replies_total", own, self.repeated
        yield "balance_account_info", {**own, "api": self.api, "environment": "production"}, 1

    def amounts(self, wallet, labels, fresh):
        if fresh:
            shown = self.shown[wallet.name]
            figures = {
                "available": ("balance_available_amount", shown),
                "total": ("balance_amount", shown + wallet.frozen),
                "frozen": ("balance_frozen_amount", wallet.frozen),
                "limit": ("balance_credit_limit_amount", wallet.limit),
            }
            for figure in wallet.figures:
                name, value = figures[figure]
                yield name, labels, round(value, 2)
        for flow, amount in self.flows.get(wallet.name, {}).items():
            yield f"balance_{flow}_amount_total", labels, round(amount, 2)
        for severity, amount in wallet.thresholds.items():
            yield "balance_threshold_amount", {**labels, "severity": severity}, amount
