"""Polling: rows P."""

import base64
import contextlib
import pathlib
import subprocess
import time

import peers
from stand import (
    Exporter,
    Failed,
    Process,
    Programs,
    Provider,
    cpu_ms,
    fleet,
    folder,
    get,
)


class Pollers:
    """Processes that poll, each with a provider of its own: processor time per poll of each over the same seconds."""

    def __init__(self, pollers):
        self.pollers = pollers
        self.samples = {name: [] for name in pollers}

    def measure(self, seconds):
        before = self.now()
        time.sleep(seconds)
        for (name, (c0, r0)), (c1, r1) in zip(before.items(), self.now().values()):
            if r1 == r0:
                raise Failed(f"{name} polled nothing in {seconds} s")
            self.samples[name].append((c1 - c0) / (r1 - r0))

    def now(self):
        return {name: (cpu_ms(process.pid), provider.stats()["requests"]) for name, (process, provider) in self.pollers.items()}


def in_turn(stand, accounts, interval_s, rounds, seconds, kept):
    """Processor time per poll beside a bare loop of reqwest at the same rhythm, both with connections kept or both without.
    And how many connections the exporter makes for a poll."""
    connections = []
    with folder() as ours, Provider() as provider, Provider() as other:
        extra = {"provider_extra": "keep_alive: true"} if kept else {}
        into = fleet(ours, provider, accounts, interval=f"{interval_s}s", timeout="1s", **extra)
        loop = [Programs.named("peers"), "loop", other.url, accounts, interval_s * 1000, "keep-alive" if kept else "close"]
        with Exporter(stand.binary, into) as exporter, Process(loop) as bare:
            exporter.until_polled()
            time.sleep(interval_s)
            pollers = Pollers({"exporter": (exporter, provider), "reqwest": (bare, other)})
            for _ in range(rounds):
                made = provider.stats()
                pollers.measure(seconds)
                now = provider.stats()
                # to ask for these numbers takes a connection, too
                connections.append((now["connections"] - made["connections"] - 3) / (now["requests"] - made["requests"]))
    return {**pollers.samples, "connections": connections}


def polling(stand, accounts, interval_s, rounds, seconds, scripted):
    """P1 and P4: what a poll costs, and what others take for one. The scripts poll so many accounts."""
    rows = {"samples": in_turn(stand, accounts, interval_s, rounds, seconds, False),
            "kept": in_turn(stand, accounts, interval_s, rounds, seconds, True),
            "interval_s": interval_s, "accounts": accounts}
    with folder() as theirs, Provider() as provider:
        theirs = pathlib.Path(theirs)
        rows["Python requests"] = peers.script(stand.installed, theirs, peers.SCRIPT_REQUESTS, provider.url, scripted)
        rows["Python aiohttp"] = peers.script(stand.installed, theirs, peers.SCRIPT_AIOHTTP, provider.url, 3 * scripted, "close")
        with peers.blackbox(stand.installed, theirs) as blackbox:
            target = provider.url + "/p0/apicall/balancecheck/v3/94700000000/transactions/amount/balance"
            before = cpu_ms(blackbox.pid)
            for _ in range(scripted // 2):
                if b"\nprobe_success 1" not in get(f"{blackbox.url}?module=get&target={target}"):
                    raise Failed("blackbox_exporter: a probe failed")
            rows["blackbox_exporter"] = (cpu_ms(blackbox.pid) - before) / (scripted // 2)
    return rows


def signing(stand, accounts, interval_s, rounds, seconds, signatures):
    """P2: processor time per signed poll beside that of an unsigned one, and beside a signature alone."""
    bare = []
    with folder() as keys, folder() as ours, folder() as others, Provider() as provider, Provider() as other:
        key, file = pathlib.Path(keys) / "key.der", pathlib.Path(keys) / "key"
        key.write_bytes(subprocess.run([Programs.named("peers"), "key"], check=True, stdout=subprocess.PIPE).stdout)
        file.write_bytes(base64.b64encode(key.read_bytes()))
        options = {"interval": f"{interval_s}s", "timeout": "2s"}
        with contextlib.ExitStack() as started:
            signed = started.enter_context(Exporter(stand.binary, fleet(ours, provider, accounts, key=file, **options)))
            unsigned = started.enter_context(Exporter(stand.binary, fleet(others, other, accounts, **options)))
            signed.until_polled()
            unsigned.until_polled()
            time.sleep(interval_s)
            pollers = Pollers({"signed": (signed, provider), "unsigned": (unsigned, other)})
            for _ in range(rounds):
                pollers.measure(seconds)
                words = [Programs.named("peers"), "sign", key, str(signatures)]
                bare.append(float(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout))
    return {"accounts": accounts, "interval_s": interval_s, "signature": bare, **pollers.samples}


def refreshing(stand, accounts, delay_ms, rounds):
    """P3: how long it takes to poll everybody once, of a provider that takes a while, from the first request to the last
    reply. And how long it is from the start of the exporter until it is ready."""
    spans, ready = {"exporter": [], "reqwest": [], "Python aiohttp": []}, []
    for _ in range(rounds):
        with folder() as ours, Provider(delay_ms=delay_ms) as provider:
            with Exporter(stand.binary, fleet(ours, provider, accounts, interval="24h", stale_after="48h")) as exporter:
                ready.append(exporter.until_polled())
            spans["exporter"].append(span(provider, accounts))
        with Provider(delay_ms=delay_ms) as provider:
            subprocess.run([str(word) for word in [Programs.named("peers"), "loop", provider.url, accounts, 0, "close"]],
                           check=True, stdout=subprocess.DEVNULL)
            spans["reqwest"].append(span(provider, accounts))
        with folder() as theirs, Provider(delay_ms=delay_ms) as provider:
            peers.script(stand.installed, pathlib.Path(theirs), peers.SCRIPT_AIOHTTP, provider.url, accounts, "close")
            spans["Python aiohttp"].append(span(provider, accounts))
    return {"accounts": accounts, "delay_ms": delay_ms, "ready_s": ready, "span_s": spans}


def span(provider, accounts):
    stats = provider.stats()
    # an account may be due again at once, if its turn is
    if not accounts <= stats["requests"] <= 1.001 * accounts + 1:
        raise Failed(f"{stats['requests']} requests for {accounts} accounts")
    return stats["span_s"]
