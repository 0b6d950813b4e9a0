"""Ten good accounts beside more than a thousand of providers that are as bad as they come, or sign.

What the good ones lose is measured against the same ten in good company: when each of their requests arrives, against
when it was due by the exporter's own word, and how long scrapes take. `ISOLATION_SECONDS` is how long each is watched
(20).
"""

import json
import os
import re
import shutil
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import misbehaving
from answer import ask
from program import Program, free_port, until

SECONDS = float(os.environ.get("ISOLATION_SECONDS", 20))
POLLS, SCRAPES = 0.100, 0.050
INTERVAL = 5
ACCOUNTS = 10
# names that nobody answers for: so many entries with so many accounts each
DEAD_NAMES, DEAD_ACCOUNTS = 30, 20
SIGNERS = 500
NAMESERVER = "127.0.0.153"
DUE = re.compile(
    r'^balance_next_poll_timestamp_seconds\{(?=[^}]*provider="good")[^}]*account="(\d+)"[^}]*\} (\S+)$', re.M
)
FAILURES = re.compile(r'^balance_poll_failures_total\{[^}]*reason="(\w+)"\} (\d+)$', re.M)

ENTRY = """
  - name: {name}
    api: bridge
    base_url: {url}
    username: {name}
    password: {{ file: password }}
    rate_limit: {{ requests: 100000, per: 1m }}
    accounts:"""
ACCOUNT = """
      - {{ name: "{id}", service_id: {id}, currency: GHS }}"""
SIGNER = """
  - name: signers
    api: payby
    base_url: {url}
    partner_id: "200000018128"
    private_key: {{ file: {keys}/payby.key.pem }}
    platform_public_key: {{ file: {keys}/payby.platform.pub.pem }}
    rate_limit: {{ requests: 100000, per: 1m }}
    accounts:"""
SIGNING = """
      - {{ name: "signer-{id}", currency: AED }}"""


def entry(name, url, first, count):
    return ENTRY.format(name=name, url=url) + "".join(ACCOUNT.format(id=first + nth) for nth in range(count))


def company(ports, bad, keys):
    """The good ones, and who stands beside them: in good company as many accounts, of providers that are all well."""
    good = f"http://127.0.0.1:{ports['good']}"
    urls = {behave.__name__.replace("_", "-"): f"http://127.0.0.1:{ports[behave.__name__]}" for behave in misbehaving.BAD}
    urls["refuse"] = f"http://127.0.0.1:{free_port()}"
    urls["deaf"] = f"https://127.0.0.1:{ports[misbehaving.DEAF.__name__]}"
    entries = [(name, url, ACCOUNTS) for name, url in urls.items()]
    entries += [(f"dead-{nth}", f"https://dead-{nth}.provider.test", DEAD_ACCOUNTS) for nth in range(DEAD_NAMES)]
    text = f"defaults: {{ interval: {INTERVAL}s, timeout: 4s, stale_after: 30s }}\nproviders:"
    # by a name, which must be looked up while others are
    text += entry("good", f"http://localhost:{ports['good']}", 0, ACCOUNTS)
    for nth, (name, url, count) in enumerate(entries, 1):
        text += entry(name, url if bad else good, nth * 1_000, count)
    if not bad:
        return text + entry("signers", good, 1_000_000, SIGNERS)
    text += SIGNER.format(url=urls["redirect"], keys=keys)
    return text + "".join(SIGNING.format(id=nth) for nth in range(SIGNERS))


