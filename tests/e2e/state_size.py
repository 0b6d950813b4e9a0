"""How large the state is, and how much of it is written: `state_size.py BINARY [SECONDS [ACCOUNTS ...]]`.

Not a part of the tests: it measures what stands in docs/ARCHITECTURE.md. Each account is polled once a minute.
"""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import misbehaving
from isolation import Watched, entry
from program import Program, until

PARTS = {"accounts": "state", "limits": "state.limits"}


def generation(file):
    """How often it was written, by its first line."""
    with file.open("rb") as content:
        return int(content.readline().split()[3])


def measure(binary, folder, accounts, seconds):
    with ExitStack() as running:
        log = folder / "arrivals"
        providers = running.enter_context(Program("providers", [sys.executable, misbehaving.__file__, log], folder))
        port = json.loads(providers.address(r"(\{.*\})"))["good"]
        (folder / "password").write_text("none\n", "ascii")
        (folder / "password").chmod(0o600)
        config = folder / "exporter.yaml"
        text = "state: { file: state }\ndefaults: { interval: 1m, timeout: 10s, stale_after: 5m }\nproviders:"
        config.write_text(text + entry("good", f"http://127.0.0.1:{port}", 0, accounts), "utf-8")
        config.chmod(0o600)
        exporter = running.enter_context(Watched(binary, config, folder, "exporter", []))
        until(exporter.scrape, 60, "it serves")
        # the first polls come at once; from then on it is as it will be
        time.sleep(90)
        files = {part: folder / name for part, name in PARTS.items()}
        before = {part: generation(file) for part, file in files.items()}
        time.sleep(seconds)
        print(f"{accounts} accounts, {accounts / 60:.0f} polls a second, for {seconds:.0f} s:")
        for part, file in files.items():
            size, writes = file.stat().st_size, generation(file) - before[part]
            rate = writes * size / seconds
            print(f"  {part}: {size / 1024:.0f} KiB, written {writes} times, {rate / 1024:.0f} KiB/s")
        exporter.stop(10)


if __name__ == "__main__":
    binary, seconds = Path(sys.argv[1]).resolve(), float((sys.argv[2:] or [60])[0])
    for accounts in [int(each) for each in sys.argv[3:]] or [1_000, 10_000]:
        with tempfile.TemporaryDirectory() as folder:
            measure(binary, Path(folder), accounts, seconds)
