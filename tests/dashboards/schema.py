"""What our dashboards may hold: the part of Grafana's classic dashboards that we use, and nothing else.

Written after the types of npm's `@grafana/schema` 13.2.2. Checking against these types themselves takes half a minute
of npm in each run, says nothing of units, colours or ids of overrides, and lets through whatever old versions knew.
"""

import re

from shape import OneOf, Optional

NUMBER = (int, float)
COLORS = {"green", "yellow", "orange", "red", "blue", "purple", "transparent", "#8e8e8e"}
# Grafana's ids, of the many that it has; the renderer of the pictures asks Grafana's library whether it knows them
UNITS = {
    "none", "short", "string", "locale", "percent", "percentunit", "bool", "bool_yes_no", "bool_on_off",
    "s", "ms", "m", "h", "d", "dtdurations", "dtdurationms", "dthms", "clocks", "dateTimeAsIso", "dateTimeFromNow",
    "bytes", "decbytes", "reqps", "reqpm", "ops", "cps", "rps",
}  # fmt: skip


def text(value):
    return None if isinstance(value, str) and value.strip() else f"expected words, found {value!r}"


def sentence(value):
    return None if isinstance(value, str) and re.search(r"\w.*\.$", value) else f"expected a sentence, found {value!r}"


DATASOURCE = {"type": {"prometheus"}, "uid": {"${datasource}"}}
LINK = {"targetBlank": bool, "title": text, "url": text}
RESULT = {"color": COLORS, "index": int, "text": text}


def words_for_values(value):
    shape_is = (
        isinstance(value, dict)
        and value
        and all(
            isinstance(each, dict) and each.keys() == RESULT.keys() and each["color"] in COLORS
            for each in value.values()
        )
    )
    return None if shape_is else f"expected results by value, found {value!r}"


MAPPING = OneOf(
    "type",
    value={"options": words_for_values},
    special={"options": {"match": {"null", "nan", "empty"}, "result": RESULT}},
    range={"options": {"from": (int, float, type(None)), "to": (int, float, type(None)), "result": RESULT}},
)
THRESHOLDS = {"mode": {"absolute"}, "steps": [{"color": COLORS, "value": (int, float, type(None))}]}
COLOR = OneOf("mode", fixed={"fixedColor": Optional(COLORS)}, thresholds={}, **{"palette-classic": {}})
LINE_STYLE = {"dash": [int], "fill": {"dash", "dot", "solid"}}
CELL = OneOf(
    "type",
    auto={},
    gauge={"mode": {"basic", "gradient", "lcd"}, "valueDisplayMode": {"color", "text", "hidden"}},
    **{"color-text": {}, "color-background": {"mode": {"basic", "gradient"}}},
)
CUSTOM = {
    "stat": {},
    "bargauge": {},
    "table": {
        "align": {"auto", "left", "center", "right"},
        "cellOptions": CELL,
        "filterable": bool,
        "inspect": bool,
        "minWidth": int,
    },
    "timeseries": {
        "axisSoftMax": Optional(NUMBER),
        "axisSoftMin": Optional(NUMBER),
        "drawStyle": {"line", "bars", "points"},
        "fillOpacity": int,
        "gradientMode": {"none", "opacity", "hue", "scheme"},
        "lineInterpolation": {"linear", "smooth", "stepBefore", "stepAfter"},
        "lineWidth": int,
        "scaleDistribution": OneOf("type", linear={}, log={"log": {2, 10}}),
        "showPoints": {"never", "auto", "always"},
        # a gap means that nobody knew, and is never drawn over
        "spanNulls": {False},
        "stacking": {"group": str, "mode": {"none", "normal", "percent"}},
        "thresholdsStyle": {"mode": {"off", "line", "dashed", "area", "line+area"}},
    },
}
# what an override may change, by its id
PROPERTIES = {
    "unit": UNITS, "decimals": int, "min": NUMBER, "max": NUMBER, "color": COLOR, "mappings": [MAPPING],
    "thresholds": THRESHOLDS, "links": [LINK], "custom.cellOptions": CELL, "custom.width": int,
    "custom.align": {"left", "center", "right"}, "noValue": text,
    "custom.lineStyle": LINE_STYLE, "custom.lineWidth": int, "custom.fillOpacity": int,
}  # fmt: skip
OVERRIDE = {
    "matcher": {"id": {"byName", "byRegexp"}, "options": text},
    "properties": [OneOf("id", **{key: {"value": shape} for key, shape in PROPERTIES.items()})],
}
REDUCE = {"calcs": [{"lastNotNull"}], "fields": {""}, "values": {False}}
OPTIONS = {
    "stat": {
        "colorMode": {"none", "value", "background", "background_solid"},
        "graphMode": {"none", "area"},
        "justifyMode": {"auto", "center"},
        "orientation": {"auto", "horizontal", "vertical"},
        "reduceOptions": REDUCE,
        "text": {"titleSize": int, "valueSize": int},
        "textMode": {"auto", "value", "name", "value_and_name", "none"},
    },
    "bargauge": {
        "displayMode": {"basic", "lcd", "gradient"},
        "minVizHeight": int,
        "minVizWidth": int,
        "orientation": {"auto", "horizontal", "vertical"},
        "reduceOptions": REDUCE,
        "showUnfilled": bool,
        "valueMode": {"color", "text", "hidden"},
    },
    "table": {
        "cellHeight": {"sm", "md", "lg"},
        "frameIndex": int,
        "showHeader": bool,
        "sortBy": [{"desc": bool, "displayName": text}],
    },
    "timeseries": {
        "legend": {
            "calcs": [{"lastNotNull", "min", "max", "mean"}],
            "displayMode": {"list", "table", "hidden"},
            "placement": {"bottom", "right"},
            "showLegend": bool,
        },
        "tooltip": {"mode": {"single", "multi", "none"}, "sort": {"none", "asc", "desc"}},
    },
}
TRANSFORMATION = OneOf(
    "id",
    merge={"options": {}},
    filterFieldsByName={"options": {"include": {"names": [text]}}},
    organize={"options": {"excludeByName": dict, "indexByName": dict, "renameByName": dict}},
)
TARGET = {
    "datasource": DATASOURCE, "editorMode": {"code"}, "expr": text, "format": {"time_series", "table"},
    "instant": bool, "legendFormat": Optional(text), "range": bool, "refId": text,
}  # fmt: skip
GRID = {"h": int, "w": int, "x": int, "y": int}


