"""From a balance that runs low to the message that wakes somebody: shipped rules, shipped routes, real parts."""

import re
import subprocess
import time
from pathlib import Path

from program import until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "alerting.md"
PUBLISHED = "https://wiki.example.com/balances/"
LOW = ("payby", "uae-settlement")
LOCKED_OUT = ("bridge", "gh-merchant-payouts")
# what may fire in the whole run, by account; the steps see to it that the rest of this is more than a list
EXPECTED = {
    LOW: {"BalanceLow", "BalanceCritical", "BalanceUnknown", "BalanceReplyUntrusted"},
    ("payby", "uae-usd-float"): {"BalanceUnknown"},
    LOCKED_OUT: {"BalanceCredentialsRefused"},
    # the trouble that comes after this
    ("bridge", "gh-operations"): {"BalanceUnknown"},
    ("smilepayz", "pe-payin"): {"BalanceCredentialsRefused", "BalanceUnknown"},
    ("dialog", "lk-field-line"): {"BalanceUnknown"},
    # a reload is refused on purpose; polls are late where the machine has no time for them
    (None, None): {"BalanceConfigReloadFailed", "BalancePollsLate"},
}
# a wallet that is emptied at once is also spent fast, if there is enough history to say so
SPENT = {"BalanceRunwayShort", "BalanceRunwayCritical"}


def publish_runbooks(folder):
    """As the document says, with its own command."""
    command = re.search(r"(?m)^ *\$ (sed -i .* alerts\.yml)$", DOCUMENT.read_text("utf-8")).group(1)
    assert PUBLISHED in command
    subprocess.run(command, shell=True, cwd=folder, check=True, timeout=10)


def told(bench, receiver, status, **labels):
    """Waits until a receiver was told of it; the last telling."""
    what = f"{receiver} is told that {labels} is {status}"
    return until(lambda: bench.receivers.alerts(receiver, status, **labels), 60, what)[-1]


def named(place):
    return dict(zip(("provider", "account"), place))


def a_low_balance_pages(bench):
    # before its first scrape Prometheus is right to miss the exporter
    until(lambda: bench.prometheus.firing() == set(), 10, "nothing fires when nothing is wrong")
    assert not bench.receivers.about_accounts(), "somebody was told about an account that had no trouble"
    bench.all_was_well_at, began = time.time(), time.monotonic()
    bench.sandbox.order(*LOW, available="59999.99")
    page = told(bench, "pager", "firing", alertname="BalanceCritical")
    bench.measured["balance changed to page, durations a sixtieth"] = f"{time.monotonic() - began:.1f} s"
    bench.paged_at = time.time()
    assert page["labels"] == {
        "alertname": "BalanceCritical",
        "severity": "critical",
        "job": "balances",
        "provider": "payby",
        "account": "uae-settlement",
        "wallet": "main",
        "currency": "AED",
        "team": "treasury",
    }, page
    notes = page["annotations"]
    for text, words in {
        "summary": ["uae-settlement", "59999.99 AED", "main"],
        "description": ["uae-settlement", "payby", "main", "59999.99 AED", "Top it up now"],
    }.items():
        assert all(word in notes[text] for word in words), notes
    assert notes["runbook_url"] == f"{PUBLISHED}BalanceCritical.md"
    told(bench, "treasury", "firing", alertname="BalanceCritical")
    # the warning fires beside it and is told to nobody, since critical says the same
    assert ("BalanceLow", *LOW) in bench.prometheus.firing()
    assert not any(bench.receivers.alerts(each, "firing", alertname="BalanceLow") for each in ("chat", "treasury"))


def an_outage_resolves_nothing(bench):
    accounts = [each["account"] for each in bench.sandbox.state()["accounts"] if each["provider"] == LOW[0]]
    for account in accounts:
        bench.sandbox.order(LOW[0], account, fault="drop")
    for account in accounts:
        page = told(bench, "pager", "firing", alertname="BalanceUnknown", severity="critical", account=account)
        assert account in page["annotations"]["summary"], page
    firing = {name for name, *place in bench.prometheus.firing() if tuple(place) == LOW} - SPENT
    assert firing == {"BalanceLow", "BalanceCritical", "BalanceUnknown"}, f"in the outage there fire {firing}"
    for name in ("BalanceLow", "BalanceCritical"):
        series = f'ALERTS{{alertname="{name}",alertstate="firing",account="{LOW[1]}"}}'
        missing = bench.prometheus.seconds_without(series, bench.paged_at, time.time() - 1)
        assert not missing, f"{name} was not firing at {missing}, since {bench.paged_at}"
    for receiver in ("chat", "treasury", "pager"):
        assert not bench.receivers.alerts(receiver, "resolved", account=LOW[1]), f"{receiver} was told that all is well"


def a_top_up_resolves(bench):
    bench.sandbox.order(*LOW, available="900000.00")
    for each in bench.sandbox.state()["accounts"]:
        if each["provider"] == LOW[0]:
            bench.sandbox.order(LOW[0], each["account"], fault=None)
    told(bench, "pager", "resolved", alertname="BalanceCritical", **named(LOW))
    told(bench, "treasury", "resolved", alertname="BalanceCritical", **named(LOW))
    told(bench, "pager", "resolved", alertname="BalanceUnknown", **named(LOW))

    def nothing_is_left():
        return {name for name, *place in bench.prometheus.firing() if place[0] == LOW[0]} <= SPENT

    # the provider's other accounts are read again one after the other
    until(nothing_is_left, 20, "no alert is left of the outage")


def refused_credentials_page(bench):
    bench.sandbox.order(*LOCKED_OUT, fault="code-401")
    page = told(bench, "pager", "firing", alertname="BalanceCredentialsRefused")
    # at once, since a few more refusals would slow the account down for minutes
    firing = bench.prometheus.firing()
    bench.sandbox.order(*LOCKED_OUT, fault=None)
    assert named(LOCKED_OUT).items() <= page["labels"].items(), page
    assert "Check or rotate the credentials" in page["annotations"]["description"], page
    assert page["annotations"]["runbook_url"] == f"{PUBLISHED}BalanceCredentialsRefused.md"
    others = {(name, *place) for name, *place in firing if name not in SPENT}
    assert others == {("BalanceCredentialsRefused", *LOCKED_OUT)}, others
    told(bench, "pager", "resolved", alertname="BalanceCredentialsRefused", **named(LOCKED_OUT))


def nothing_else_fired(bench):
    """Ever since all was well, an account that had no trouble had no alert either."""
    seconds = int(time.time() - bench.all_was_well_at)
    query = f'group by (alertname, provider, account) (count_over_time(ALERTS{{alertstate="firing"}}[{seconds}s]))'
    fired = {}
    for labels, _ in bench.prometheus.query(query):
        fired.setdefault((labels.get("provider"), labels.get("account")), set()).add(labels["alertname"])
    for place, names in fired.items():
        allowed = EXPECTED.get(place, set()) | (SPENT if place == LOW else set())
        assert names <= allowed, f"{place}: {names - allowed} fired for no reason"
    assert not bench.receivers.alerts("chat", "firing", alertname="BalanceLow")


def a_dead_exporter_pages(bench):
    # by its name: where the first scrape came late, its absence was told without one
    told(bench, "pager", "firing", alertname="BalanceExporterDown", instance=bench.exporter.url.removeprefix("http://"))


SCENARIO = [a_low_balance_pages, an_outage_resolves_nothing, a_top_up_resolves, refused_credentials_page]
