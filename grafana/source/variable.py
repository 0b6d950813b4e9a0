"""What can be chosen at the top of a dashboard."""

from .query import DATASOURCE

ALL = {"selected": True, "text": ["All"], "value": ["$__all"]}
NOTHING = {"text": "", "value": ""}


def datasource():
    """Serves file provisioning and import both, which a fixed or an asked-for data source does not."""
    return {
        "current": NOTHING,
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def _query(name, label, definition, *, hide=0, **kind):
    return {
        **kind,
        "datasource": DATASOURCE,
        "definition": definition,
        "hide": hide,
        "label": label,
        "name": name,
        "options": [],
        # 1 is label_values
        "query": {"qryType": 1, "query": definition, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        # when the range of time changes
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }


def many(name, label, definition, *, hide=0):
    """Any number of values, all of them at first."""
    return _query(name, label, definition, hide=hide, allValue=".+", current=ALL, includeAll=True, multi=True)


def each(name, label, definition):
    """A hidden one, for rows that are repeated for each value."""
    return _query(name, label, definition, hide=2, current=ALL, includeAll=True, multi=True)


def one(name, label, definition):
    return _query(name, label, definition, current=NOTHING, includeAll=False, multi=False)


def runbooks():
    """A path in the repository, as `runbook_url` of the alerts is."""
    folder = "docs/runbooks/"
    return {
        "current": {"text": folder, "value": folder},
        "hide": 2,
        "label": "Folder of the runbooks",
        "name": "runbooks",
        "query": folder,
        "skipUrlSync": True,
        "type": "constant",
    }
