"""Ways to break a dashboard. The checker must notice each, and say what is wrong in the words given here.

A check that lets everything through looks like one that finds nothing wrong; this tells them apart.
"""

import copy

import expected
from answers import Questions
from dashboard import variables

OVERVIEW, ACCOUNT, EXPORTER = "balance-overview", "balance-account", "balance-exporter"


def panel(dashboard, title):
    return next(each for each in dashboard["panels"] if each["title"].startswith(title))


def put(title, *path):
    """Sets what the path's last but one step leads to; the last is the value."""

    def change(dashboard):
        at = panel(dashboard, title) if title else dashboard
        *steps, key, value = path
        for step in steps:
            at = at[step]
        at[key] = value

    return change


def drop(title, *path):
    def change(dashboard):
        at = panel(dashboard, title) if title else dashboard
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


def say(title, old, new, query=0):
    """Changes the text of a query."""

    def change(dashboard):
        target = panel(dashboard, title)["targets"][query]
        assert old in target["expr"], f"{title} does not say {old}: {target['expr']}"
        target["expr"] = target["expr"].replace(old, new)

    return change


def rename(kind, old, new):
    def change(dashboard):
        variable = next(each for each in dashboard["templating"]["list"] if each["name"] == old)
        variable[kind] = new

    return change


def without_first_variable(dashboard):
    del dashboard["templating"]["list"][0]


def same_letter(dashboard):
    for target in panel(dashboard, "Held back")["targets"]:
        target["refId"] = "A"


def twice(dashboard):
    dashboard["panels"][1]["id"] = dashboard["panels"][0]["id"]


CONFIG, CUSTOM = ("fieldConfig", "defaults"), ("fieldConfig", "defaults", "custom")
LINK = {"targetBlank": False, "title": "x"}

