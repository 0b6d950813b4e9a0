"""Samples over time, and the two ways to write them down: as OpenMetrics, and as promtool's tests want them."""

from account import STEP


class Series(dict):
    """(name, labels in pairs) → {time: value}."""

    def add(self, name, labels, time, value):
        self.setdefault((name, tuple(sorted(labels.items()))), {})[time] = value


def recorded(scrapes):
    series = Series()
    for time, samples in scrapes:
        for name, labels, value in samples:
            series.add(name, labels, time, value)
    return series


def selector(name, labels):
    pairs = ",".join(f'{key}="{value}"' for key, value in labels)
    return f"{name}{{{pairs}}}"


def openmetrics(series, origin, since=0):
    """The text of it, beginning `since`. The world begins at `origin`, from where its own timestamps count, too."""
    for (name, labels), samples in series.items():
        start = selector(name, labels)
        shift = (
            origin if name.endswith(("_timestamp_seconds", "_start_time_seconds")) or name == "ALERTS_FOR_STATE" else 0
        )
        for time, value in samples.items():
            if time >= since:
                # 0 means never
                yield f"{start} {value + shift if value else value} {origin + time}\n"
    yield "# EOF\n"


def notation(samples, end):
    """The values of a series from 0 to `end`, with a stale marker where it ends, as a real scrape would leave."""
    words, before = [], False
    for time in range(0, end + 1, STEP):
        value = samples.get(time)
        words.append(str(value) if value is not None else "stale" if before else "_")
        before = value is not None
    return " ".join(words)
