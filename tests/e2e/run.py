"""The real binary against the sandbox, with a real Prometheus and what belongs to it: `run.py BINARY FOLDER`.

The folder is what `.ci/monitoring` fills.

Everything listens on 127.0.0.1 at ports that were free, in a folder that is removed at the end. One scenario, told
from top to bottom; the first step that fails ends it and shows every log.
"""

import signal
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import crashes
import documents
import hurry
import isolation
import pager
import window
from alertmanager import Alertmanager, Receivers
from command import check_commands, check_demo
from config import LIMITS, STALE_AFTER, Config
from exporter import Exporter
from exposition import check_gzip, check_parsers
from leak import hidden_in, leaks
from program import until
from prometheus import Prometheus, VictoriaMetrics, check_metrics
from sandbox import Sandbox
from stopwatch import seconds_run

# one of each kind of trouble: provider, account, fault, reason
TROUBLE = [
    ("bridge", "gh-operations", "hang", "timeout"),
    ("payby", "uae-usd-float", "redirect", "redirect"),
    ("payby", "uae-settlement", "signature-other-body", "integrity"),
    ("smilepayz", "pe-payin", "http-401", "auth"),
    ("dialog", "lk-field-line", "http-503", "unavailable"),
]
# repeated, these slow an account down for minutes, to keep it from being locked out
SLOW_TO_RETURN = {"auth", "redirect"}
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RELOADED = "balance_exporter_config_last_reload_successful"


class Bench:
    """What the steps share."""

    def __init__(self, binary, tools, folder, running):
        self.binary, self.tools, self.folder = binary, tools, folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.sandbox = running.enter_context(Sandbox(binary, folder / "config", self.logs))
        self.config = Config(folder / "config" / "exporter.yaml")
        self.canary = "correct-horse-battery-staple"
        self.hidden = hidden_in(folder / "config") | {self.canary}
        self.exporter = running.enter_context(Exporter(binary, self.config.path, self.logs))
        target = self.exporter.url.removeprefix("http://")
        self.victoria_metrics = running.enter_context(VictoriaMetrics(tools, target, self.logs))
        self.receivers = running.enter_context(Receivers())
        quick = folder / "quick"
        hurry.hurry(SHIPPED, quick)
        pager.publish_runbooks(quick)
        hurry.point(quick / "alertmanager.yml", "127.0.0.1:9095", self.receivers.address)
        hurry.point(quick / "prometheus.yml", "127.0.0.1:10920", target)
        alertmanager = running.enter_context(Alertmanager(tools, quick / "alertmanager.yml", self.logs))
        hurry.point(quick / "prometheus.yml", "127.0.0.1:9093", alertmanager.address_told)
        self.prometheus = running.enter_context(Prometheus(tools, quick / "prometheus.yml", self.logs))
        self.readers = [
            running.enter_context(reader) for reader in documents.readers(binary, tools, folder, self.logs)
        ]
        self.measured = {}

    def scrape(self):
        """A scrape, checked as every scrape is: no number past its age, no account missing."""
        scrape = self.exporter.scrape()
        scrape.check_freshness(STALE_AFTER)
        configured = {(each["provider"], each["account"]) for each in self.sandbox.state()["accounts"]}
        for name in ("balance_fresh", "balance_polls_total", "balance_account_info"):
            assert set(scrape.values(name)) == configured, f"{name} is not there for every account"
        return scrape

    def reported(self):
        """What the providers were last heard to say, as exact numbers."""
        return {place: Decimal(text) for place, text in self.sandbox.reported().items()}


def first_balances(bench):
    bench.measured["exporter: start to ready"] = f"{bench.exporter.wait_ready():.2f} s"
    shown, reported = bench.scrape().balances(), bench.reported()
    assert len({place[:2] for place in shown}) == 12, "some account has no balance"
    other = {place for place in shown.keys() | reported if shown.get(place) != reported.get(place)}
    assert not other, [(place, shown.get(place), reported.get(place)) for place in other]


