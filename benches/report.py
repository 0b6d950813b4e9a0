"""docs/PERFORMANCE.md and its picture, from what was measured."""

import statistics
import xml.etree.ElementTree

import picture
from stand import ROOT, Failed

DOCUMENT = ROOT / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def num(value):
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:.{digits}f}"


def ratios(ours, theirs):
    """Of two series that were measured in turn, round by round."""
    return [a / b for a, b in zip(ours, theirs) if b]


def three(values):
    """Minimum, median and maximum."""
    return f"{num(min(values))} / **{num(statistics.median(values))}** / {num(max(values))}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


class Report:
    """The sections so far, and what they say of the targets."""

    def __init__(self, kept):
        self.kept, self.parts, self.targets = kept, [], []
        machines = {tuple(each["machine"][key] for key in ["cores", "cpu", "kernel"]) for each in kept.values()}
        self.is_mixed = len(machines) > 1
        if len(machines) == 1:
            cores, cpu, kernel = machines.pop()
            self.parts.append(f"Measured on {cores} cores ({cpu}), Linux {kernel}. The load before each table is that of other "
                              "work when it began: trust ratios, not times.\n")

    def measured(self, name):
        return self.kept[name]["measured"] if name in self.kept else None

    def when(self, *names):
        """When these parts were measured, and what else the machine did."""
        stamps = []
        for name in names:
            if name in self.kept:
                at = self.kept[name]["machine"]
                where = f" on {at['cores']} cores ({at['cpu']}), Linux {at['kernel']}" if self.is_mixed else ""
                stamps.append(f"{name if len(names) > 1 else ''} {at['at']}{where}, load {' '.join(at['load'])}".strip())
        return "Measured " + "; ".join(stamps) + "."

    def add(self, heading, *texts):
        self.parts.append(f"### {heading}\n\n" + "\n".join(texts))

    def target(self, row, what, said, value, most):
        self.targets.append([row, what, said, num(value), "reached" if value <= most else "**not reached**"])

    def text(self):
        parts = list(self.parts)
        if self.targets:
            parts.insert(1, "### Targets\n\n" + table(["Row", "What", "Target", "Median measured", ""], self.targets))
        return "\n".join(parts)


def answering(report):
    for name in ["S small", "S large"]:
        rows = report.measured(name)
        if not rows:
            continue
        texts = [report.when(name) + " While it is scraped the exporter goes on polling, and no peer polls. In the half second before "
                 "each scrape nobody asks, and what a process uses then is taken off for as long as the scrape lasts: no more of it than "
                 "in the usual pause, and never more than half. Gross is what was used in all.\n"]
        for kind in ["changing plain", "changing gzip", "unchanged plain", "unchanged gzip"]:
            servers = rows[kind]
            ours, lines = servers[0], []
            for server in servers:
                net, raw = (ratios(ours[key], server[key]) for key in ["net_ms_each", "raw_ms_each"])
                cpu = server["net_ms"]
                lines.append([server["name"],
                              num(cpu["min"]), num(cpu["p50"]), num(cpu["max"]), num(server["raw_ms"]["p50"]),
                              num(100 * server["taken_off"]["p50"]), num(server["ms"]["p50"]), f"{server['bytes']:,}",
                              num(server["resident_kb"] / 1024), *(["1", "1"] if server is ours else [three(net), num(statistics.median(raw))])])
            state = "accounts being polled" if kind.startswith("changing") else "nothing polled, the board unchanged"
            texts.append(f"{kind.split()[1]}, {state}:\n\n" + table(
                ["Server", "CPU ms min", "median", "max", "gross median", "taken off %", "p50 ms", "bytes", "resident MB",
                 "ours / theirs: min, median, max", "gross"], lines))
        report.add(f"Answering a scrape, {rows['accounts']:,} accounts", *texts)
        if name == "S large":
            targets(report, rows)


