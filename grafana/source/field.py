"""How values look: units, colours, words for values, columns and lines that differ from the others."""

# Grafana's ids of units
AMOUNT = "locale"  # all digits, grouped: money is never abbreviated
SECONDS = "s"
COUNT = "none"
SHARE = "percentunit"
PER_MINUTE = "reqpm"
BYTES = "bytes"
WORDS = "string"
WHEN = "dateTimeAsIso"

GREEN, ORANGE, RED, BLUE, PURPLE, GREY = "green", "orange", "red", "blue", "purple", "#8e8e8e"

HOUR = 3600
DAY = 24 * HOUR


def levels(base, **above):
    """Colours by value: `levels(RED, orange=6 * HOUR)` is red, and orange from six hours on."""
    steps = [{"color": base, "value": None}]
    steps += [{"color": color, "value": value} for color, value in above.items()]
    return {"mode": "absolute", "steps": steps}


#: Good as long as it is zero.
ZERO_IS_GOOD = levels(GREEN, red=1)
#: The levels of the alerts BalanceRunwayCritical and BalanceRunwayShort.
RUNWAY = levels(RED, orange=6 * HOUR, green=DAY)


def say(**words):
    """Words for single values: `say(_0=("refused", RED))`."""
    options = {}
    for index, (value, (text, color)) in enumerate(words.items()):
        options[value.removeprefix("_")] = {"color": color, "index": index, "text": text}
    return {"type": "value", "options": options}


def say_nothing(text, color):
    """A word for no value."""
    return {"type": "special", "options": {"match": "null", "result": {"color": color, "index": 9, "text": text}}}


def say_between(low, high, text, color):
    """A word for a range; None is no end."""
    return {"type": "range", "options": {"from": low, "result": {"color": color, "index": 0, "text": text}, "to": high}}


def defaults(unit, *, thresholds=None, mappings=(), color="thresholds", nothing=None, custom=None, **rest):
    """The defaults of all fields of a panel. `nothing` is what to say where there is no value."""
    made = {"color": {"mode": color}, "mappings": list(mappings), "unit": unit}
    made["thresholds"] = thresholds or levels(GREEN)
    if nothing is not None:
        made["noValue"] = nothing
    return {**made, "custom": custom or {}, **rest}


def column(name, **properties):
    """How one column, or one series by the name of its legend, differs. `custom__width` is `custom.width`."""
    return _override({"id": "byName", "options": name}, properties)


def like(pattern, **properties):
    """The same, for all whose name matches a regular expression."""
    return _override({"id": "byRegexp", "options": pattern}, properties)


def _override(matcher, properties):
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": matcher, "properties": listed}


def fixed(color):
    return {"fixedColor": color, "mode": "fixed"}


def dashed(pattern, color):
    """Thin dashed lines, for levels that are configured or allowed rather than measured."""
    style = {"dash": [8, 6], "fill": "dash"}
    return like(pattern, color=fixed(color), custom__lineStyle=style, custom__lineWidth=1, custom__fillOpacity=0)
