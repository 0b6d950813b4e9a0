"""docs/PERFORMANCE.md and its picture, from what was measured."""

import math
import pathlib
import statistics

HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "docs/PERFORMANCE.md"
PICTURE = HERE.parent / "docs/performance.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def num(value, unit=""):
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:.{digits}f}{unit}"


def ratio(ours, theirs):
    """Minimum, median and maximum of the ratios round by round."""
    pairs = sorted(a / b for a, b in zip(ours, theirs) if b)
    if not pairs:
        return "–", None
    return f"{num(pairs[0])} / **{num(statistics.median(pairs))}** / {num(pairs[-1])}", statistics.median(pairs)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def verdict(value, most):
    return "–" if value is None else "reached" if value <= most else "**not reached**"


def write(kept):
    parts = []
    machine = kept.get("machine")
    if machine:
        parts.append(f"Measured {machine['at']} on {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, "
                     f"load {' '.join(machine['load'])} from other work at the start: trust ratios, not times.\n")
    targets = []
    for accounts in [1_000, 10_000]:
        rows = kept.get(f"S {accounts}")
        if not rows:
            continue
        parts.append(f"### Answering a scrape, {accounts:,} accounts\n")
        for kind in ["changing plain", "changing gzip", "unchanged plain", "unchanged gzip"]:
            servers = rows[kind]
            ours = servers[0]
            lines = []
            for server in servers:
                each, _ = ratio(ours["cpu_ms_each"], server["cpu_ms_each"])
                cpu = server["cpu_ms"]
                lines.append([server["name"].replace("_", " ").replace("node exporter", "node_exporter textfile"),
                              num(cpu["min"]), num(cpu["p50"]), num(cpu["max"]), num(server["ms"]["p50"]),
                              f"{server['bytes']:,}", num(server["resident_kb"] / 1024), "1" if server is ours else each])
            state = "accounts being polled" if kind.startswith("changing") else "nothing polled, the board unchanged"
            parts.append(f"{kind.split()[1]}, {state}:\n\n" + table(
                ["Server", "CPU ms min", "median", "max", "p50 ms", "bytes", "resident MB", "ours / theirs: min, median, max"],
                lines))
        if accounts == 10_000:
            by = lambda kind, name: next(row for row in rows[kind] if row["name"] == name)
            median = lambda kind, name: ratio(by(kind, "exporter")["cpu_ms_each"], by(kind, name)["cpu_ms_each"])[1]
            targets += [
                ["S1", "gzip scrape, changing, against prometheus-client", "at most 1/8", median("changing gzip", "prometheus-client"), 1 / 8],
                ["S2", "plain scrape, changing, against prometheus-client", "at most 1/13", median("changing plain", "prometheus-client"), 1 / 13],
                ["S3", "plain, unchanged, against nginx", "at most 1.0", median("unchanged plain", "nginx"), 1.0],
                ["S3", "gzip, unchanged, against nginx with the file compressed before", "at most 1.5", median("unchanged gzip", "nginx"), 1.5],
            ]
            gz = by("changing gzip", "exporter")["ms"]
            targets.append(["S4", "gzip, p99 over p50 (of a few rounds only)", "at most 2", gz["p99"] / gz["p50"], 2.0])
            storm = rows["storm"][0]
            alone = by("changing gzip", "exporter")["cpu_ms"]["p50"]
            targets.append(["S6", "CPU of 50 scrapes at once over that of one (50 without sharing)", "few", storm["cpu_ms"]["p50"] / alone, 10])
    polls = kept.get("P")
    if polls:
        text, value = ratio(polls["samples"]["exporter"], polls["samples"]["reqwest"])
        ours = statistics.median(polls["samples"]["exporter"])
        rows = [["balance-exporter", num(ours), "1"],
                ["a bare reqwest loop", num(statistics.median(polls["samples"]["reqwest"])), text]]
        kept_alive = polls.get("kept")
        if kept_alive:
            kept_text, kept_value = ratio(kept_alive["exporter"], kept_alive["reqwest"])
            ours_kept = statistics.median(kept_alive["exporter"])
            rows += [["balance-exporter, `keep_alive`", num(ours_kept), num(ours / ours_kept)],
                     ["a bare reqwest loop, connections kept", num(statistics.median(kept_alive["reqwest"])), kept_text + " of `keep_alive`"]]
        rows += [[name, num(polls[name]), num(ours / polls[name])]
                 for name in ["Python aiohttp", "Python requests", "blackbox_exporter"] if name in polls]
        parts.append(f"### Polling, {polls['accounts']:,} accounts each {polls['interval_s']} s, a fresh connection each unless said\n\n"
                     + table(["Poller", "CPU ms per poll", "ours / theirs"], rows))
        targets.append(["P1", "CPU per unsigned poll against a bare reqwest loop, same connection policy", "at most 1.3", value, 1.3])
        if kept_alive:
            targets.append(["P1", "the same, connections kept by both", "at most 1.3", kept_value, 1.3])
            if "blackbox_exporter" in polls:
                targets.append(["P1", "CPU per unsigned poll with `keep_alive` against blackbox_exporter", "at most 1/10",
                                ours_kept / polls["blackbox_exporter"], 0.1])
            targets.append(["P4", "new connections per poll with `keep_alive`, in percent", "at most 1",
                            100 * statistics.median(kept_alive["connections"]), 1.0])
    rows = []
    for name in ["L1", "L1 ahead", "L1 large", "L2"]:
        late = kept.get(name)
        if late:
            rows.append([name.replace(" large", "").replace("ahead", "before all others"), f"{late['accounts']:,}", late["interval"], f"{int(late['polls']):,}",
                         *(num(late["within"][most]) for most in ["0.001", "0.005", "0.01", "0.05", "1.0"]), late["too_early"]])
    if rows:
        parts.append("### Lateness, with a gzip scrape each second\n\nShare of polls, in percent, that began within so long of "
                     "their time. L2 has a tenth of accounts hung, a tenth answered by garbage, and two of 20 providers "
                     "answering 429. What an exporter is late that runs before all others on the machine is its own doing; "
                     "the rest is time that others had the processors.\n\n" + table(["Row", "accounts", "each", "polls", "1 ms", "5 ms", "10 ms", "50 ms", "1 s",
                                                 "requests before Retry-After"], rows))
        if "L1" in kept:
            targets.append(["L1", "share of polls later than 5 ms, 10,000 accounts each 60 s, in percent", "at most 0.1",
                            100 - kept["L1"]["within"]["0.005"], 0.1])
        if "L1 ahead" in kept:
            targets.append(["L1", "the same, if the exporter runs before all others", "at most 0.1",
                            100 - kept["L1 ahead"]["within"]["0.005"], 0.1])
        if "L2" in kept:
            targets.append(["L2", "requests before Retry-After was over", "none", kept["L2"]["too_early"], 0])
    sizes = kept.get("G")
    if sizes:
        lines, more = [], []
        for row in sizes:
            lines.append([f"{row['accounts']:,}", num(row["first_answer_s"] * 1e3), num(row["ready_s"]), num(row["cpu_ms_per_poll"]),
                          num(row["gzip_cpu_ms"]["p50"] / row["accounts"] * 1e3), num(row["plain_cpu_ms"]["p50"] / row["accounts"] * 1e3),
                          num(row["resident_mb"]), num(row["resident_mb"] * 1024 / row["accounts"]), num(row["most_resident_mb"])])
            page = lambda path: num(row["pages"][path]["s"] * 1e3)
            more.append([f"{row['accounts']:,}", num(row["reload_s"] * 1e3), num(row["reload_cpu_ms"]),
                         num(row["within_50_ms_of_reloads"]), *(page(path) for path in ["/", "/api/v1/accounts", "/?q=account-0001&sort=funds"])])
        at = sizes[-1]["machine"]
        parts.append(f"### Growth\n\nMeasured {at['at']}, load {' '.join(at['load'])}. A hundred accounts are polled each 5 s, a thousand "
                     "each 10 s, ten thousand each minute and a hundred thousand each ten minutes.\n\n" + table(
            ["accounts", "first answer ms", "all polled s", "CPU ms per poll", "gzip scrape µs per account", "plain µs per account",
             "resident MB", "kB per account", "at most MB"], lines)
            + "\nA reload that changes one account, the polls that were begun within 50 ms of their time meanwhile (in percent), and "
            "the page:\n\n" + table(
            ["accounts", "reload ms", "its CPU ms", "on time", "`/` ms", "`/api/v1/accounts` ms", "a search, sorted by funds, ms"], more)
            + "\n![Cost per account by the size of the fleet](performance.svg)\n")
        picture(sizes)
        big = sizes[-1]
        by_size = {row["accounts"]: row for row in sizes}
        if 10_000 in by_size:
            targets.append(["M1", "resident MB at 10,000 accounts", "at most 40", by_size[10_000]["resident_mb"], 40])
            targets.append(["U1", "ms to the first answer with 10,000 accounts in YAML", "at most 250", by_size[10_000]["first_answer_s"] * 1e3, 250])
        if big["accounts"] == 100_000:
            targets.append(["M1", "resident MB at 100,000 accounts", "at most 300", big["resident_mb"], 300])
            targets.append(["–", "s for a reload that changes one of 100,000 accounts", "at most 1", big["reload_s"], 1])
        costs = [row["gzip_cpu_ms"]["p50"] / row["accounts"] for row in sizes if row["accounts"] >= 1_000]
        targets.append(["G1", "gzip scrape per account, dearest size over cheapest from 1,000 on", "at most 1.5", max(costs) / min(costs), 1.5])
    endurance = kept.get("soak")
    if endurance:
        per = endurance["per_million_polls"]
        lines = [[name, num(endurance["first"][key]), num(endurance["last"][key]),
                  f"{num(per[key]['slope'])} ± {num(per[key]['error'])}" if per[key] else "–"]
                 for key, name in [("resident_mb", "resident MB"), ("descriptors", "descriptors"), ("scrape_ms", "gzip scrape ms")]]
        parts.append(f"### Endurance\n\n{endurance['polls']:,} polls of {endurance['accounts']:,} accounts in {num(endurance['seconds'])} s, "
                     "with accounts hung and garbled and a provider throttling all the while.\n\n"
                     + table(["", "early", "at the end", "per million polls"], lines))
    if targets:
        lines = [[row, what, target, num(value), verdict(value, most)] for row, what, target, value, most in targets]
        parts.insert(1, "### Targets\n\n" + table(["Row", "What", "Target", "Median measured", ""], lines))
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n" + "\n".join(parts) + f"\n{END}{after}")


