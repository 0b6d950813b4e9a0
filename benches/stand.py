"""The test stand: starts the rig's provider, the exporter and whatever else is to be measured, and asks the kernel."""

import gzip
import json
import os
import pathlib
import re
import resource
import socket
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
RIG = HERE / "target/release/rig"
PEERS = HERE / "target/release/peers"


class Failed(Exception):
    """What is measured did not do what it had to do first."""


def get(url, timeout=60, headers=None, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}, method=method), timeout=timeout) as reply:
        return reply.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_ms(pid):
    """Milliseconds on a processor, over all threads that live now."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1e6


def resident_mb(pid):
    """Resident megabytes: now, and at their most."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    field = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1)) / 1024
    return field("VmRSS"), field("VmHWM")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Process:
    """A process that ends with the block that it was started in."""

    def __init__(self, command, environment=None, stdout=subprocess.DEVNULL, log=None):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        raised = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.log = open(log, "wb") if log else subprocess.DEVNULL
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=stdout, stderr=self.log,
            env={**os.environ, **(environment or {})}, preexec_fn=raised)
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
                raise Failed(f"ended with {self.process.returncode} before {what}")
            try:
                if question():
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.002)
        raise Failed(f"no {what} within {patience} s")


class Provider(Process):
    """The rig's provider."""

    def __init__(self, **options):
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        super().__init__([RIG, "provider", *words], stdout=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().strip()

    def stats(self):
        return json.loads(get(self.url + "/stats"))


def configure(into, provider, **options):
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    subprocess.run([str(word) for word in [RIG, "config", "--into", into, "--provider", provider, *words]], check=True)


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

    def until_serving(self):
        self.until(lambda: get(self.url + "/metrics"), "first answer")
        return time.monotonic() - self.began

    def values(self):
        """The exporter's own series, by their text. They come after those of the accounts, which can be very many."""
        found = {}
        text = gzip.decompress(get(self.url + "/metrics", headers={"Accept-Encoding": "gzip"}))
        begin = re.search(rb"^# HELP balance_(provider|exporter)_", text, re.M)
        for line in text[begin.start():].decode().splitlines():
            if line.startswith(("balance_exporter_", "process_", "balance_provider_")):
                series, value = line.rsplit(" ", 1)
                found[series] = float(value)
        return found


def scrape(targets, **options):
    """Scrapes interleaved; `targets` are tuples of name, URL, coding, and pids."""
    text = "".join(f"{name} {url} {coding} {','.join(map(str, pids))}\n" for name, url, coding, pids in targets)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run([RIG, "scrape", *words], input=text, capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr)
    return json.loads(done.stdout)