def panel(kind):
    return {
        "datasource": DATASOURCE,
        "description": sentence,
        "fieldConfig": {
            "defaults": {
                "color": COLOR, "custom": CUSTOM[kind], "decimals": Optional(int), "links": Optional([LINK]),
                "mappings": [MAPPING], "max": Optional(NUMBER), "min": Optional(NUMBER), "noValue": Optional(text),
                "thresholds": THRESHOLDS, "unit": UNITS,
            },
            "overrides": [OVERRIDE],
        },
        "gridPos": GRID,
        "id": int,
        "links": Optional([LINK]),
        "options": OPTIONS[kind],
        "pluginVersion": text,
        "targets": [TARGET],
        "title": text,
        "transformations": Optional([TRANSFORMATION]),
    }  # fmt: skip


ROW = {
    "collapsed": {False}, "gridPos": GRID, "id": int, "panels": list, "repeat": Optional(text), "title": text,
}  # fmt: skip
PANEL = OneOf("type", row=ROW, **{kind: panel(kind) for kind in OPTIONS})
CHOICE = {"selected": Optional({True}), "text": (str, list), "value": (str, list)}
VARIABLE = {"current": CHOICE, "hide": {0, 1, 2}, "label": text, "name": text, "skipUrlSync": bool}
ASKED = {
    "allValue": Optional({".+"}), "datasource": DATASOURCE, "definition": text, "includeAll": bool, "multi": bool,
    "options": list, "query": {"qryType": {1}, "query": text, "refId": text}, "refresh": {2}, "regex": str, "sort": {1},
}  # fmt: skip
VARIABLES = OneOf(
    "type",
    datasource={
        **VARIABLE, "includeAll": bool, "multi": bool, "options": list, "query": {"prometheus"}, "refresh": {1},
        "regex": str,
    },
    query={**VARIABLE, **ASKED},
    constant={**VARIABLE, "query": text},
)  # fmt: skip
ANNOTATION = {
    "datasource": DATASOURCE, "enable": bool, "expr": text, "hide": bool, "iconColor": COLORS, "name": text,
    "step": text, "tagKeys": str, "textFormat": str, "titleFormat": text, "useValueForTime": bool,
}  # fmt: skip
DASHBOARD = {
    "annotations": {"list": [ANNOTATION]},
    "description": sentence,
    "editable": {False},
    "fiscalYearStartMonth": int,
    "graphTooltip": {0, 1, 2},
    "links": [
        {
            "asDropdown": bool, "icon": text, "includeVars": {True}, "keepTime": {True}, "tags": [text],
            "targetBlank": bool, "title": text, "tooltip": str, "type": {"dashboards", "link"}, "url": str,
        }
    ],
    "liveNow": bool,
    "panels": [PANEL],
    "refresh": text,
    "schemaVersion": {39},
    "tags": [text],
    "templating": {"list": [VARIABLES]},
    "time": {"from": text, "to": {"now"}},
    "timepicker": {},
    "timezone": {"browser", "utc"},
    "title": text,
    "uid": text,
    "version": int,
    "weekStart": str,
}  # fmt: skip
