"""/metrics as others read it: both parsers of Python's client library, and gzip."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict_openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
STEADY = ("balance_amount", "balance_available_amount", "balance_threshold_amount", "balance_account_info")


def steady(families):
    """Samples that do not change from one scrape to the next; a duplicate is refused."""
    found = {}
    for family in families:
        for sample in family.samples:
            place = (sample.name, *sorted(sample.labels.items()))
            assert place not in found, f"twice: {place}"
            found[place] = sample.value
    return {place: value for place, value in found.items() if place[0] in STEADY}


def check_parsers(exporter):
    plain, open_metrics = exporter.ask("/metrics"), exporter.ask("/metrics", headers=OPENMETRICS)
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    read, read_strictly = steady(text_format(plain.text)), steady(strict_openmetrics(open_metrics.text))
    assert len(read) > 50 and read == read_strictly, "the two formats do not say the same"


def check_gzip(exporter):
    """Between two polls nothing changes: then the packed answer is the plain one, byte for byte."""
    sizes = None
    for _ in range(50):
        before = exporter.ask("/metrics")
        packed = exporter.ask("/metrics", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in before.headers
        if packed.body == before.body:
            sizes = len(before.raw), len(packed.raw)
            break
    assert sizes, "the gzip answer is never equal to the plain one"
    return sizes
