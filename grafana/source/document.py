"""A whole dashboard, in the classic format, which old and new Grafana read."""

from . import link
from .layout import place
from .query import DATASOURCE

#: Of Grafana 10. Newer ones migrate it when they load it; older ones ignore what they do not know.
SCHEMA_VERSION = 39

NEEDS_RULES = "Needs the recording rules of deploy/prometheus/rules.yml, and alerts.yml for what fires."


def annotation(name, expr, color, title, *, text="", enable=True, starts=False):
    """Marks in the charts. `starts` takes values for times, in milliseconds."""
    return {
        "datasource": DATASOURCE,
        "enable": enable,
        "expr": " ".join(expr.split()),
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "60s",
        "tagKeys": "severity",
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": starts,
    }


def document(uid, title, description, *, variables, annotations, rows, span="now-6h"):
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": link.dashboards(),
        "liveNow": False,
        "panels": place(rows),
        "refresh": "1m",
        "schemaVersion": SCHEMA_VERSION,
        "tags": [link.TAG],
        "templating": {"list": list(variables)},
        "time": {"from": span, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "version": 1,
        "weekStart": "",
    }
