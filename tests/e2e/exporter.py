"""The exporter under test, and what it says on /metrics."""

import re
import time
from decimal import Decimal

from answer import ask
from program import Program, until
from stopwatch import seconds_run

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
FIGURES = {
    "balance_amount": "amount",
    "balance_available_amount": "available",
    "balance_frozen_amount": "frozen",
    "balance_credit_limit_amount": "credit_limit",
}


class Scrape:
    """One answer of /metrics in text format; values stay text, as exact as they were sent."""

    def __init__(self, text, before, after):
        self.text = text
        self.before, self.after = before, after
        self.samples = []
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), value))

    def values(self, name, **wanted):
        """The values of a metric by account, or by provider where it has no account."""
        return {
            (labels.get("provider"), labels.get("account")): float(value)
            for found, labels, value in self.samples
            if found == name and wanted.items() <= labels.items()
        }

    def one(self, name):
        (value,) = (value for found, _, value in self.samples if found == name)
        return float(value)

    def balances(self):
        return {
            (*(labels[key] for key in ("provider", "account", "wallet", "currency")), FIGURES[name]): Decimal(value)
            for name, labels, value in self.samples
            if name in FIGURES
        }

    def check_freshness(self, stale_after):
        """A number exactly while it is young enough; its absence told by balance_fresh."""
        shown = {place[:2] for place in self.balances()}
        last = self.values("balance_last_success_timestamp_seconds")
        for account, fresh in self.values("balance_fresh").items():
            assert (account in shown) == (fresh == 1), f"{account}: fresh is {fresh}, but the number says otherwise"
            if fresh:
                assert self.before - last[account] <= stale_after, f"{account}: shown at an age above {stale_after} s"
            elif last[account]:
                assert self.after - last[account] > stale_after, f"{account}: withdrawn before its time"


class Exporter(Program):
    def __init__(self, binary, config, logs, name="exporter"):
        arguments = [binary, "--config.file", config, "--web.listen-address", "127.0.0.1:0"]
        arguments += ["--web.enable-lifecycle", "--log.level", "trace"]
        super().__init__(name, arguments, logs)
        self.url = self.address(r"serving on (http://[0-9.:]+)/")
        self.answers = {}

    def ask(self, path, method="GET", headers=None):
        answer = ask(self.url + path, method, headers)
        self.answers[f"answer {len(self.answers)} to {method} {path}"] = f"{answer.headers}\n{answer.text}"
        return answer

    def scrape(self):
        before = time.time()
        answer = self.ask("/metrics")
        assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return Scrape(answer.text, before, time.time())

    def wait_ready(self, seconds=20):
        until(lambda: self.ask("/-/ready").status == 200, seconds, "every account had its first poll")
        return seconds_run() - self.started

    def shown(self):
        """Everything that it has said so far, by where it said it."""
        return self.answers | {f"log of {self.name}": self.log}
