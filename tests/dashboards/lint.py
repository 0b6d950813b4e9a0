"""What makes a dashboard good beyond being valid: each law yields what breaks it."""

import re
from itertools import pairwise
from urllib.parse import parse_qsl

from dashboard import name, panels, queries, strings, used, variables
from promql import Expression
from reference import GENERIC, MONEY

WALLET = {"provider", "account", "wallet", "currency"}
BUILT_IN = re.compile(r"__(all|rate_interval|range|url_time_range)|__value|__data|__field")
RANGES = {"$__rate_interval", "$__range"}
#: As the alerts and the recording rules have them, to show what they judge.
FIXED_RANGES = {"15m", "1h"}


def problems(dashboard, runbooks, others):
    """`runbooks` are the names of the pages, `others` all dashboards by their uid."""
    for law in (_ids, _grid, _variables, _jobs, _counters, _money, _units, _levels, _silence, _names, _tables):
        yield from law(dashboard)
    yield from _links(dashboard, runbooks, others)
    yield from _needs(dashboard)


def _ids(dashboard):
    numbers = [panel["id"] for panel in dashboard["panels"]]
    if len(set(numbers)) < len(numbers):
        yield f"panels share an id: {numbers}"
    titles = [panel["title"] for panel in panels(dashboard)]
    for title in {title for title in titles if titles.count(title) > 1}:
        yield f"two panels are called {title!r}"
    for panel in panels(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        if len(set(letters)) < len(letters) or not letters:
            yield f"{name(panel)}: refIds are {letters}"


def _grid(dashboard):
    taken = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    yield f"{name(panel)} lies over {taken[x, y]}"
                    return
                taken[x, y] = name(panel)
    bottom = max(y for _, y in taken) + 1
    if max(x for x, _ in taken) >= 24:
        yield "a panel reaches beyond the 24 columns"
    holes = [(x, y) for y in range(bottom) for x in range(24) if (x, y) not in taken]
    if holes:
        yield f"nothing lies at {holes[0]}"


def _variables(dashboard):
    listed = dashboard["templating"]["list"]
    defined = [variable["name"] for variable in listed]
    if not listed or (listed[0]["type"], listed[0]["name"]) != ("datasource", "datasource"):
        yield "the first variable is not the data source"
    if "job" not in defined:
        yield "there is no variable job"
    mentioned = {word for text in strings({**dashboard, "uid": ""}) for word in used(text)}
    mentioned |= {panel.get("repeat") for panel in dashboard["panels"]}
    for unknown in sorted(word for word in mentioned - {None} - set(defined) if not BUILT_IN.match(word)):
        yield f"there is no variable {unknown}"
    for unused in sorted(set(defined) - mentioned):
        yield f"nobody uses the variable {unused}"
    for variable in variables(dashboard):
        if variable["hide"] == 0 and variable["multi"] and variable.get("allValue") != ".+":
            yield f"variable {variable['name']}: all of them should be .+"


def _jobs(dashboard):
    for where, text, _ in queries(dashboard):
        expression = Expression(text)
        for selector in expression.selectors:
            if selector.matchers.get("job") != '=~"$job"':
                yield f'{where}: {selector.metric} is not narrowed by job=~"$job"'
        generic = [each.metric for each in expression.selectors if GENERIC.fullmatch(each.metric)]
        if generic and not any(each.metric == "balance_exporter_build_info" for each in expression.selectors):
            yield f"{where}: {generic[0]} may be that of any program; join it with balance_exporter_build_info"


def _counters(dashboard):
    for where, text, _ in queries(dashboard):
        for selector in Expression(text).selectors:
            counts = re.search(r"_(total|bucket|sum|count)$", selector.metric)
            if counts and not selector.range:
                yield f"{where}: {selector.metric} counts, so ask for its rate or increase"
            if selector.range and selector.range not in RANGES | FIXED_RANGES:
                yield f"{where}: the range {selector.range} is none of {sorted(RANGES | FIXED_RANGES)}"
            if counts and selector.range in FIXED_RANGES and "lateness" not in selector.metric:
                yield f"{where}: {selector.metric} needs $__rate_interval"


def _is_money(expression):
    return any(MONEY.fullmatch(selector.metric) for selector in expression.selectors)


def _money(dashboard):
    """Amounts are never added up, nor is one of several picked but within a wallet; and the currency is told."""
    repeated = {panel["repeat"] for panel in dashboard["panels"] if panel.get("repeat")}
    for where, text, target in queries(dashboard):
        expression = Expression(text)
        for each in expression.aggregations:
            counts = each.name in ("count", "group") or re.search(r"[<>=] bool\b", each.argument)
            if _is_money(Expression(each.argument)) and not counts:
                if each.name not in ("min", "max"):
                    yield f"{where}: {each.name} adds amounts up, if only those of two exporters for one account"
                missing = WALLET - (each.by or set())
                if missing:
                    yield f"{where}: {each.name} mixes amounts of different {', '.join(sorted(missing))}"
        if sum(1 for selector in expression.selectors if MONEY.fullmatch(selector.metric)) > 1:
            for grouping in expression.groupings:
                # `and` and `unless` compare no amounts
                compares = grouping.keyword == "on" and grouping.after not in ("and", "unless")
                if compares and "currency" not in grouping.labels:
                    yield f"{where}: compares amounts of different currencies"
        legend = (target or {}).get("legendFormat")
        one_currency = "currency" in repeated and all(
            'currency="$currency"' in selector or "$currency" in selector
            for selector in (each.matchers.get("currency", "") for each in expression.selectors)
        )
        shows_money = _is_money(expression) and " bool " not in text
        if legend and shows_money and "{{currency}}" not in legend and not one_currency:
            yield f"{where}: the legend does not name the currency"


def _units(dashboard):
    """Money has all its digits, times are seconds; tables have units per column, which people must look at."""
    for panel in panels(dashboard):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            text, expression = target["expr"], Expression(target["expr"])
            if target["format"] == "table" or " bool " in text or re.match(r"1000 \*|count|1 -", text):
                continue
            divided = " / " in text
            if _is_money(expression) and not divided and "runway" not in text and unit != "locale":
                yield f"{name(panel)}: amounts in unit {unit}"
            times = any(selector.metric.endswith("_seconds") for selector in expression.selectors)
            if (times or "runway_seconds" in text) and not divided and unit not in ("s", "dateTimeAsIso"):
                yield f"{name(panel)}: seconds in unit {unit}"


def _levels(dashboard):
    for panel in panels(dashboard):
        fields = panel["fieldConfig"]
        levels = [fields["defaults"]["thresholds"]]
        levels += [
            each["value"] for over in fields["overrides"] for each in over["properties"] if each["id"] == "thresholds"
        ]
        for level in levels:
            values = [step["value"] for step in level["steps"]]
            rising = None not in values[1:] and all(low < high for low, high in pairwise(values[1:]))
            if not values or values[0] is not None or not rising:
                yield f"{name(panel)}: thresholds do not rise from null: {values}"


def _silence(dashboard):
    """A number that is not there is said in words, since an empty panel looks like nothing wrong."""
    for panel in panels(dashboard):
        if panel["type"] in ("stat", "bargauge", "table") and "noValue" not in panel["fieldConfig"]["defaults"]:
            yield f"{name(panel)}: does not say what no value means"
        if any(" or vector(0)" in target["expr"] for target in panel["targets"]):
            yield f"{name(panel)}: vector(0) says that all is well when nobody knows"


def _shown(panel):
    """What columns or series may be called."""
    for step in panel.get("transformations", []):
        if step["id"] == "organize":
            renamed = step["options"]["renameByName"]
            return [renamed.get(column, column) for column in step["options"]["indexByName"]]
    return [target.get("legendFormat", "") for target in panel["targets"]]


def _names(dashboard):
    for panel in panels(dashboard):
        shown = _shown(panel)
        for override in panel["fieldConfig"]["overrides"]:
            kind, wanted = override["matcher"]["id"], override["matcher"]["options"]
            matching = {"byName": wanted.__eq__, "byRegexp": re.compile(wanted.strip("/")).search}[kind]
            if not any(matching(each) for each in shown):
                yield f"{name(panel)}: an override is about {wanted!r}, which is not shown: {shown}"
        for order in panel["options"].get("sortBy", []):
            if order["displayName"] not in shown:
                yield f"{name(panel)}: is sorted by {order['displayName']!r}, which is not shown"


def _tables(dashboard):
    for panel in panels(dashboard):
        if panel["type"] != "table":
            continue
        steps = {step["id"]: step["options"] for step in panel.get("transformations", [])}
        several = len(panel["targets"]) > 1
        if several != ("merge" in steps):
            yield f"{name(panel)}: rows of several queries, and only these, are merged"
        columns = steps["filterFieldsByName"]["include"]["names"]
        if list(steps["organize"]["indexByName"]) != columns:
            yield f"{name(panel)}: shows other columns than it keeps"
        values = {f"Value #{target['refId']}" for target in panel["targets"]} if several else {"Value"}
        for column in columns:
            if column.startswith("Value") and column not in values:
                yield f"{name(panel)}: {column} is no value of a query"


def _links(dashboard, runbooks, others):
    for panel in dashboard["panels"]:
        found = [*panel.get("links", []), *panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])]
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            found += [link for each in override["properties"] if each["id"] == "links" for link in each["value"]]
        kept = [
            step["options"]["include"]["names"]
            for step in panel.get("transformations", [])
            if "include" in step["options"]
        ]
        for link in found:
            url = link["url"]
            for wanted in re.findall(r"__data\.fields\.(\w+)", url):
                if not any(wanted in names for names in kept):
                    yield f"{name(panel)}: a link needs the column {wanted}, which is not kept"
            page = re.fullmatch(r"\$\{runbooks:raw\}(\S+)\.md", url)
            other = re.fullmatch(r"/d/([\w-]+)\?(\S+)", url)
            if page and page[1] != "${__value.raw}" and page[1] not in runbooks:
                yield f"{name(panel)}: there is no runbook {page[1]}"
            elif other:
                target = others.get(other[1])
                if not target:
                    yield f"{name(panel)}: there is no dashboard {other[1]}"
                    continue
                names = {variable["name"] for variable in target["templating"]["list"]}
                for key, _ in parse_qsl(other[2]):
                    if key.startswith("var-") and key.removeprefix("var-") not in names:
                        yield f"{name(panel)}: {other[1]} has no variable {key}"
            elif not page:
                yield f"{name(panel)}: leads to {url!r}, neither a runbook nor a dashboard"


def _needs(dashboard):
    asks_rules = any(
        ":" in selector.metric or selector.metric.startswith("ALERTS")
        for _, text, _ in queries(dashboard)
        for selector in Expression(text).selectors
    )
    if asks_rules and not {"rules.yml", "alerts.yml"} <= set(re.findall(r"\w+\.yml", dashboard["description"])):
        yield "the description does not say that rules are needed"