def targets(report, rows):
    by = lambda kind, server: next(row for row in rows[kind] if row["name"] == server)["net_ms_each"]
    beside = lambda kind, server: statistics.median(ratios(by(kind, "exporter"), by(kind, server)))
    report.target("S1", "gzip scrape, changing, against prometheus-client", "at most 1/8", beside("changing gzip", "prometheus-client"), 1 / 8)
    report.target("S2", "plain scrape, changing, against prometheus-client", "at most 1/13", beside("changing plain", "prometheus-client"), 1 / 13)
    report.target("S2", "the same against nginx, which copies as much into the connection", "at most 2.1", beside("changing plain", "nginx"), 2.1)
    report.target("S3", "plain, unchanged, against nginx", "at most 1.0", beside("unchanged plain", "nginx"), 1.0)
    report.target("S3", "gzip, unchanged, against nginx with the file compressed before", "at most 1.5", beside("unchanged gzip", "nginx"), 1.5)
    storm = rows["storm"][0]["net_ms"]["p50"] / statistics.median(by("changing gzip", "exporter"))
    report.target("S6", "CPU of 50 scrapes at once over that of one (50 without sharing)", "few", storm, 10)


def tail(report):
    rows = report.measured("S4")
    if rows:
        over = lambda spread: spread["p99"] / spread["p50"]
        lines = [[server["name"], num(server["ms"]["p50"]), num(server["ms"]["p99"]), num(server["ms"]["max"]), num(over(server["ms"])),
                  num(over(server["net_ms"]))] for server in rows["servers"]]
        report.add(f"The slowest of {rows['scrapes']} scrapes", f"{report.when('S4')} gzip, {rows['accounts']:,} accounts polled each 10 s, "
                   "and nginx with the same bytes in turn with it.\n", table(
                       ["Server", "p50 ms", "p99 ms", "max ms", "p99 / p50", "of CPU time"], lines))
        report.target("S4", f"gzip, p99 over p50 of {rows['scrapes']} scrapes of {rows['accounts']:,} accounts", "at most 2",
                      over(rows["servers"][0]["ms"]), 2.0)


def prometheus(report):
    rows = report.measured("S5")
    if rows:
        took = rows["seconds"]
        lines = [[job, spread["n"], *(num(spread[key] * 1e3) for key in ["min", "median", "max"]),
                  num(took["exporter"]["median"] / spread["median"])] for job, spread in took.items()]
        report.add("Scraped by Prometheus", f"{report.when('S5')} What Prometheus notes as the duration of a scrape, which is mostly its own "
                   f"reading of {int(rows['samples']):,} samples: {rows['accounts']:,} accounts being polled, and nginx with the same "
                   "bytes, which do not change.\n", table(["Scraped", "scrapes", "min ms", "median", "max", "ours / theirs"], lines))
        report.target("S5", "scrape_duration_seconds of Prometheus against nginx serving the same bytes", "at most 1.15",
                      took["exporter"]["median"] / took["nginx"]["median"], 1.15)


def polling(report):
    rows = report.measured("P")
    if not rows:
        return
    fresh, kept = rows["samples"], rows["kept"]
    beside, beside_kept = ratios(fresh["exporter"], fresh["reqwest"]), ratios(kept["exporter"], kept["reqwest"])
    ours, ours_kept, bare, bare_kept = (statistics.median(series) for series in
                                        [fresh["exporter"], kept["exporter"], fresh["reqwest"], kept["reqwest"]])
    lines = [["balance-exporter", num(ours), "1"], ["a bare reqwest loop", num(bare), three(beside)],
             ["balance-exporter, `keep_alive`", num(ours_kept), num(ours / ours_kept)],
             ["a bare reqwest loop, connections kept", num(bare_kept), three(beside_kept) + " of `keep_alive`"]]
    lines += [[name, num(rows[name]), num(ours / rows[name])] for name in ["Python aiohttp", "Python requests", "blackbox_exporter"]]
    report.add(f"Polling, {rows['accounts']:,} accounts each {rows['interval_s']} s, a fresh connection each unless said",
               report.when("P") + "\n", table(["Poller", "CPU ms per poll", "ours / theirs"], lines))
    report.target("P1", "CPU per unsigned poll against a bare reqwest loop, same connection policy", "at most 1.3", statistics.median(beside), 1.3)
    report.target("P1", "the same, connections kept by both", "at most 1.3", statistics.median(beside_kept), 1.3)
    report.target("P1", "CPU per unsigned poll with `keep_alive` against blackbox_exporter", "at most 1/10",
                  ours_kept / rows["blackbox_exporter"], 0.1)
    report.target("P4", "new connections per poll with `keep_alive`, in percent", "at most 1", 100 * statistics.median(kept["connections"]), 1.0)