def picture(sizes):
    """Cost per account against the size of the fleet, each curve relative to its value at the smallest size above 100."""
    width, height, left, bottom = 720, 400, 70, 50
    curves = {
        "CPU per poll": ("#1f77b4", lambda row: row["cpu_ms_per_poll"]),
        "gzip scrape, CPU per account": ("#d62728", lambda row: row["gzip_cpu_ms"]["p50"] / row["accounts"]),
        "plain scrape, CPU per account": ("#2ca02c", lambda row: row["plain_cpu_ms"]["p50"] / row["accounts"]),
        "resident memory per account": ("#9467bd", lambda row: row["resident_mb"] / row["accounts"]),
    }
    values = {}
    for name, (_, of) in curves.items():
        points = [(row["accounts"], of(row)) for row in sizes if of(row)]
        base = next((value for accounts, value in points if accounts >= 1_000), None)
        values[name] = [(accounts, value / base) for accounts, value in points] if base else []
    everything = [value for points in values.values() for _, value in points] or [1]
    low, high = math.log10(min(everything + [0.5])), math.log10(max(everything + [2]))
    first, last = math.log10(sizes[0]["accounts"]), math.log10(sizes[-1]["accounts"])
    x = lambda accounts: left + (math.log10(accounts) - first) / max(last - first, 1) * (width - left - 30)
    y = lambda value: height - bottom - (math.log10(value) - low) / (high - low) * (height - bottom - 30)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="18">Cost per account or poll, relative to 1,000 accounts (both axes logarithmic)</text>']
    for row in sizes:
        at = x(row["accounts"])
        out.append(f'<line x1="{at:.1f}" y1="30" x2="{at:.1f}" y2="{height - bottom}" stroke="#ddd"/>'
                   f'<text x="{at:.1f}" y="{height - bottom + 18}" text-anchor="middle">{row["accounts"]:,}</text>')
    for mark in [0.1, 0.2, 0.5, 1, 1.5, 2, 5, 10, 20, 50]:
        if low <= math.log10(mark) <= high:
            out.append(f'<line x1="{left}" y1="{y(mark):.1f}" x2="{width - 30}" y2="{y(mark):.1f}" stroke="{"#888" if mark == 1 else "#ddd"}"/>'
                       f'<text x="{left - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark}×</text>')
    for place, (name, points) in enumerate(values.items()):
        colour = curves[name][0]
        path = " ".join(f"{x(accounts):.1f},{y(value):.1f}" for accounts, value in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.extend(f'<circle cx="{x(accounts):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for accounts, value in points)
        out.append(f'<text x="{left + 190 + 240 * (place % 2)}" y="{48 + 16 * (place // 2)}" fill="{colour}">{name}</text>')
    out.append(f'<text x="{width // 2}" y="{height - 12}" text-anchor="middle">accounts</text></svg>')
    PICTURE.write_text("\n".join(out) + "\n")
