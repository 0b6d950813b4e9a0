"""The commands that end by themselves, and the demo."""

import json
import os
import re
import subprocess
import time

from answer import ask
from leak import leaks
from program import Program, until
from stopwatch import seconds_run


def run(binary, *arguments):
    """Exit status and everything that was printed. No terminal, and nothing of ours in its environment."""
    done = subprocess.run(
        [binary, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def check_commands(bench):
    """Exit statuses 0, 1 and 2, and a trace that shows no secret."""
    good, binary, shown = ("--config.file", bench.config.path), bench.binary, {}

    def expect(status, *arguments):
        found, text = run(binary, *arguments)
        shown[f"output of {' '.join(map(str, arguments))}"] = text
        assert found == status, f"{arguments} exits with {found} instead of {status}:\n{text}"
        return text

    assert "nothing wrong" in expect(0, "check", *good)
    for account in ("lk-reload-pool", "uae-settlement", "gh-operations", "br-payout"):
        trace = expect(0, "poll", account, "--trace", *good, "--log.level", "trace")
        assert "--- reply 1" in trace and "***" in trace, f"{account}: this is no masked trace:\n{trace}"
    read = json.loads(expect(0, "poll", "br-payout", "--format", "json", *good))["balances"][0]["available"]
    assert read == bench.sandbox.reported()["smilepayz", "br-payout", "payout", "BRL", "available"]
    bench.sandbox.order("bridge", "gh-operations", fault="http-401")
    assert "auth" in expect(1, "poll", "gh-operations", "--trace", *good)
    bench.sandbox.order("bridge", "gh-operations", fault=None)
    expect(1, "run", *good, "--web.listen-address", bench.sandbox.url.split("/")[2])
    expect(2, "poll", "no-such-account", *good)
    expect(2, "check", "--config.file", bench.folder / "nothing.yaml")
    expect(2, "--no-such-flag")
    bench.config.spoil(bench.canary)
    assert "quick.yaml:" in expect(2, "check", *good)
    assert "quick.yaml:" in expect(2, "run", *good, "--web.listen-address", "127.0.0.1:0")
    bench.config.restore()
    assert not leaks(bench.hidden, shown), f"a secret is shown in: {leaks(bench.hidden, shown)}"


def check_demo(bench):
    with Program("demo", [bench.binary, "demo", "--web.listen-address", "127.0.0.1:0"], bench.logs) as demo:
        url = demo.address(r"metrics +(http://[0-9.:]+)/metrics")
        until(lambda: ask(f"{url}/-/ready").status == 200, 10, "the demo is ready", pause=0.01)
        bench.measured["demo: start to ready"] = f"{seconds_run() - demo.started:.2f} s"
        amounts = re.findall(r"(?m)^balance_available_amount\{", ask(f"{url}/metrics").text)
        assert len(amounts) >= 10, "the demo shows no balances"
        for _ in range(50):
            assert ask(f"{url}/metrics").status == ask(f"{url}/").status == 200
        bench.measured["demo: peak memory, sandbox included"] = f"{demo.peak_memory():.1f} MiB"
        status, took = demo.stop()
        assert status == 0, f"the demo ends with {status}:\n{demo.log}"
        bench.measured["demo: SIGTERM to exit"] = f"{took:.2f} s"