def exposition(bench):
    assert (complaint := check_metrics(bench.tools, bench.scrape().text)) == "", complaint
    check_parsers(bench.exporter)
    plain, packed = check_gzip(bench.exporter)
    bench.measured["/metrics: plain and gzip"] = f"{plain} and {packed} bytes"


def prometheus_has_the_same(bench):
    bench.prometheus.wait_ready()
    until(lambda: [value for _, value in bench.prometheus.query("up")] == ["1"], 30, "Prometheus scrapes us")
    assert bench.prometheus.balances() == bench.reported(), "Prometheus holds other numbers than the providers said"


def change_arrives(bench):
    bench.sandbox.order("smilepayz", "br-payout", available="1234567.89")
    began = time.monotonic()
    query = 'balance_available_amount{account="br-payout"}'
    until(lambda: [value for _, value in bench.prometheus.query(query)] == ["1234567.89"], 15, "the new balance")
    bench.measured["balance changed to seen in Prometheus, interval 5 s"] = f"{time.monotonic() - began:.1f} s"


def victoria_metrics_has_the_same(bench):
    wanted = "VictoriaMetrics holds what the providers said"
    until(lambda: bench.victoria_metrics.balances() == bench.reported(), 30, wanted, pause=0.2)


def trouble(bench):
    before = bench.scrape()
    shown = before.balances()
    for provider, account, fault, _ in TROUBLE:
        bench.sandbox.order(provider, account, fault=fault)
    afflicted = {trouble[:2] for trouble in TROUBLE}
    kept = {place: value for place, value in shown.items() if place[:2] in afflicted}
    seen_kept, gone = set(), set()

    def withdrawn():
        scrape = bench.scrape()
        still = {place: value for place, value in scrape.balances().items() if place[:2] in afflicted}
        assert all(kept[place] == value for place, value in still.items()), "a failed poll has changed a number"
        failing = scrape.values("balance_poll_success")
        seen_kept.update(place[:2] for place in still if failing[place[:2]] == 0)
        gone.update(place for place, fresh in scrape.values("balance_fresh").items() if not fresh)
        return gone >= afflicted and scrape

    after = until(withdrawn, 25, "the numbers of accounts in trouble are withdrawn", pause=0.2)
    assert gone == afflicted, f"withdrawn without trouble: {gone - afflicted}"
    assert seen_kept == afflicted, f"withdrawn at the first failure: {afflicted - seen_kept}"
    for provider, account, _, reason in TROUBLE:
        counted = "balance_poll_failures_total"
        place = (provider, account)
        grown = {
            labels["reason"]: float(value) - before.values(counted, reason=labels["reason"])[place]
            for name, labels, value in after.samples
            if name == counted and (labels["provider"], labels["account"]) == place
        }
        assert len(grown) == 15 and {name for name, more in grown.items() if more} == {reason}, f"{place}: {grown}"
    fresh = {(labels["provider"], labels["account"]): value for labels, value in bench.prometheus.query("balance_fresh")}
    assert set(fresh) == set(before.values("balance_fresh")), "balance_fresh is gone from Prometheus"
    query = 'balance_available_amount{account=~"%s"}' % "|".join(account for _, account in afflicted)
    until(lambda: bench.prometheus.query(query) == [], 5, "Prometheus forgets what was withdrawn")


def trouble_ends(bench):
    for provider, account, *_ in TROUBLE:
        bench.sandbox.order(provider, account, fault=None)
    back = {trouble[:2] for trouble in TROUBLE if trouble[3] not in SLOW_TO_RETURN}

    def returned():
        fresh = bench.scrape().values("balance_fresh")
        return all(fresh[place] for place in back)

    until(returned, 20, "the numbers are back", pause=0.2)