#: uid, what is broken, how, and the words that must tell of it
STATIC = [
    # keys, values and types, at every level
    (OVERVIEW, "a misspelt key of the dashboard", put("", "schemaversion", 39), "unknown key 'schemaversion'"),
    (OVERVIEW, "a missing key of the dashboard", drop("", "timezone"), "'timezone' is missing"),
    (OVERVIEW, "a misspelt key of a panel", put("Low", "desciption", "x."), "unknown key 'desciption'"),
    (OVERVIEW, "no description", drop("Low", "description"), "'description' is missing"),
    (OVERVIEW, "an empty description", put("Low", "description", " "), "expected a sentence"),
    (OVERVIEW, "no title", put("Low", "title", ""), "expected words"),
    (OVERVIEW, "an unknown kind of panel", put("Low", "type", "stats"), "'stats' is none of"),
    (OVERVIEW, "a misspelt option", put("Low", "options", "colormode", "value"), "unknown key 'colormode'"),
    (OVERVIEW, "a bad option", put("Low", "options", "colorMode", "backgrund"), "is none of"),
    (OVERVIEW, "a bad reducer", put("Low", "options", "reduceOptions", "calcs", ["last"]), "'last' is none of"),
    (EXPORTER, "a bad place of the legend", put("Memory", "options", "legend", "placement", "below"), "is none of"),
    (OVERVIEW, "a misspelt key of fields", put("Low", *CONFIG, "noValues", "x"), "unknown key 'noValues'"),
    (EXPORTER, "a misspelt look of lines", put("Memory", *CUSTOM, "fillOpacty", 1), "unknown key 'fillOpacty'"),
    (EXPORTER, "a number as text", put("Memory", *CUSTOM, "lineWidth", "2"), "expected int"),
    (EXPORTER, "true for one", put("Memory", *CUSTOM, "lineWidth", True), "expected int"),
    (EXPORTER, "lines over gaps", put("Memory", *CUSTOM, "spanNulls", True), "True is none of"),
    (EXPORTER, "an unknown unit", put("Memory", *CONFIG, "unit", "byte"), "'byte' is none of"),
    (EXPORTER, "an unknown colour", put("Memory", *CONFIG, "thresholds", "steps", 0, "color", "grean"), "is none of"),
    (EXPORTER, "an unknown scheme of colours", put("Memory", *CONFIG, "color", "mode", "palette"), "is none of"),
    (
        EXPORTER,
        "an unknown property of an override",
        put("Held back", "fieldConfig", "overrides", 0, "properties", 0, "id", "colour"),
        "'colour' is none of",
    ),
    (
        EXPORTER,
        "an unknown transformation",
        put("Limits now", "transformations", 0, "id", "join"),
        "'join' is none of",
    ),
    (EXPORTER, "a misspelt key of a query", put("Memory", "targets", 0, "legend", "x"), "unknown key 'legend'"),
    (EXPORTER, "an unknown format", put("Memory", "targets", 0, "format", "timeseries"), "is none of"),
    (
        EXPORTER,
        "a fixed data source",
        put("Memory", "datasource", "uid", "prometheus"),
        "'prometheus' is none of",
    ),
    (EXPORTER, "a misspelt key of a variable", rename("includeall", "job", True), "unknown key 'includeall'"),
    (EXPORTER, "a variable that stays as it was", rename("refresh", "job", 1), "1 is none of"),
    (
        EXPORTER,
        "an annotation without a colour",
        drop("", "annotations", "list", 0, "iconColor"),
        "'iconColor' is missing",
    ),
    (EXPORTER, "a dashboard that can be edited", put("", "editable", True), "True is none of"),
    # the laws
    (OVERVIEW, "no variable for the data source", without_first_variable, "not the data source"),
    (OVERVIEW, "a panel over another", put("Low", "gridPos", "x", 2), "lies over"),
    (OVERVIEW, "a hole", put("Low", "gridPos", "h", 3), "nothing lies at"),
    (OVERVIEW, "a panel too wide", put("Exporters down", "gridPos", "w", 5), "beyond the 24 columns"),
    (OVERVIEW, "one id twice", twice, "share an id"),
    (EXPORTER, "one letter twice", same_letter, "refIds are"),
    (OVERVIEW, "one title twice", put("Low", "title", "Unknown"), "two panels are called"),
    (OVERVIEW, "an unknown variable", say("Low", "$currency", "$curency"), "no variable curency"),
    (OVERVIEW, "a variable that nobody uses", rename("name", "runbooks", "books"), "nobody uses the variable books"),
    (OVERVIEW, "all of them by their names", rename("allValue", "job", None), "None is none of"),
    (EXPORTER, "a query for all jobs", say("Held back", 'job=~"$job", ', ""), "not narrowed by job"),
    (
        EXPORTER,
        "the memory of any program",
        say("Memory", " and on (job, instance) balance_exporter_build_info", " and on (job, instance) balance_fresh"),
        "any program",
    ),
    (EXPORTER, "a bare counter", say("Requests sent", "[$__rate_interval]", ""), "ask for its rate"),
    (EXPORTER, "a fixed range", say("Requests sent", "$__rate_interval", "5m"), "the range 5m"),
    (
        EXPORTER,
        "a fixed range of the alerts'",
        say("Requests sent", "$__rate_interval", "15m"),
        "needs $__rate_interval",
    ),
    (
        OVERVIEW,
        "a sum over currencies",
        put("Low", "targets", 0, "expr", 'sum(balance:known_amount{job=~"$job"})'),
        "mixes amounts",
    ),
    (
        OVERVIEW,
        "a sum over the accounts of a currency",
        put("Low", "targets", 0, "expr", 'sum by (currency) (balance_amount{job=~"$job"})'),
        "mixes amounts of different account, provider, wallet",
    ),
    (
        OVERVIEW,
        "a sum without the currency",
        put("Low", "targets", 0, "expr", 'sum without (currency) (balance_amount{job=~"$job"})'),
        "mixes amounts",
    ),
    (ACCOUNT, "a sum over two exporters", say("Money in", "max by", "sum by"), "two exporters for one account"),
    (
        OVERVIEW,
        "dollars against dirhams",
        say("How far above", "wallet, currency) group", "wallet) group"),
        "different currencies",
    ),
    (
        ACCOUNT,
        "amounts without a currency",
        put("How much leaves", "targets", 0, "legendFormat", "{{wallet}}"),
        "does not name the currency",
    ),
    (
        ACCOUNT,
        "amounts in the wrong unit",
        put("What the wallets hold, in", *CONFIG, "unit", "bytes"),
        "amounts in unit bytes",
    ),
    (
        ACCOUNT,
        "amounts that are abbreviated",
        put("What the wallets hold, in", *CONFIG, "unit", "short"),
        "amounts in unit short",
    ),
    (EXPORTER, "seconds in the wrong unit", put("Pauses", *CONFIG, "unit", "ms"), "seconds in unit ms"),
    (ACCOUNT, "thresholds in disorder", put("Lasts", *CONFIG, "thresholds", "steps", 1, "value", None), "do not rise"),
    (OVERVIEW, "silence", drop("Unknown", *CONFIG, "noValue"), "does not say what no value means"),
    (
        OVERVIEW,
        "all is well when nobody knows",
        say("Alerts firing", "or 0 * count(", "or vector(0) or 0 * count("),
        "vector(0)",
    ),
    (
        OVERVIEW,
        "a column that is not there",
        put("Wallets", "options", "sortBy", 0, "displayName", "Warning"),
        "sorted by 'Warning'",
    ),
    (
        EXPORTER,
        "an override of nothing",
        put("Held back", "fieldConfig", "overrides", 0, "matcher", "options", "/x$/"),
        "which is not shown",
    ),
    (OVERVIEW, "rows that are not merged", drop("Wallets", "transformations", 0), "are merged"),
    (
        OVERVIEW,
        "a runbook that is not there",
        put("Low", "links", [{**LINK, "url": "${runbooks:raw}Low.md"}]),
        "no runbook Low",
    ),
    (
        OVERVIEW,
        "a dashboard that is not there",
        put("Low", "links", [{**LINK, "url": "/d/balances?x=1"}]),
        "no dashboard balances",
    ),
    (
        OVERVIEW,
        "a variable that is not there",
        put("Low", "links", [{**LINK, "url": "/d/balance-account?var-wallet=x"}]),
        "no variable var-wallet",
    ),
    (
        OVERVIEW,
        "a link from a column that is not there",
        drop("Wallets", "transformations", 1, "options", "include", "names", 1),
        "needs the column provider",
    ),
    (OVERVIEW, "a link elsewhere", put("Low", "links", [{**LINK, "url": "https://example.com/"}]), "neither a runbook"),
    (OVERVIEW, "needs that are not told", put("", "description", "Balances."), "rules are needed"),
    # names
    (OVERVIEW, "a misspelt series", say("Unknown", "balance_fresh", "balance_is_fresh"), "no series balance_is_fresh"),
    (
        OVERVIEW,
        "a misspelt recorded series",
        say("Low", "balance:known_amount", "balance:known_amounts"),
        "no series balance:known_amounts",
    ),
    (
        EXPORTER,
        "a label of another series",
        say("Requests sent", 'provider=~"$provider"', 'provider=~"$provider", wallet="main"'),
        "has no label wallet",
    ),
    (EXPORTER, "a misspelt label", say("Requests sent", "by (provider)", "by (providers)"), "label providers"),
    (EXPORTER, "a misspelt legend", put("Requests sent", "targets", 0, "legendFormat", "{{providr}}"), "label providr"),
    (
        EXPORTER,
        "a variable of no series",
        rename("definition", "provider", "label_values(balance_requests, provider)"),
        "definition differ",
    ),
]

