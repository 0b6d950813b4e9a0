"""A dashboard's JSON, and the parts of it that are looked at."""

import re

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:[.:][\w.:]*)?\})")


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def name(panel):
    return f"panel {panel.get('title', panel.get('id'))!r}"


def queries(dashboard):
    """Every expression: where it stands, the expression, and the panel's target or None."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield f"{name(panel)} {target['refId']}", target["expr"], target
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']!r}", annotation["expr"], None


def variables(dashboard, kind="query"):
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == kind]


def used(text):
    """The names of the variables in a text."""
    return {one or other for one, other in VARIABLE.findall(text)}


def interpolate(text, values):
    """As Grafana does for Prometheus: several values become a group of alternatives, each as a literal."""

    def value(match):
        given = values[match[1] or match[2]]
        return given if isinstance(given, str) else "(" + "|".join(map(literal, given)) + ")"

    return VARIABLE.sub(value, text)


def literal(value):
    """Escaped for a regular expression within a string of PromQL."""
    return re.sub(r"([.*+?^${}()|\[\]/\\])", r"\\\\\1", value)


def strings(value):
    """Every text within."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)
