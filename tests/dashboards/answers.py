"""Every query of a dashboard, asked a real Prometheus that holds the world."""

import math
import re

from dashboard import interpolate, queries, variables
from names import LABEL_VALUES
from world import STRANGER

UNITS = {"h": 3600, "m": 60}
#: What Grafana would make of these, with a scrape each two minutes.
INTERVALS = {"__rate_interval": "8m", "__interval": "2m"}


def _named(legend, labels):
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


class Questions:
    """A dashboard at the end of the world."""

    def __init__(self, dashboard, prometheus, end):
        self.dashboard, self.prometheus, self.end = dashboard, prometheus, end
        length = re.fullmatch(r"now-(\d+)(h|m)", dashboard["time"]["from"])
        self.span = int(length[1]) * UNITS[length[2]]

    def _ask(self, expression, at_once):
        if at_once:
            return self.prometheus.ask("query", query=expression, time=self.end)
        span = {"start": self.end - self.span, "end": self.end, "step": 240}
        return self.prometheus.ask("query_range", query=expression, **span)

    def choices(self):
        """What the variables may be: each combination of those that have one value, with all of the others, both as
        "all" and as every one of them picked."""
        self.repeated = {panel.get("repeat") for panel in self.dashboard["panels"]}
        fixed = {**INTERVALS, "__range": f"{self.span}s"}
        chosen = [fixed]
        for variable in variables(self.dashboard):
            chosen = [{**values, **more} for values in chosen for more in self._values(variable, values)]
        assert chosen, "a variable has no value"
        return chosen

    def _values(self, variable, values):
        asked = LABEL_VALUES.fullmatch(interpolate(variable["definition"], values))
        found, error = self.prometheus.ask(
            f"label/{asked[2]}/values", **{"match[]": asked[1]}, start=self.end - self.span, end=self.end
        )
        assert not error, f"variable {variable['name']}: {error}"
        name, picked = variable["name"], []
        if found and variable["multi"] and "allValue" in variable:
            picked = [variable["allValue"], found]
        if not variable["multi"] or name in self.repeated:
            picked += found
        return [{name: value} for value in picked]

    def problems(self):
        try:
            choices = self.choices()
        except (AssertionError, TypeError) as error:
            yield str(error)
            return
        for where, text, target in queries(self.dashboard):
            yield from self._problems(where, text, target, choices)

    def _problems(self, where, text, target, choices):
        at_once = bool(target) and target["instant"]
        # variables that it does not use make no difference
        asked = {interpolate(text, values) for values in choices}
        found = []
        for expression in sorted(asked):
            if "$" in expression:
                yield f"{where}: a variable is left: {expression}"
                return
            answer, error = self._ask(expression, at_once)
            if error:
                yield f"{where}: {error}: {expression}"
                return
            found.append(answer["result"])
        series = [each for result in found for each in result]
        if not series:
            yield f"{where}: no series: {text}"
        if not any(
            math.isfinite(float(value)) for each in series for _, value in each.get("values", [each.get("value")])
        ):
            yield f"{where}: no number: {text}"
        if any(each["metric"].get("instance") == STRANGER["instance"] for each in series):
            yield f"{where}: shows another program: {text}"
        legend = (target or {}).get("legendFormat", "__auto")
        for label in re.findall(r"{{(\w+)}}", legend):
            if any(label not in each["metric"] for each in series):
                yield f"{where}: the legend's {label} is not always there"
        if "{{" in legend:
            for result in found:
                shown = [_named(legend, each["metric"]) for each in result]
                if len(set(shown)) < len(shown):
                    yield f"{where}: two series are called the same: {shown}"
