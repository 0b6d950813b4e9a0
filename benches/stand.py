"""The test stand: starts the rig's provider, the exporter and whatever else is to be measured, and asks the kernel."""

import ctypes
import gzip
import json
import math
import os
import pathlib
import re
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """What is measured did not do what it had to do first."""


class Stand:
    """The exporter that is measured, and where the peers are installed."""

    def __init__(self, binary, installed):
        self.binary = pathlib.Path(binary).resolve()
        self.installed = pathlib.Path(installed).resolve()


class Programs:
    """Our own programs, the rig and the Rust peers: where they have been built."""

    folder = HERE / "target/release"

    @classmethod
    def build(cls, is_smoke):
        """For a smoke without much optimisation, and in the folder of the exporter, whose crates it shares."""
        words = ["cargo", "build", "--locked", "--quiet", "--manifest-path", HERE / "Cargo.toml"]
        if is_smoke:
            into = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
            cls.folder = into / "debug"
        else:
            into = HERE / "target"
            words.append("--release")
        subprocess.run([*words, "--target-dir", into], check=True)

    @classmethod
    def named(cls, name):
        return cls.folder / name


def get(url, timeout=60, headers=None, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}, method=method), timeout=timeout) as reply:
        return reply.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def folder():
    return tempfile.TemporaryDirectory(prefix="compare-")


def spread(values):
    values = sorted(values)
    if not values:
        return None
    at = lambda share: values[round((len(values) - 1) * share)]
    return {"min": values[0], "median": statistics.median(values), "p99": at(0.99), "max": values[-1], "n": len(values)}


def complete(what, measured):
    """Fails where something was not measured."""
    if isinstance(measured, dict):
        parts = [(f"{what}, {name}", part) for name, part in measured.items()]
    elif isinstance(measured, (list, tuple)):
        parts = [(f"{what}, {place + 1}.", part) for place, part in enumerate(measured)]
    else:
        if measured is None or measured == "" or (isinstance(measured, float) and not math.isfinite(measured)):
            raise Failed(f"{what}: nothing was measured")
        return
    if not parts:
        raise Failed(f"{what}: nothing was measured")
    for name, part in parts:
        complete(name, part)


def tasks(pid):
    """The threads that live now: what each is called, and its milliseconds on a processor."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            yield (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]) / 1e6
        except (FileNotFoundError, ProcessLookupError):
            pass


def cpu_ms(pid):
    """Milliseconds on a processor, over all threads that live now."""
    return sum(ms for _, ms in tasks(pid))


def resident_mb(pid):
    """Resident megabytes: now, and at their most."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    field = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1)) / 1024
    return field("VmRSS"), field("VmHWM")


def forget_peak(pid):
    """The most that was resident is counted from now on."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def prepare():
    """In a new process: it ends with this one however that ends, and may open as many files as there can be."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Process:
    """A process that ends with the block that it was started in."""

    def __init__(self, command, stdout=subprocess.DEVNULL, log=None):
        self.name = pathlib.Path(str(command[0])).name
        self.log = open(log, "wb") if log else subprocess.DEVNULL
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=self.log, preexec_fn=prepare)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def until(self, question, what, patience=120):
        """Asks until the answer is true; returns after how many seconds."""
        began = time.monotonic()
        while time.monotonic() - began < patience:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode} before {what}")
            try:
                if question():
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.002)
        self.__exit__()
        raise Failed(f"{self.name}: no {what} within {patience} s")

    def address(self):
        """The first line of a program of ours."""
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise Failed(f"{self.name} ended with {self.process.wait()} before it listened")
        return line


class Provider(Process):
    def __init__(self, **options):
        super().__init__([Programs.named("rig"), "provider", *flags(options)], stdout=subprocess.PIPE)
        self.url = self.address()

    def stats(self):
        return json.loads(get(self.url + "/stats"))

    def arrivals(self):
        """When each request came since this was asked last: account and Unix time."""
        return json.loads(get(self.url + "/arrivals"))


def flags(options):
    return [str(word) for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]


def fleet(into, provider, accounts, **options):
    """A configuration of so many accounts."""
    into = pathlib.Path(into)
    options = {"accounts": accounts, "providers": min(20, accounts), **options}
    subprocess.run([Programs.named("rig"), "config", "--into", into, "--provider", provider.url, *flags(options)], check=True)
    return into


class Exporter(Process):
    """The product, with the configuration in `folder`."""

    def __init__(self, binary, folder, *flags, ahead=False):
        # ahead of whatever else the machine does
        before = ["chrt", "-r", "1"] if ahead else []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.began = time.monotonic()
        super().__init__([*before, binary, "--config.file", pathlib.Path(folder) / "exporter.yaml",
                          "--web.listen-address", f"127.0.0.1:{self.port}", "--web.max-requests", "0", *flags],
                         log=pathlib.Path(folder) / "exporter.log")

    def until_ready(self, patience=300):
        self.until(lambda: get(self.url + "/-/ready"), "ready", patience)
        return time.monotonic() - self.began

    def until_polled(self, patience=300, again=15):
        """Ready, and the last poll of nearly all was good: what follows is about polls that succeed. First polls of a very
        large fleet can be too many for the machine, and get so many seconds to come again."""
        took = self.until_ready(patience)
        began = time.monotonic()
        while True:
            outcomes = re.findall(rb"^balance_poll_success\{.*\} (\d)", self.text(), re.M)
            good = outcomes.count(b"1")
            if good and good >= 0.99 * len(outcomes):
                return took
            if time.monotonic() - began > again:
                raise Failed(f"of {len(outcomes)} accounts {good} were polled with success")
            time.sleep(again / 10)

    def until_serving(self):
        """A compressed answer, as Prometheus asks for it; a plain one would stay in memory for a while."""
        self.until(self.packed, "first answer")
        return time.monotonic() - self.began

    def packed(self):
        return get(self.url + "/metrics", headers={"Accept-Encoding": "gzip"})

    def text(self):
        return gzip.decompress(self.packed())

    def values(self):
        """The exporter's own series, by their text. They come after those of the accounts, which can be very many."""
        found = {}
        text = self.text()
        begin = re.search(rb"^# HELP balance_(provider|exporter)_", text, re.M)
        for line in text[begin.start():].decode().splitlines():
            if line.startswith(("balance_exporter_", "process_", "balance_provider_")):
                series, value = line.rsplit(" ", 1)
                found[series] = float(value)
        return found

    def target(self, coding):
        return ("exporter", self.url + "/metrics", coding, [self.pid])

    def taken(self, path, times=1, method="GET"):
        """How long an answer takes, and what it costs: the median."""
        answers = []
        for _ in range(times):
            before, began = cpu_ms(self.pid), time.monotonic()
            get(self.url + path, method=method)
            answers.append((time.monotonic() - began, cpu_ms(self.pid) - before))
        return {"s": statistics.median(s for s, _ in answers), "cpu_ms": statistics.median(cpu for _, cpu in answers)}


def scrape(targets, **options):
    """Scrapes interleaved; `targets` are tuples of name, URL, coding, and pids."""
    text = "".join(f"{name.replace(' ', '_')} {url} {coding} {','.join(map(str, pids))}\n" for name, url, coding, pids in targets)
    done = subprocess.run([Programs.named("rig"), "scrape", *flags(options)], input=text, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise Failed(f"scrape: {done.stderr.strip()}")
    rows = json.loads(done.stdout)
    # the rig's names have no spaces
    return [{**row, "name": name} for row, (name, *_) in zip(rows, targets)]