@contextmanager
def silent_nameserver(folder):
    """What an exporter must be started with so that names are asked for here, where nobody answers."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        yield None
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind((NAMESERVER, 53))
        resolv = folder / "resolv.conf"
        resolv.write_text(f"nameserver {NAMESERVER}\noptions timeout:10 attempts:3\n", "ascii")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        yield ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, resolv]


class Watched(Program):
    def __init__(self, binary, config, logs, name, prefix):
        self.port = free_port()
        arguments = [*prefix, binary, "--config.file", config, "--web.listen-address", f"127.0.0.1:{self.port}"]
        super().__init__(name, arguments, logs)

    def scrape(self):
        try:
            return ask(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        except ConnectionError:
            return None


def watch(binary, folder, logs, name, bad, keys, prefix):
    """How late requests of the good accounts arrived, and how long scrapes took, in seconds, both sorted."""
    arrivals = folder / f"{name}.arrivals"
    with ExitStack() as running:
        providers = running.enter_context(
            Program(f"{name}-providers", [sys.executable, misbehaving.__file__, arrivals], logs)
        )
        ports = json.loads(providers.address(r"(\{.*\})"))
        config = folder / f"{name}.yaml"
        config.write_text(company(ports, bad, keys), "utf-8")
        config.chmod(0o600)
        exporter = running.enter_context(Watched(binary, config, logs, name, prefix))
        assert until(lambda: exporter.scrape() or exporter.process.poll() is not None, 20, f"{name}: it serves"), name
        assert exporter.process.poll() is None, f"{name}: it has ended:\n{exporter.log[-3000:]}"
        dues, scrapes = [], []
        # the first polls come at once, and are spread by another rule
        time.sleep(INTERVAL + 1)
        began = time.time()
        while time.time() < began + SECONDS:
            asked = time.monotonic()
            text = exporter.scrape()
            scrapes.append(time.monotonic() - asked)
            seen = time.time()
            assert text, f"{name}: no answer:\n{exporter.log[-3000:]}"
            dues += [(int(account), float(due), seen) for account, due in DUE.findall(text)]
            time.sleep(0.1)
        failing = Counter()
        for reason, count in FAILURES.findall(text):
            failing[reason] += int(count)
        status, _ = exporter.stop(seconds=8)
        assert status == 0, f"{name}: it ends with {status}"
    late = lateness(dues, arrivals, began)
    assert len(late) >= ACCOUNTS * (SECONDS / INTERVAL - 2), f"{name}: only {len(late)} polls were seen"
    return sorted(late), sorted(scrapes), failing


def lateness(dues, log, began):
    """Of each arrival, how long after the time that was announced for it."""
    announced = {}
    for account, due, seen in dues:
        announced.setdefault(account, {}).setdefault(due, seen)
    late = []
    for line in log.read_text("ascii").splitlines():
        account, at = int(line.split()[0]), float(line.split()[1])
        if account >= ACCOUNTS or at < began:
            continue
        # the last time that was announced before it arrived, and was not over by much
        known = [due for due, seen in announced.get(account, {}).items() if seen < at and due <= at + 0.02]
        if known and at - max(known) < INTERVAL - 1:
            late.append(at - max(known))
    return late


def p99(values):
    return values[min(len(values) - 1, int(len(values) * 0.99))]


def good_ones_are_not_disturbed(bench):
    folder = bench.folder / "isolation"
    folder.mkdir()
    (folder / "password").write_text("none\n", "ascii")
    (folder / "password").chmod(0o600)
    keys = bench.folder / "config"
    with silent_nameserver(folder) as prefix:
        if prefix is None:
            bench.measured["isolation: dead names"] = "NOT SILENT: that needs root; names fail at once instead"
        # whatever else this machine does may fall into one of the two, but hardly twice
        for attempt in (1, 2):
            quiet = watch(bench.binary, folder, bench.logs, f"alone-{attempt}", False, keys, prefix or [])
            loud = watch(bench.binary, folder, bench.logs, f"beside-{attempt}", True, keys, prefix or [])
            moved = []
            for what, nth, most in (("poll starts", 0, POLLS), ("scrapes", 1, SCRAPES)):
                before, now, median = p99(quiet[nth]), p99(loud[nth]), loud[nth][len(loud[nth]) // 2]
                bench.measured[f"isolation: {what}"] = (
                    f"p99 {now * 1000:.1f} ms beside bad ones, {before * 1000:.1f} ms in good company, median "
                    f"{median * 1000:.1f} ms ({len(loud[nth])} seen, attempt {attempt})"
                )
                if now - before > most:
                    moved.append(f"{what} move by {now - before:.3f} s at p99 ({len(loud[nth])} of them)")
            if not moved:
                break
    assert not moved, moved
    bench.measured["isolation: failures meanwhile"] = ", ".join(f"{n} {r}" for r, n in sorted(loud[2].items()) if n)


if __name__ == "__main__":
    # on its own: isolation.py BINARY FOLDER-WITH-KEYS
    import tempfile
    from types import SimpleNamespace

    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / "logs").mkdir()
        (here / "config").symlink_to(Path(sys.argv[2]).resolve())
        bench = SimpleNamespace(binary=Path(sys.argv[1]).resolve(), folder=here, logs=here / "logs", measured={})
        good_ones_are_not_disturbed(bench)
        print(*(f"{what}: {value}" for what, value in bench.measured.items()), sep="\n")
