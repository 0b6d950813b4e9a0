"""Answering a scrape: rows S and M2."""

import contextlib
import json
import pathlib
import socket
import threading
import time
import urllib.parse

import peers
from stand import (
    Exporter,
    Failed,
    Provider,
    fleet,
    folder,
    forget_peak,
    get,
    resident_mb,
    scrape,
    spread,
)


def answering(stand, accounts, rounds, idle_ms=500):
    """S1 to S3, S6: one scrape of everybody in turn, while the exporter polls; and again while nothing changes."""
    rows = {"accounts": accounts}
    with folder() as ours, folder() as theirs, contextlib.ExitStack() as started:
        provider = started.enter_context(Provider())
        exporter = started.enter_context(Exporter(stand.binary, fleet(ours, provider, accounts)))
        exporter.until_polled()
        text = peers.accounts_only(exporter.text().decode())
        servers = {}
        for name, start in peers.SERVERS.items():
            place = pathlib.Path(theirs) / name.replace(" ", "-")
            place.mkdir()
            servers[name] = started.enter_context(start(stand.installed, place, text))
            holds_as_much(name, servers[name].url, text)
        for coding in ["plain", "gzip"]:
            targets = [exporter.target(coding)]
            targets += [(name, peer.url, coding, [peer.pid]) for name, peer in servers.items()]
            # a second between rounds: some accounts have been polled, and no answer is shared with the last
            rows[f"changing {coding}"] = scrape(targets, rounds=rounds, pause_ms=1000, idle_ms=idle_ms)
        rows["storm"] = scrape([exporter.target("gzip")], rounds=5, at_once=50, pause_ms=500, idle_ms=idle_ms)
    # the same again with an exporter whose accounts are not polled any more
    with folder() as ours, folder() as theirs, Provider() as provider:
        with Exporter(stand.binary, fleet(ours, provider, accounts, interval="24h", stale_after="48h")) as exporter:
            exporter.until_polled()
            time.sleep(3)
            with peers.nginx(stand.installed, pathlib.Path(theirs), exporter.text().decode()) as nginx:
                for coding in ["plain", "gzip"]:
                    targets = [exporter.target(coding), ("nginx", nginx.url, coding, [nginx.pid])]
                    rows[f"unchanged {coding}"] = scrape(targets, rounds=rounds, pause_ms=300, idle_ms=idle_ms)
    return rows


def holds_as_much(name, url, text):
    """A peer that answers with less than it was given would be fast."""
    lines = lambda text: sum(',account="' in line or '{account="' in line for line in text.splitlines() if line[0] != "#")
    held, given = lines(get(url).decode()), lines(text)
    if held < 0.95 * given:
        raise Failed(f"{name} answers with {held} of {given} series")


def tail(stand, accounts, scrapes):
    """S4: how much longer than usual one in a hundred takes. nginx in turn with it has what others do to it."""
    with folder() as ours, folder() as theirs, Provider() as provider:
        with Exporter(stand.binary, fleet(ours, provider, accounts, interval="10s")) as exporter:
            exporter.until_polled()
            with peers.nginx(stand.installed, pathlib.Path(theirs), exporter.text().decode()) as nginx:
                targets = [exporter.target("gzip"), ("nginx", nginx.url, "gzip", [nginx.pid])]
                # the first round warms up; the pause is longer than an answer is shared
                return {"accounts": accounts, "scrapes": scrapes,
                        "servers": scrape(targets, rounds=scrapes + 1, idle_ms=100, pause_ms=100)}


def prometheus(stand, accounts, scrapes, interval_s):
    """S5: what Prometheus itself says that a scrape took, of the exporter while it polls, and of nginx with the same bytes."""
    with folder() as ours, folder() as www, folder() as theirs, Provider() as provider:
        with Exporter(stand.binary, fleet(ours, provider, accounts)) as exporter:
            exporter.until_polled()
            with peers.nginx(stand.installed, pathlib.Path(www), exporter.text().decode()) as nginx:
                jobs = {"exporter": exporter.url, "nginx": nginx.url}
                with peers.prometheus(stand.installed, pathlib.Path(theirs), jobs, interval_s) as asks:
                    asks.until(lambda: all(seconds(asks, f'up{{job="{job}"}}[1m]') for job in jobs), "scrape of both")
                    # the first two make the series, which takes longer
                    span = interval_s * scrapes
                    time.sleep(interval_s * 2 + span)
                    took = {job: seconds(asks, f'scrape_duration_seconds{{job="{job}"}}[{span}s]') for job in jobs}
                    up = {job: seconds(asks, f'up{{job="{job}"}}[{span}s]') for job in jobs}
                    if not all(up.values()) or any(value != 1 for values in up.values() for value in values):
                        raise Failed(f"Prometheus could not scrape all the time: {up}")
                    samples = seconds(asks, "scrape_samples_scraped[1m]")
    return {"accounts": accounts, "interval_s": interval_s, "samples": samples[-1],
            "seconds": {job: spread(values) for job, values in took.items()}}


def seconds(asks, query):
    found = json.loads(get(f"{asks.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"))["data"]["result"]
    return [float(value) for series in found for _, value in series["values"]]


def readers(stand, accounts, each_s, rest_s=12):
    """M2: the most that is resident while four read slowly and four scrape at once, beside what is when nobody asks."""
    rows = {"accounts": accounts}
    with folder() as ours, Provider() as provider:
        with Exporter(stand.binary, fleet(ours, provider, accounts)) as exporter:
            exporter.until_polled()
            for coding in ["gzip", "plain"]:
                # as it is between two scrapes; parts of a plain answer are kept for ten seconds
                size = scrape([exporter.target(coding)], rounds=4, pause_ms=1000)[0]["bytes"]
                time.sleep(rest_s)
                idle, _ = resident_mb(exporter.pid)
                forget_peak(exporter.pid)
                slow = [threading.Thread(target=read_slowly, args=(exporter.port, coding, size, each_s)) for _ in range(4)]
                for reader in slow:
                    reader.start()
                while any(reader.is_alive() for reader in slow):
                    scrape([exporter.target(coding)], rounds=1, at_once=4)
                _, most = resident_mb(exporter.pid)
                rows[coding] = {"idle_mb": idle, "most_mb": most, "bytes": size}
    return rows


def read_slowly(port, coding, size, seconds):
    with socket.socket() as stream:
        # or the kernel would hold much of the answer for us
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        stream.connect(("127.0.0.1", port))
        accept = "Accept-Encoding: gzip\r\n" if coding == "gzip" else ""
        stream.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}Connection: close\r\n\r\n".encode())
        began, had = time.monotonic(), 0
        while piece := stream.recv(16 << 10):
            had += len(piece)
            ahead = seconds * had / size - (time.monotonic() - began)
            if ahead > 0.01:
                time.sleep(ahead)
