"""The shipped files of deploy/prometheus, sixty times quicker: only durations differ, and where things listen.

Durations are those that Prometheus and Alertmanager read as such: `for: 5m`, `[15m]`, `offset 1h`. Numbers stay, since
they are compared with what the exporter measures in real seconds, or are one side of a ratio whose other side is
a number, too. So what is tested is the shipped text.
"""

import re

FACTOR = 60
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
KEYS = "interval|for|keep_firing_for|group_wait|group_interval|repeat_interval"
DURATION = re.compile(rf"((?:\b(?:{KEYS}): |\boffset |\[))(\d+)([smhd])\b")
# Prometheus's own: a sixtieth of these would be shorter than a scrape may take
PACE = re.compile(r"\b(scrape_interval|scrape_timeout|evaluation_interval): \w+")
FILES = ("rules.yml", "alerts.yml", "alertmanager.yml", "prometheus.yml")


def hurried(text):
    """The text with every duration a sixtieth of what it was."""

    def shorter(found):
        return f"{found[1]}{int(found[2]) * SECONDS[found[3]] * 1000 // FACTOR}ms"

    return DURATION.sub(shorter, PACE.sub(r"\1: 1s", text))


def hurry(shipped, folder):
    """Writes the quick copies."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text(hurried((shipped / name).read_text("utf-8")), "utf-8")


def point(file, place, instead):
    """What listens at `place` in the shipped file listens elsewhere here."""
    text = file.read_text("utf-8")
    assert place in text, f"{file.name} does not name {place} any more"
    file.write_text(text.replace(place, instead), "utf-8")


def check_itself(shipped):
    assert hurried("for: 5m") == "for: 5000ms" and hurried("x[1h] offset 15m") == "x[60000ms] offset 15000ms"
    for untouched in ("balance:runway_seconds:1h < 21600", "severity: warning", "for 5m of it", "le=~\"5(\\\\.0)?\""):
        assert hurried(untouched) == untouched
    for name in FILES:
        text = (shipped / name).read_text("utf-8")
        blank = [PACE.sub(r"\1: ", DURATION.sub(r"\1", each)) for each in (text, re.sub(r"(\d)ms\b", r"\1s", hurried(text)))]
        assert blank[0] == blank[1], f"{name}: more than durations would change"
        assert text != hurried(text), f"{name}: there is nothing to hurry"