def signing(report):
    rows = report.measured("P2")
    if rows:
        more = [signed - unsigned for signed, unsigned in zip(rows["signed"], rows["unsigned"])]
        beside = ratios(more, rows["signature"])
        lines = [[name, num(statistics.median(series))] for name, series in [
            ("an unsigned poll", rows["unsigned"]), ("one that is signed with RSA", rows["signed"]), ("what is between them", more),
            ("a signature alone", rows["signature"])]]
        report.add("Signed polls", f"{report.when('P2')} {rows['accounts']:,} accounts of each kind each {rows['interval_s']} s, keys of 2,048 "
                   "bits, the signature alone by the same library.\n", table(["What", "CPU ms"], lines),
                   f"What a signed poll costs more, over a signature alone: {three(beside)}.\n")
        report.target("P2", "what a signed poll costs more, over a signature alone", "at most 1.3", statistics.median(beside), 1.3)


def refreshing(report):
    rows = report.measured("P3")
    if rows:
        spans, accounts = rows["span_s"], rows["accounts"]
        rate = lambda name: accounts / statistics.median(spans[name])
        lines = [["balance-exporter", num(rate("exporter")), "1"]]
        lines += [[label, num(rate(name)), three(ratios(spans[name], spans["exporter"]))] for name, label in
                  [("reqwest", "a bare reqwest loop, all at once"), ("Python aiohttp", "Python aiohttp, a hundred at a time")]]
        report.add(f"Polling all {accounts:,} accounts once", f"{report.when('P3')} The provider takes {rows['delay_ms']} ms; no limit. From its "
                   f"start until it was ready, the exporter took {three(rows['ready_s'])} s. It spreads first polls on purpose.\n",
                   table(["Poller", "polls a second", "ours / theirs"], lines))
        beside = lambda name: rate("exporter") / rate(name)
        report.target("P3", "time for a bare reqwest loop's polls, in its times", "at most 1.25", 1 / beside("reqwest"), 1.25)
        report.target("P3", "the same against aiohttp", "at most 1/4", 1 / beside("Python aiohttp"), 0.25)
        report.target("P3", f"s from the start until {accounts:,} accounts were polled", "at most 3", statistics.median(rows["ready_s"]), 3)


def rhythm(report):
    names = [name for name in ["L1", "L1 ahead", "L1 large", "L2", "S6", "state"] if report.measured(name)]
    if not names:
        return
    late = {name: report.measured(name) for name in names}
    called = {"L1 large": "L1", "L1 ahead": "L1 before all others", "S6": "50 scrapes at once", "state": "with a state"}
    lines = [[called.get(name, name), f"{row['accounts']:,}", row["interval"], f"{int(row['polls']):,}",
              *(num(row["within"][most]) for most in ["0.001", "0.005", "0.01", "0.05", "1.0"]),
              row["too_early"], row["crossed_at_first"], row["crossed"]] for name, row in late.items()]
    came = [[called.get(name, name), f"{row['accounts']:,}", f"{row['arrived_ms']['n']:,}", *(num(row["arrived_ms"][key]) for key in
             ["min", "median", "p99", "max", "within_5_ms"])] for name, row in late.items()]
    report.add("Lateness, with a gzip scrape each second", report.when(*names) + " Share of polls, in percent, that began within so long of "
               "their time. L2 has a tenth of accounts hung, a tenth answered by garbage, and two of 20 providers answering 429. What an "
               "exporter is late that runs before all others on the machine is its own doing; the rest is time that others had the "
               "processors. The row with a state is without scrapes. A request within a second of the refusal counts as on its way.\n", table(
                   ["Row", "accounts", "each", "polls", "1 ms", "5 ms", "10 ms", "50 ms", "1 s", "requests before Retry-After",
                    "on their way when it was told first", "and later"], lines),
               "When their requests came to the provider, in milliseconds after the times that the exporter had told before, of accounts "
               "that have no faults. It tells whole milliseconds, so that up to one of them is none. The rest is the connection, and the "
               "provider and the scraper, which want the same processors:\n", table(
                   ["Row", "accounts", "requests", "first ms", "median", "p99", "last", "within 5 ms, %"], came))
    for name in ["L1", "L1 ahead", "L1 large"]:
        if name in late:
            row = late[name]
            ahead = ", if the exporter runs before all others" if name == "L1 ahead" else ""
            report.target("L1", f"share of polls later than 5 ms, {row['accounts']:,} accounts each {row['interval']}{ahead}, in percent",
                          "at most 0.1", 100 - row["within"]["0.005"], 0.1)
            # before all others it runs before the provider, too
            if not ahead:
                report.target("L1", f"p99 of when they came to the provider, {row['accounts']:,} accounts, ms", "at most 3",
                              row["arrived_ms"]["p99"], 3)
                report.target("L1", f"the last of them, {row['accounts']:,} accounts, ms", "at most 20", row["arrived_ms"]["max"], 20)
    if "S6" in late:
        report.target("S6", "share of polls later than 5 ms with 50 scrapes at once each second, in percent", "at most 1",
                      100 - late["S6"]["within"]["0.005"], 1)
    if "L2" in late and "L1" in late:
        report.target("L2", "p99 of when requests of accounts without faults came, over the same without any faults", "at most 1.5",
                      late["L2"]["arrived_ms"]["p99"] / late["L1"]["arrived_ms"]["p99"], 1.5)
    if "L2" in late:
        report.target("L2", "requests before Retry-After was over, but for those on their way", "none", late["L2"]["too_early"], 0)


