"""Hostile scrapers against the real binary, and an honest one among them: `hostile.py BINARY`.

Everything listens on 127.0.0.1 at ports that were free. Each kind of attack is a bounded number of clients for a
bounded time. What is demanded: the honest scraper never fails, nearly always has its answer within a second, memory
grows by 32 MiB at most, and ten seconds later all is as it was before.
"""

import base64
import gzip
import http.client
import http.server
import json
import os
import resource
import select
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from attackers import LEAST
from doors import certificates
from program import Program, free_port, until

ATTACKERS = Path(__file__).with_name("attackers.py")
# open-sesame, of cost 4, 6 and 10
QUICK = "$2b$04$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3G"
MIDDLE = "$2b$06$abcdefghijklmnopqrstuuzASt7gB3PMqjFAmGDNwvjsTxB9CzfXy"
USUAL = "$2b$10$abcdefghijklmnopqrstuuKNEQxEAZiyaAlk1AAmHbHnfydApuKHq"
PASSWORD = "open-sesame"
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"

ATTACK_SECONDS = 12
MOST_GROWTH = 32
MOST_LATENCY = 1.0
BACK_TO_NORMAL = 10


class Bank(http.server.ThreadingHTTPServer):
    """A provider that always answers, in the words of Bridge AGW."""

    daemon_threads, request_queue_size = True, 1_024

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"response_data":{"payout_balance":19.1,"collection_balance":0.37,"sms_balance":0.0},"response_code":"000"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def config(self, folder, accounts):
        """The configuration of so many accounts here."""
        secret = folder / "bridge.password"
        secret.write_text("not-of-interest", "ascii")
        secret.chmod(0o600)
        lines = [
            "defaults: { interval: 1h, timeout: 10s, stale_after: 3h }",
            "providers:",
            "  - name: bridge",
            "    api: bridge",
            "    environment: sandbox",
            f"    base_url: http://127.0.0.1:{self.server_port}",
            "    username: fake-user",
            "    password: { file: bridge.password }",
            "    rate_limit: [{ requests: 1000, per: 1s }]",
            "    accounts:",
        ]
        lines += [f"      - {{ name: account-{number}, service_id: {number + 1}, currency: GHS }}" for number in range(accounts)]
        path = folder / f"{accounts}.yaml"
        path.write_text("\n".join(lines) + "\n", "ascii")
        path.chmod(0o600)
        return path


class Target(Program):
    """The exporter under attack."""

    def __init__(self, binary, config, logs, name, accounts, web=None, prefix=()):
        self.port, self.accounts = free_port(), accounts
        arguments = [*prefix, binary, "--config.file", config, "--web.listen-address", f"127.0.0.1:{self.port}"]
        if web:
            arguments += ["--web.config.file", web]
        super().__init__(name, arguments, logs)
        self.context = None
        if web and "tls_server_config" in web.read_text("ascii"):
            self.context = ssl.create_default_context()
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def link(self, timeout=10):
        if self.context:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def scrape(self, link, packed=False, credentials=None, path="/metrics"):
        """Status and text of an answer."""
        headers = {"Accept-Encoding": "gzip"} if packed else {}
        if credentials:
            headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        link.request("GET", path, headers=headers)
        answer = link.getresponse()
        body = answer.read()
        return answer.status, gzip.decompress(body) if answer.headers["content-encoding"] == "gzip" else body

    def once(self, **how):
        link = self.link()
        try:
            return self.scrape(link, **how)
        finally:
            link.close()

    def wait_ready(self, credentials=None):
        def is_ready():
            try:
                return self.once(path="/-/ready", credentials=credentials)[0] == 200
            except OSError:
                assert self.process.poll() is None, f"it has ended:\n{self.log}"
                return False

        until(is_ready, 30, "every account was polled")

    def memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_closed(link):
    """Whether the other side has ended a connection that is kept, which every client looks at before it uses one."""
    return link.sock is None or bool(select.select([link.sock], [], [], 0)[0])


class Honest(threading.Thread):
    """Scrapes once a second, and notes what it saw; with a connection each, or with one for as long as it is there."""

    def __init__(self, target, offset, credentials, packed, keeps):
        super().__init__(daemon=True)
        self.target, self.credentials, self.packed, self.keeps = target, credentials, packed, keeps
        self.offset, self.took, self.failures, self.is_over = offset, [], [], threading.Event()

    def run(self):
        link, due = None, time.monotonic() + self.offset
        while not self.is_over.wait(max(0, due - time.monotonic())):
            began, due = time.monotonic(), due + 1
            try:
                if link and is_closed(link):
                    link.close()
                    link = None
                link = link or self.target.link()
                status, body = self.target.scrape(link, packed=self.packed, credentials=self.credentials)
                self.took.append(time.monotonic() - began)
                shown = body.count(b"\nbalance_fresh{")
                if (status, shown) != (200, self.target.accounts):
                    self.failures.append(f"status {status}, {shown} accounts")
            except (OSError, http.client.HTTPException) as problem:
                link = None
                self.failures.append(f"{type(problem).__name__}: {problem} after {time.monotonic() - began:.2f} s")
            if link and not self.keeps:
                link.close()
                link = None