#: The same, for what only an answer tells. Only the panel named first is asked.
ANSWERED = [
    (EXPORTER, "Requests sent", "bad syntax", say("Requests sent", "sum by", "summ by"), "parse error"),
    (EXPORTER, "Limits now", "many to many", say("Limits now", "/ balance", "/ on (job) balance", 2), "many-to-many"),
    (OVERVIEW, "Low", "a value that no label has", say("Low", 'severity="warning"', 'severity="warn"'), "no series"),
    (
        EXPORTER,
        "Requests sent",
        "two lines of one name",
        put("Requests sent", "targets", 0, "legendFormat", "{{job}}"),
        "the legend's job is not always there",
    ),
    (
        EXPORTER,
        "How much of each",
        "two lines of one name",
        put("How much of each", "targets", 0, "legendFormat", "{{provider}}"),
        "called the same",
    ),
    (
        EXPORTER,
        "Memory",
        "another program",
        put("Memory", "targets", 0, "expr", 'process_resident_memory_bytes{job=~"$job"}'),
        "shows another program",
    ),
]


#: The same, for what gives an answer that is wrong.
WRONG = [
    (OVERVIEW, "above for below", say("Low", "< bool", "> bool"), "Low says"),
    (OVERVIEW, "one for zero", say("Unknown", "== bool 0", "== bool 1"), "Unknown says"),
    (OVERVIEW, "unknown for ok", say("Wallets", " == 1", " == 0"), "Wallets, the lowest first says"),
    (OVERVIEW, "critical for warning", say("Wallets", "3 *", "2 *"), "Wallets, the lowest first says"),
    (OVERVIEW, "a week for a day", say("Empty within", "86400", "604800"), "Empty within a day says"),
    (OVERVIEW, "those that are trusted", say("What cannot", " == 0", " == 1"), "What cannot be trusted says"),
    (EXPORTER, "all for some", say("Accounts known", "avg(", "max("), "Accounts known says"),
]


def _missed(found, words):
    return None if any(words in problem for problem in found) else f"found {found[:3]}, not {words!r}"


def unnoticed(checker, prometheus, end):
    """How many there are, and those that the checker lets through or sees for the wrong reason."""
    missed = []
    for uid, what, change, words in STATIC:
        broken = copy.deepcopy(checker.dashboards[uid])
        change(broken)
        missed.append((what, _missed(list(checker.static(broken)), words)))
    for uid, title, what, change, words in ANSWERED:
        broken = copy.deepcopy(checker.dashboards[uid])
        change(broken)
        broken["panels"], broken["annotations"]["list"] = [panel(broken, title)], []
        assert variables(broken), what
        missed.append((what, _missed(list(Questions(broken, prometheus, end).problems()), words)))
    for uid, what, change, words in WRONG:
        broken = copy.deepcopy(checker.dashboards[uid])
        change(broken)
        found = expected.problems({**checker.dashboards, uid: broken}, prometheus, end)
        missed.append((what, _missed(list(found), words)))
    return len(missed), [f"{what}: {how}" for what, how in missed if how]
