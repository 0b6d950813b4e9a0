"""What a panel asks Prometheus: over time, for numbers of now, or for rows of a table."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _target(expr, **rest):
    return {"datasource": DATASOURCE, "editorMode": "code", "expr": " ".join(expr.split()), **rest}


def over_time(expr, legend):
    return _target(expr, format="time_series", instant=False, legendFormat=legend, range=True)


def now(expr, legend="__auto"):
    return _target(expr, format="time_series", instant=True, legendFormat=legend, range=False)


def rows(expr):
    """One row per series, one column per label and one for the value."""
    return _target(expr, format="table", instant=True, range=False)