def per_cent(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share / 100))]


def under_attack(target, credentials=None, tls=False):
    """Everything at once for a while, with six honest scrapers among it."""
    for _ in range(10):
        for packed in (False, True):
            assert target.once(packed=packed, credentials=credentials)[0] == 200
    time.sleep(1.5)
    before, open_before = target.memory(), target.descriptors()
    honest = [Honest(target, number / 6, credentials, number % 2 == 0, number % 3 == 0) for number in range(6)]
    arguments = [sys.executable, ATTACKERS, target.port, ATTACK_SECONDS, "tls" if tls else "plain", "users" if credentials else "nobody"]
    attackers = subprocess.Popen([str(each) for each in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        began, busy = time.monotonic(), target.processor_seconds()
        for each in honest:
            each.start()
        peak, most_open = before, open_before
        while attackers.poll() is None:
            assert time.monotonic() - began < ATTACK_SECONDS * 4, "the attackers do not end"
            assert target.process.poll() is None, f"it has ended:\n{target.log}"
            peak, most_open = max(peak, target.memory()), max(most_open, target.descriptors())
            time.sleep(0.05)
        ended, busy = time.monotonic(), target.processor_seconds() - busy
        struck = json.loads(attackers.stdout.read())
    finally:
        if attackers.poll() is None:
            attackers.kill()
        attackers.wait()

    def is_as_before():
        return target.descriptors() <= open_before + 2 + len(honest) and target.memory() <= before + MOST_GROWTH

    until(is_as_before, BACK_TO_NORMAL, "connections and memory are as they were before")
    recovered = time.monotonic() - ended
    for each in honest:
        each.is_over.set()
    for each in honest:
        each.join(20)
    after = []
    for _ in range(20):
        asked = time.monotonic()
        assert target.once(packed=True, credentials=credentials)[0] == 200
        after.append(time.monotonic() - asked)
    took, failures = [one for each in honest for one in each.took], [one for each in honest for one in each.failures]
    told = (
        f"{len(took)} honest scrapes, {len(failures)} failed; p50 {per_cent(took, 50) * 1000:.0f} ms, "
        f"p99 {per_cent(took, 99) * 1000:.0f} ms, most {max(took) * 1000:.0f} ms; afterwards {max(after) * 1000:.0f} ms; "
        f"memory {before:.1f} MiB, at most {peak:.1f}, afterwards {target.memory():.1f}; at most {most_open} descriptors; "
        f"normal after {recovered:.1f} s; processor {busy / (ended - began) * 100:.0f} %; struck {struck['struck']}"
    )
    print(f"      {target.name}: {told}", flush=True)
    assert not failures, f"{target.name}: an honest scrape failed: {failures[:5]}; {told}"
    assert per_cent(took, 99) < MOST_LATENCY, told
    assert peak - before <= MOST_GROWTH, told
    assert per_cent(after, 99) < MOST_LATENCY, told
    weak = {kind: struck["struck"].get(kind, 0) for kind, least in LEAST.items() if struck["struck"].get(kind, 0) < least}
    if not credentials:
        weak.pop("guessing")
    assert not weak, f"{target.name}: these attacks hardly took place: {weak}"


def everything_at_once(binary, bank, folder):
    users = folder / "users.yaml"
    users.write_text(f'{TLS}basic_auth_users: {{ prometheus: "{USUAL}", ali: "{USUAL}" }}\n', "ascii")
    for accounts, web in ((10, None), (1_000, None), (1_000, users)):
        name = f"{accounts} accounts{', TLS and passwords' if web else ''}"
        credentials = f"prometheus:{PASSWORD}" if web else None
        with Target(binary, bank.config(folder, accounts), folder, name, accounts, web) as target:
            target.wait_ready(credentials)
            under_attack(target, credentials, tls=bool(web))
            status, _ = target.stop()
            assert status == 0, f"{name}: it ends with {status}:\n{target.log}"


def guessing(binary, bank, folder):
    """10,000 wrong passwords. Who is known is not delayed, and who comes for the first time comes in."""
    web, newcomers, guessers, each = folder / "guess.yaml", 10, 50, 200
    names = ["known", *(f"newcomer-{number}" for number in range(newcomers))]
    web.write_text("basic_auth_users:\n" + "".join(f'  {name}: "{QUICK}"\n' for name in names), "ascii")
    with Target(binary, bank.config(folder, 10), folder, "guessing", 10, web) as target:
        target.wait_ready(f"known:{PASSWORD}")
        answers, is_over = {401: 0, 429: 0}, threading.Event()

        def guess(number):
            # who came before others may wait until he is turned away
            link = target.link(30)
            for attempt in range(each):
                status, _ = target.scrape(link, credentials=f"{names[attempt % 3]}:{number}-{attempt}")
                answers[status] += 1
            link.close()

        crowd = [threading.Thread(target=guess, args=(number,)) for number in range(guessers)]
        for each_one in crowd:
            each_one.start()
        legitimate = []
        known = target.link()
        for number in range(newcomers * 8):
            name = names[1 + number // 8] if number % 8 == 0 else names[0]
            began = time.monotonic()
            status, _ = target.once(credentials=f"{name}:{PASSWORD}") if name != names[0] else target.scrape(known, credentials=f"{name}:{PASSWORD}")
            legitimate.append((name, status, time.monotonic() - began))
            is_over.wait(0.05)
        for each_one in crowd:
            each_one.join(60)
        known.close()
        slowest = {kind: max(took for name, _, took in legitimate if (name == names[0]) == (kind == "known")) for kind in ("known", "newcomer")}
        print(f"      guessing: {answers[401]} wrong, {answers[429]} turned away; slowest {slowest}", flush=True)
        assert sum(answers.values()) == guessers * each, answers
        assert {status for _, status, _ in legitimate} == {200}, [one for one in legitimate if one[1] != 200]
        assert max(slowest.values()) < MOST_LATENCY, slowest


def names_do_not_show(binary, bank, folder):
    """A wrong password takes as long for a name that nobody has, and for one with a cheaper hash than others."""
    web, rounds = folder / "names.yaml", 1_000
    web.write_text(f'basic_auth_users: {{ cheap: "{QUICK}", dear: "{MIDDLE}" }}\n', "ascii")
    with Target(binary, bank.config(folder, 10), folder, "names", 10, web) as target:
        target.wait_ready(f"dear:{PASSWORD}")
        link, took = target.link(), {"cheap": [], "dear": [], "nobody": []}
        for number in range(rounds):
            for name, times in took.items():
                began = time.perf_counter()
                assert target.scrape(link, credentials=f"{name}:{number}")[0] == 401
                times.append(time.perf_counter() - began)
        link.close()
        # what the scheduler of a busy machine adds now and then has nothing to do with names
        means = {name: statistics.mean(sorted(times)[: rounds * 9 // 10]) for name, times in took.items()}
        apart = max(means.values()) / min(means.values()) - 1
        print(f"      names: {', '.join(f'{name} {mean * 1000:.3f} ms' for name, mean in means.items())}, {apart:.1%} apart", flush=True)
        assert apart <= 0.05, means


def short_of_descriptors(binary, bank, folder):
    """With 64 of them: connections that are held do not keep a scraper out, and nothing spins."""
    config = bank.config(folder, 10)
    prefix = ["prlimit", "--nofile=64:64"]
    with Target(binary, config, folder, "64 descriptors", 10, prefix=prefix) as target:
        target.wait_ready()
        held = []
        try:
            busy, began = target.processor_seconds(), time.monotonic()
            slowest = 0.0
            for number in range(200):
                held.append(socket.create_connection(("127.0.0.1", target.port), 5))
                if number % 20 == 0:
                    asked = time.monotonic()
                    assert target.once()[0] == 200
                    slowest = max(slowest, time.monotonic() - asked)
            time.sleep(3)
            share = (target.processor_seconds() - busy) / (time.monotonic() - began)
            most = target.descriptors()
            assert target.once()[0] == 200
        finally:
            for each in held:
                each.close()
        print(f"      64 descriptors: at most {most} open, slowest scrape {slowest * 1000:.0f} ms, processor {share:.0%}", flush=True)
        assert share < 0.2, f"it spins: {share:.0%} of a processor"
        assert slowest < MOST_LATENCY
        until(lambda: target.once()[0] == 200, 5, "it serves again")


STEPS = [names_do_not_show, guessing, short_of_descriptors, everything_at_once]


def main(binary):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    with tempfile.TemporaryDirectory(prefix="balance-exporter-hostile-") as name:
        folder, bank = Path(name), Bank()
        certificates(folder)
        for step in STEPS:
            began = time.monotonic()
            step(binary, bank, folder)
            print(f"  ok  {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
