"""The kinds of panels. Each takes a title, a description, its queries and what its values look like."""

from . import field
from .query import DATASOURCE

#: Whose panels these are: a newer Grafana migrates them on load.
VERSION = "10.4.0"


def _panel(kind, title, description, targets, config, overrides, options, **rest):
    targets = [{**target, "refId": chr(ord("A") + index)} for index, target in enumerate(targets)]
    return {
        "datasource": DATASOURCE,
        "description": description,
        "fieldConfig": {"defaults": config, "overrides": list(overrides)},
        "options": options,
        "pluginVersion": VERSION,
        "targets": targets,
        "title": title,
        "type": kind,
        **rest,
    }


def _last(values=False):
    return {"calcs": ["lastNotNull"], "fields": "", "values": values}


def stat(title, description, *targets, config, overrides=(), links=(), name=False, text="value", color="background"):
    """One number, on its colour. `name` shows the name of the series in place of its value."""
    options = {
        "colorMode": color,
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": _last(),
        # one size for all, so that no number looks more important because it is short
        "text": {"titleSize": 16, "valueSize": 36},
        "textMode": "name" if name else text,
    }
    return _panel("stat", title, description, targets, config, overrides, options, links=list(links))


def lines(title, description, *targets, config, overrides=(), fill=8, log=False, levels="off", table=False, **custom):
    """Values over time. A gap is drawn as a gap: it means that nobody knew."""
    look = {
        "drawStyle": "line",
        "fillOpacity": fill,
        "gradientMode": "opacity" if fill else "none",
        "lineInterpolation": "linear",
        "lineWidth": 2,
        "scaleDistribution": {"log": 2, "type": "log"} if log else {"type": "linear"},
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "none"},
        "thresholdsStyle": {"mode": levels},
    }
    options = {
        "legend": {
            "calcs": ["lastNotNull"] if table else [],
            "displayMode": "table" if table else "list",
            "placement": "right" if table else "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    config = {**config, "custom": {**look, **config["custom"], **custom}}
    return _panel("timeseries", title, description, targets, config, overrides, options)


def bars(title, description, *targets, config, overrides=(), stacked=True):
    """Counts per interval."""
    stacking = {"group": "A", "mode": "normal" if stacked else "none"}
    return lines(
        title,
        description,
        *targets,
        config=config,
        overrides=overrides,
        fill=70,
        drawStyle="bars",
        gradientMode="none",
        lineWidth=0,
        stacking=stacking,
    )


def gauges(title, description, *targets, config, overrides=()):
    """One bar per series, in the order in which Prometheus gives them."""
    options = {
        "displayMode": "gradient",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "orientation": "horizontal",
        "reduceOptions": _last(),
        "showUnfilled": True,
        "valueMode": "color",
    }
    return _panel("bargauge", title, description, targets, config, overrides, options)


def table(title, description, *targets, config, columns, overrides=(), sort=(), links=()):
    """Rows whose labels are equal become one. `columns` names what is shown, in order; labels not named are hidden.

    A column that is named after a query's letter is its value. `sort` is the columns to sort by; `-` turns one round.
    """
    several = len(targets) > 1
    names = {_field(name, several): title for name, title in columns.items()}
    shape = [{"id": "merge", "options": {}}] if several else []
    shape += [
        # hides what is not named, which labels of the accounts' own would bring
        {"id": "filterFieldsByName", "options": {"include": {"names": list(names)}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": {name: title for name, title in names.items() if name != title},
            },
        },
    ]
    order = [{"desc": name.startswith("-"), "displayName": name.removeprefix("-")} for name in sort]
    look = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False, "inspect": False, "minWidth": 60}
    config = {**config, "custom": {**look, **config["custom"]}}
    options = {"cellHeight": "sm", "frameIndex": 0, "showHeader": True, "sortBy": order}
    return _panel(
        "table", title, description, targets, config, overrides, options, transformations=shape, links=list(links)
    )


def _field(name, several):
    """What Grafana calls the value of a query: by its letter if there are several."""
    if len(name) > 1:
        return name
    return f"Value #{name}" if several else "Value"


def row(title, repeat=None):
    made = {"collapsed": False, "panels": [], "title": title, "type": "row"}
    return {**made, "repeat": repeat} if repeat else made


def colored_text(name, mappings, **properties):
    """A column whose words are in colour."""
    return field.column(name, mappings=mappings, custom__cellOptions={"type": "color-text"}, **properties)
