"""Keeping the rhythm: rows L, and what the state costs."""

import pathlib
import re
import subprocess
import time

from stand import (
    Exporter,
    Failed,
    Provider,
    cpu_ms,
    fleet,
    folder,
    scrape,
    spread,
    tasks,
)

# the buckets of the exporter's own histogram
WITHIN = ["0.001", "0.005", "0.01", "0.05", "0.1", "1.0"]


def lateness(before, after):
    """The share of polls that began no later than each bound, in percent; and how many there were."""
    count = "balance_exporter_poll_lateness_seconds_count"
    polls = after[count] - before[count]
    if not polls:
        raise Failed("no poll began")
    bucket = lambda most: f'balance_exporter_poll_lateness_seconds_bucket{{le="{most}"}}'
    return {"polls": polls, "within": {most: 100 * (after[bucket(most)] - before[bucket(most)]) / polls for most in WITHIN}}


DUE = re.compile(rb'^balance_next_poll_timestamp_seconds\{[^}]*account="account-(\d+)"[^}]*\} (\S+)$', re.M)
# what the rig calls the first account of a fleet; it spreads them over so many providers, and faults over so many blocks
FIRST, PROVIDERS, BLOCKS = 94_700_000_000, 20, 100


def is_healthy(account, faults):
    throttled = account % PROVIDERS * 5 < faults.get("throttle", 0)
    return not throttled and (FIRST + account) // PROVIDERS % BLOCKS >= faults.get("hang", 0) + faults.get("garbage", 0)


def arrived(dues, provider, faults, patience=60):
    """Of the healthy accounts that were due until now: by how many milliseconds their requests came after their times."""
    until = time.time()
    due = {account: at for account, at in dues.items() if at < until and is_healthy(account, faults)}
    late = {}
    # some are on their way, and all come that are not forgotten
    while not late or len(late) < len(due):
        for number, seen in provider.arrivals():
            account = number - FIRST
            # not of the turn before, and not of the next one
            if account in due and account not in late and seen > due[account] - 0.5:
                late[account] = 1e3 * (seen - due[account])
        if time.time() > until + patience:
            raise Failed(f"of {len(due)} accounts that were due, {len(late)} were asked for")
        time.sleep(0.05)
    return {**spread(late.values()), "within_5_ms": 100 * sum(ms <= 5 for ms in late.values()) / len(late)}


def rhythm(stand, accounts, interval, seconds, faults=None, ahead=False, state=None, at_once=1):
    """L1, L2 and S6: how late polls begin while gzip scrapes come every second, so many `at_once`. First polls, which come
    at once, are left out. `ahead` lets the exporter run before all else that wants the processors: what it is late then
    is its own doing. `state` is a folder in which to keep one."""
    options = {"interval": interval, "stale_after": "20m", **({"timeout": "5s"} if faults else {})}
    if state:
        options["extra"] = f"state: {{ file: {state}/state }}"
    with folder() as ours, Provider(**(faults or {})) as provider:
        with Exporter(stand.binary, fleet(ours, provider, accounts, **options), ahead=ahead) as exporter:
            if faults:
                # accounts of a provider that throttles are not all asked for a long time
                exporter.until_serving()
                time.sleep(min(8, seconds))
            else:
                exporter.until_polled(600, 300)
            time.sleep(2)
            before, written = exporter.values(), state and Written(exporter, state)
            at_first = provider.stats()["crossed"]
            provider.arrivals()
            dues = {int(account): float(at) for account, at in DUE.findall(exporter.text())}
            began, used = time.monotonic(), cpu_ms(exporter.pid)
            while time.monotonic() - began < seconds:
                if written:
                    written.look()
                else:
                    scrape([exporter.target("gzip")], rounds=1, idle_ms=0, at_once=at_once)
                time.sleep(0.1 if written else 1)
            used, took = cpu_ms(exporter.pid) - used, time.monotonic() - began
            told = {"state": written.told(used, took)} if written else {}
            stats = provider.stats()
            return {"accounts": accounts, "interval": interval, **lateness(before, exporter.values()), **told,
                    "arrived_ms": arrived(dues, provider, faults or {}),
                    "too_early": stats["too_early"], "crossed_at_first": at_first, "crossed": stats["crossed"] - at_first,
                    "connections": stats["connections"], "requests": stats["requests"]}


def with_state(stand, accounts, interval, seconds):
    """What it takes to write down what is known of so many accounts, and how late polls begin meanwhile."""
    with folder() as state:
        return rhythm(stand, accounts, interval, seconds, state=state)


class Written:
    """What the thread that keeps the state writes and takes."""

    def __init__(self, exporter, state):
        self.exporter, self.file = exporter, pathlib.Path(state) / "state"
        self.used, self.bytes = self.so_far()
        self.took, self.inode = [], None
        self.look()
        self.took.clear()

    def so_far(self):
        threads = [ms for name, ms in tasks(self.exporter.pid) if name == "state"]
        if len(threads) != 1:
            raise Failed(f"{len(threads)} threads keep the state")
        io = pathlib.Path(f"/proc/{self.exporter.pid}/io").read_text()
        return threads[0], int(io.split("write_bytes: ")[1].split()[0])

    def look(self):
        """A new file is one more writing: from its birth until it had its name."""
        try:
            inode = self.file.stat().st_ino
            if inode == self.inode:
                return
            told = subprocess.run(["stat", "-c", "%.W %.Z", self.file], check=True, capture_output=True, text=True).stdout
        except (FileNotFoundError, subprocess.CalledProcessError):
            return
        born, named = map(float, told.split())
        self.inode = inode
        self.took.append(named - born)

    def told(self, used_ms, seconds):
        used, written = self.so_far()
        if not self.took:
            raise Failed(f"the state was not written within {seconds:.0f} s")
        return {"file_bytes": self.file.stat().st_size, "writings": len(self.took), "seconds": seconds,
                "on_disk_s": spread(self.took), "cpu_ms": used - self.used, "cpu_share_of_exporter": (used - self.used) / used_ms,
                "bytes_per_s": (written - self.bytes) / seconds}
