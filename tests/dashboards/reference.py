"""Which series there are, and which labels they have: by the README, by Prometheus itself, and by the rules."""

import re

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", re.M)
TARGET = {"job", "instance"}
OF_PROMETHEUS = {"up": set(), "scrape_duration_seconds": set(), "scrape_samples_scraped": set()}
RECORD = re.compile(r"^ +- record: (\S+)$", re.M)
#: Every program has series of these names, so they say nothing of ours.
GENERIC = re.compile(r"up|scrape_\w+|process_\w+")
MONEY = re.compile(r"(?:.*[_:])?amount(?:[_:].*)?")


def exported(readme):
    """Name → labels, of what the exporter and a scrape of it bring; the account's own labels are not among them."""
    table = readme.split("<!-- generated: metrics -->")[1].split("\n\nEach failed poll")[0]
    known = dict(OF_PROMETHEUS)
    for name, kind, labels in ROW.findall(table):
        labels = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            known |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            known[name] = labels
    return {name: labels | TARGET for name, labels in known.items()}


def recorded(rules, made):
    """Name → labels, of what the rules make: names as the file has them, labels as they came out."""
    known = {name: set() for name in [*RECORD.findall(rules), "ALERTS", "ALERTS_FOR_STATE"]}
    for name, labels in made:
        known[name] |= {label for label, _ in labels}
    unseen = sorted(name for name, labels in known.items() if not labels)
    assert not unseen, f"the world does not bring {unseen}"
    return known


def unlike(known, series, own):
    """Where the world is not like the exporter. `own` are the labels that its configuration gives to accounts.

    It need not have all series: those that a dashboard asks for will be missed there.
    """
    seen = {}
    for name, labels in series:
        seen.setdefault(name, set()).update(label for label, _ in labels)
    for name in sorted(seen):
        expected, found = known.get(name), seen[name] - own
        if expected is None:
            yield f"the world has {name}, which the exporter has not"
        # which build it is, is optional
        elif found != expected and found != expected - {"revision"}:
            yield f"the world's {name} has the labels {sorted(found)}, the exporter's {sorted(expected)}"