def state(report):
    row = report.measured("state")
    if row:
        kept = row["state"]
        each = lambda value: value / kept["writings"]
        report.add("Keeping a state", f"{report.when('state')} What is known of {row['accounts']:,} accounts, polled each {row['interval']}, "
                   f"is written over and over, by a thread of its own, which also keeps what was sent: {kept['writings']} times in "
                   f"{num(kept['seconds'])} s. The file has {kept['file_bytes']:,} bytes.\n", table(["What", "measured"], [
                       ["from the file's birth until it is on the disk and has its name, s", num(kept["on_disk_s"]["median"])],
                       ["the longest of these, s", num(kept["on_disk_s"]["max"])],
                       ["CPU ms of the thread per writing", num(each(kept["cpu_ms"]))],
                       ["the thread's share of a processor, %", num(kept["cpu_ms"] / kept["seconds"] / 10)],
                       ["its share of what the exporter uses, %", num(100 * kept["cpu_share_of_exporter"])],
                       ["bytes written a second, all files", f"{kept['bytes_per_s']:,.0f}"]]))


def readers(report):
    rows = report.measured("M2")
    if rows:
        lines = [[coding, f"{rows[coding]['bytes']:,}", num(rows[coding]["idle_mb"]), num(rows[coding]["most_mb"]),
                  num(rows[coding]["most_mb"] / rows[coding]["idle_mb"])] for coding in ["gzip", "plain"]]
        report.add("Memory while many read", f"{report.when('M2')} {rows['accounts']:,} accounts; four read slowly while four at a time scrape, "
                   "over and over.\n", table(["Answers", "bytes", "idle MB", "at most MB", "at most / idle"], lines))
        for coding in ["gzip", "plain"]:
            report.target("M2", f"peak with 4 scrapes and 4 slow readers over idle, {coding}", "at most 1.3",
                          rows[coding]["most_mb"] / rows[coding]["idle_mb"], 1.3)