def reload(bench):
    exporter, config = bench.exporter, bench.config
    balances = bench.scrape().balances().keys()
    line = config.spoil(bench.canary)
    exporter.signal(signal.SIGHUP)
    until(lambda: bench.scrape().one(RELOADED) == 0, 5, "the broken configuration is refused")
    assert bench.scrape().balances().keys() == balances, "a refused configuration has changed the accounts"
    refused = exporter.ask("/-/reload", "POST")
    assert refused.status == 500 and f"quick.yaml:{line}:" in refused.text, refused.text
    config.restore()
    assert exporter.ask("/-/reload", "POST").status == 200
    assert bench.scrape().one(RELOADED) == 1
    assert bench.scrape().balances().keys() == balances


def limits_hold(bench):
    """Over everything that has arrived: what the configuration promises, and what the providers allow."""
    until(lambda: seconds_run() - bench.exporter.started > 64, 64, "a full minute has passed")
    arrivals, polls = bench.sandbox.arrivals(), bench.scrape().values("balance_provider_requests_total")
    for limits in (LIMITS, bench.sandbox.limits()):
        found, filled = window.overruns(arrivals, limits)
        assert not found, found
        bench.measured |= {f"fullest {seconds} s of {name}": most for (name, seconds), most in filled.items()}
    assert sum(polls.values()) >= len(arrivals), "more requests arrived than the exporter has counted"
    assert not any(each["outcome"] == "throttled" for each in arrivals), "a provider had to slow us down"
    assert bench.sandbox.broken_rules() == {}, bench.sandbox.broken_rules()


def stop(bench):
    for path in ("/", "/-/healthy", "/nothing"):
        bench.exporter.ask(path)
    bench.measured["exporter: peak memory"] = f"{bench.exporter.peak_memory():.1f} MiB"
    status, took = bench.exporter.stop()
    assert status == 0, f"the exporter ends with {status}"
    bench.measured["exporter: SIGTERM to exit"] = f"{took:.2f} s"


def nothing_leaks(bench):
    shown = bench.exporter.shown() | {"log of Prometheus": bench.prometheus.log, "log of the sandbox": bench.sandbox.log}
    assert len(shown) > 50, "hardly anything was shown at all"
    assert not leaks(bench.hidden, shown), f"a secret is shown in: {leaks(bench.hidden, shown)}"


SCENARIO = [
    first_balances,
    exposition,
    prometheus_has_the_same,
    change_arrives,
    victoria_metrics_has_the_same,
    *pager.SCENARIO,
    trouble,
    trouble_ends,
    reload,
    limits_hold,
    pager.nothing_else_fired,
    stop,
    pager.a_dead_exporter_pages,
    nothing_leaks,
    check_commands,
    check_demo,
    crashes.crashes_are_survived,
    isolation.good_ones_are_not_disturbed,
    documents.documents_are_true,
]


def main(binary, tools):
    window.check_itself()
    hurry.check_itself(SHIPPED)
    # whoever stops us stops everything that we have started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped from outside"))
    with tempfile.TemporaryDirectory(prefix="balance-exporter-e2e-") as name, ExitStack() as running:
        bench, step = None, None
        try:
            bench = Bench(binary, tools, Path(name), running)
            for step in SCENARIO:
                began = time.monotonic()
                step(bench)
                print(f"  ok  {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)
            for what, value in bench.measured.items():
                print(f"      {what}: {value}")
            return 0
        except Exception as wrong:
            traceback.print_exc()
            for log in sorted(Path(name, "logs").glob("*.log")):
                print(f"--- {log.name}, its end\n{log.read_text('utf-8', errors='replace')[-6000:]}", file=sys.stderr)
            # last, and short: it is what is left of a log that was cut
            print(f"FAILED: {step.__name__ if step else 'to start'}", file=sys.stderr)
            for each in leaves(wrong):
                notes = " ".join(getattr(each, "__notes__", []))
                print(f"  {type(each).__name__} {notes}: {str(each)[:2000]}", file=sys.stderr)
            return 1


def leaves(problem):
    if isinstance(problem, BaseExceptionGroup):
        return [leaf for each in problem.exceptions for leaf in leaves(each)]
    return [problem]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
