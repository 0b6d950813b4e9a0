"""Endurance: the row of the soak."""

import itertools
import re
import statistics
import time

from stand import (
    ROOT,
    Exporter,
    Failed,
    Provider,
    descriptors,
    fleet,
    folder,
    resident_mb,
    scrape,
)

INTERVAL_S = 5
KEYS = ["resident_mb", "descriptors", "scrape_ms"]


def polls_remembered():
    """Of each account; until it has had so many, what is remembered of it grows."""
    text = (ROOT / "src/board/past.rs").read_text()
    return int(re.search(r"MOST_POLLS: usize = (\d+);", text).group(1))


def soak(stand, polls, grown=None, most_accounts=8_000, every_s=2):
    """So many polls, a tenth of them hung, throttled or garbage; memory and descriptors all the while. What is settled
    begins when every account that succeeds has had `grown` polls, as many as are remembered of it and one more."""
    grown = polls_remembered() + 1 if grown is None else grown
    # each account is polled often enough to settle in half of the time
    accounts = max(20, min(most_accounts, polls // (2 * grown + 2)))
    samples, settled = [], None
    with folder() as ours, Provider(hang=3, garbage=4, throttle=5, retry_after=INTERVAL_S) as provider:
        into = fleet(ours, provider, accounts, interval=f"{INTERVAL_S}s", timeout="1s", stale_after="1m")
        with Exporter(stand.binary, into) as exporter:
            exporter.until_serving()
            began, done = time.monotonic(), 0
            while done < polls:
                time.sleep(every_s)
                done = provider.stats()["requests"]
                if settled is None and fewest_polls(exporter) >= grown:
                    settled = len(samples)
                answer = scrape([exporter.target("gzip")], rounds=1, idle_ms=0)[0]
                samples.append({"s": time.monotonic() - began, "polls": done, "resident_mb": resident_mb(exporter.pid)[0],
                                "descriptors": descriptors(exporter.pid), "scrape_ms": answer["ms"]["p50"]})
    if settled is None or len(samples) - settled < 3:
        raise Failed(f"{polls} polls are too few to settle")
    after = samples[settled:]
    return {"accounts": accounts, "polls": done, "seconds": samples[-1]["s"], "grown": grown,
            "settled_after_polls": after[0]["polls"], "settled_after_s": after[0]["s"], "per_million_polls": slopes(after),
            "first": samples[0], "settled": after[0], "last": samples[-1],
            "samples": samples[:: max(1, len(samples) // 100)]}


def fewest_polls(exporter):
    """Of the accounts that were polled with success last."""
    text = exporter.text().decode()
    series = lambda name: {account: float(value) for account, value in re.findall(
        rf'^{name}{{[^}}]*account="([^"]+)"[^}}]*}} (\S+)', text, re.M)}
    polls, good = series("balance_polls_total"), series("balance_poll_success")
    return min((polls[account] for account, success in good.items() if success == 1), default=0)


def slopes(samples, blocks=10):
    """Neighbouring samples are alike and tell less than so many: the error is that of the means of a few blocks."""
    cuts = [len(samples) * cut // blocks for cut in range(blocks + 1)]
    parts = [samples[begin:end] for begin, end in itertools.pairwise(cuts) if begin < end]
    mean = lambda key: [statistics.fmean(s[key] for s in part) for part in parts]
    return {key: slope([polls / 1e6 for polls in mean("polls")], mean(key)) for key in KEYS}


def slope(x, y):
    """Least squares, with its standard error."""
    n, mx, my = len(x), statistics.fmean(x), statistics.fmean(y)
    sxx = sum((a - mx) ** 2 for a in x)
    if n < 3 or not sxx:
        return None
    b = sum((a - mx) * (c - my) for a, c in zip(x, y)) / sxx
    rest = sum((c - my - b * (a - mx)) ** 2 for a, c in zip(x, y))
    return {"slope": b, "error": (rest / (n - 2) / sxx) ** 0.5}