def growth(report):
    sizes = report.measured("G")
    if not sizes:
        return
    lines, more = [], []
    each = lambda row, coding, kind: num(row[coding][kind]["p50"] / row["accounts"] * 1e3)
    for row in sizes:
        lines.append([f"{row['accounts']:,}", num(row["first_answer_s"] * 1e3), num(row["ready_s"]), num(row["cpu_ms_per_poll"]),
                      each(row, "gzip", "net_ms"), each(row, "gzip", "raw_ms"), each(row, "plain", "net_ms"), each(row, "plain", "raw_ms"),
                      num(row["resident_mb"]), num(row["resident_mb"] * 1024 / row["accounts"]), num(row["most_resident_mb"])])
        more.append([f"{row['accounts']:,}", num(row["reload_s"] * 1e3), num(row["reload_cpu_ms"]), num(row["within_50_ms_of_reloads"]),
                     *(num(page["s"] * 1e3) for page in row["pages"].values())])
    rhythms = ", ".join(f"{row['accounts']:,} accounts each {row['interval']}" for row in sizes)
    report.add("Growth", f"{report.when('G')} Polled are {rhythms}. No answer is shared with the one before.\n", table(
        ["accounts", "first answer ms", "all polled s", "CPU ms per poll", "gzip scrape µs per account", "gross", "plain µs per account",
         "gross", "resident MB", "kB per account", "at most MB"], lines),
        "A reload that changes one account, the polls that were begun within 50 ms of their time meanwhile (in percent), and the page, the "
        "median of five in a row, which share what is made of them:\n",
        table(["accounts", "reload ms", "its CPU ms", "on time", "`/` ms", "`/api/v1/accounts` ms", "a search, sorted by funds, ms"], more),
        "![Cost per account by the size of the fleet](performance.svg)\n")
    by_size = {row["accounts"]: row for row in sizes}
    for accounts, most in [(10_000, 40), (100_000, 300)]:
        if accounts in by_size:
            report.target("M1", f"resident MB at {accounts:,} accounts", f"at most {most}", by_size[accounts]["resident_mb"], most)
    if 10_000 in by_size:
        report.target("U1", "ms to the first answer with 10,000 accounts in YAML", "at most 250", by_size[10_000]["first_answer_s"] * 1e3, 250)
    big = sizes[-1]
    report.target("G1", f"s for a reload that changes one of {big['accounts']:,} accounts", "at most 1", big["reload_s"], 1)
    large = [row for row in sizes if row["accounts"] >= 1_000] or sizes
    for what, cost in [("CPU of a gzip scrape per account", lambda row: row["gzip"]["net_ms"]["p50"] / row["accounts"]),
                       ("CPU per poll", lambda row: row["cpu_ms_per_poll"]),
                       # that of the program alone is far more than a few hundred accounts take
                       (f"memory per account beyond the first {sizes[0]['accounts']:,}", lambda row: (row["resident_mb"] - sizes[0]["resident_mb"])
                        / (row["accounts"] - sizes[0]["accounts"]))]:
        costs = [cost(row) for row in large if row is not sizes[0]]
        if costs:
            report.target("G1", f"{what}, dearest size over cheapest from {large[0]['accounts']:,} on", "at most 1.5", max(costs) / min(costs), 1.5)


def endurance(report):
    rows = report.measured("soak")
    if rows:
        per = rows["per_million_polls"]
        lines = [[what, *(num(rows[when][key]) for when in ["first", "settled", "last"]), f"{num(per[key]['slope'])} ± {num(per[key]['error'])}"]
                 for key, what in [("resident_mb", "resident MB"), ("descriptors", "descriptors"), ("scrape_ms", "gzip scrape ms")]]
        report.add("Endurance", f"{report.when('soak')} {rows['polls']:,} polls of {rows['accounts']:,} accounts in {num(rows['seconds'])} s, with "
                   "accounts hung and garbled and a provider throttling all the while. It counts as settled when each account that succeeds has "
                   f"had {rows['grown']} polls, one more than are remembered of it: after {rows['settled_after_polls']:,}. The slope is that of "
                   "the rest, with its standard error.\n", table(["", "first", "settled", "at the end", "per million polls"], lines))


SECTIONS = [answering, tail, prometheus, polling, signing, refreshing, rhythm, state, readers, growth, endurance]


def write(kept, document):
    """Over the measured part of the document, with the picture beside it."""
    report = Report(kept)
    for section in SECTIONS:
        section(report)
    before, rest = (document if document.exists() else DOCUMENT).read_text().split(BEGIN)
    _, after = rest.split(END)
    document.write_text(f"{before}{BEGIN}\n\n{report.text()}\n{END}{after}")
    if "G" in kept:
        document.with_name("performance.svg").write_text(picture.drawn(kept["G"]["measured"]))


def check(document):
    """Fails unless every section is there, and the picture with its curves."""
    measured = document.read_text().split(BEGIN)[1].split(END)[0]
    tables = measured.split("\n### ")[1:]
    empty = [part.splitlines()[0] for part in tables if part.count("\n| ") < 3]
    # one of each, and the targets
    if empty or len(tables) < len(SECTIONS) + 1:
        raise Failed(f"the document has {len(tables)} sections, and nothing in {empty}")
    drawn = xml.etree.ElementTree.parse(document.with_name("performance.svg")).getroot()
    curves = [line for line in drawn.iter("{http://www.w3.org/2000/svg}polyline") if len(set(line.get("points").split())) > 1]
    if len(curves) != len(picture.CURVES):
        raise Failed(f"the picture has {len(curves)} curves")
