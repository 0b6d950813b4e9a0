"""Growth, memory and the first answer: rows G, M1 and U1."""

import json
import statistics
import time

from rhythm import lateness
from stand import Exporter, Failed, Provider, cpu_ms, fleet, folder, resident_mb, scrape

# the rhythm that a fleet of at most so many accounts would have
INTERVALS = [(100, "5s"), (1_000, "10s"), (10_000, "1m"), (10**9, "10m")]
PAGES = ["/", "/api/v1/accounts", "/?q=account-0001&sort=funds"]


def growth(stand, sizes, seconds, rounds=6):
    """One exporter of each size, one after the other."""
    rows = []
    for accounts in sizes:
        rows.append(of_size(stand, accounts, seconds, rounds))
        print("   ", json.dumps({key: value for key, value in rows[-1].items() if not isinstance(value, dict)}), flush=True)
    return rows


def of_size(stand, accounts, seconds, rounds):
    interval = next(interval for most, interval in INTERVALS if accounts <= most)
    options = {"interval": interval, "stale_after": "20m"}
    with folder() as ours, Provider() as provider:
        with Exporter(stand.binary, fleet(ours, provider, accounts, **options), "--web.enable-lifecycle") as exporter:
            first = exporter.until_serving()
            ready = exporter.until_ready(600)
            time.sleep(2)
            before, asked = cpu_ms(exporter.pid), provider.stats()["requests"]
            time.sleep(seconds)
            polls = provider.stats()["requests"] - asked
            if not polls:
                raise Failed(f"no poll of {accounts} accounts in {seconds} s")
            per_poll = (cpu_ms(exporter.pid) - before) / polls
            packed = alone(exporter, "gzip", rounds)
            resident, _ = resident_mb(exporter.pid)
            pages = {path: exporter.taken(path, 5) for path in PAGES}
            # one account changes, several times
            reloads, earlier = [], exporter.values()
            for changed in [accounts // 2, accounts // 3, accounts // 4]:
                fleet(ours, provider, accounts, changed=changed, **options)
                reloads.append(exporter.taken("/-/reload", method="POST"))
                time.sleep(0.3)
            late = lateness(earlier, exporter.values())
            plain = alone(exporter, "plain", max(2, rounds // 2))
            _, most = resident_mb(exporter.pid)
    return {
        "accounts": accounts, "interval": interval, "first_answer_s": first, "ready_s": ready, "cpu_ms_per_poll": per_poll,
        "polls": polls, "gzip": packed, "plain": plain, "resident_mb": resident, "most_resident_mb": most,
        "within_50_ms_of_reloads": late["within"]["0.05"], "polls_around_reloads": late["polls"],
        "reload_s": statistics.median(each["s"] for each in reloads),
        "reload_cpu_ms": statistics.median(each["cpu_ms"] for each in reloads), "pages": pages,
    }


def alone(exporter, coding, rounds):
    """Scrapes that share nothing: an answer is shared for four times as long as it took."""
    took_ms = scrape([exporter.target(coding)], rounds=1)[0]["ms"]["max"]
    pause = max(300, round(8 * took_ms))
    time.sleep(pause / 1e3)
    return scrape([exporter.target(coding)], rounds=rounds, pause_ms=pause, idle_ms=500)[0]
