"""Series and labels that a dashboard names, against those that there are."""

import re

from dashboard import queries, variables
from promql import Expression

LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


def problems(dashboard, known):
    """`known` is name → labels."""
    for where, text, target in queries(dashboard):
        yield from _expression(where, Expression(text), known, (target or {}).get("legendFormat", ""))
    for variable in variables(dashboard):
        where = f"variable {variable['name']}"
        asked = LABEL_VALUES.fullmatch(variable["definition"])
        if not asked:
            yield f"{where}: {variable['definition']!r} is no label_values(series, label)"
            continue
        if variable["query"]["query"] != variable["definition"]:
            yield f"{where}: query and definition differ"
        expression = Expression(asked[1])
        yield from _expression(where, expression, known, f"{{{{{asked[2]}}}}}")


def _expression(where, expression, known, legend):
    labels = set(expression.made)
    if not expression.selectors:
        yield f"{where}: names no series: {expression.text}"
    for selector in expression.selectors:
        if selector.metric not in known:
            yield f"{where}: there is no series {selector.metric}"
            continue
        labels |= known[selector.metric]
        for label in selector.matchers.keys() - known[selector.metric]:
            yield f"{where}: {selector.metric} has no label {label}"
    for grouping in expression.groupings:
        for label in grouping.labels - labels:
            yield f"{where}: nothing has the label {label}, in {grouping.keyword} ({', '.join(grouping.labels)})"
    for label in set(re.findall(r"{{(\w+)}}", legend)) - labels:
        yield f"{where}: nothing has the label {label}, in the legend"
