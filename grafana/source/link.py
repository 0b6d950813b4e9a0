"""Links between the dashboards, and to the runbooks.

The folder of the runbooks is the hidden variable `runbooks`: one place in each file, to be prefixed as in the alerts.
"""

TAG = "balance-exporter"


def _link(title, url):
    return {"targetBlank": False, "title": title, "url": url}


def runbook(alert):
    return _link(f"Runbook: {alert}", f"${{runbooks:raw}}{alert}.md")


def runbook_of_value():
    """For a column whose values are names of alerts."""
    return _link("Runbook", "${runbooks:raw}${__value.raw}.md")


def _account(title, provider, account):
    scope = f"var-provider=${{{provider}}}&var-account=${{{account}}}"
    return _link(
        title, f"/d/balance-account?${{datasource:queryparam}}&${{job:queryparam}}&{scope}&${{__url_time_range}}"
    )


def account_of_row():
    return _account("This account in depth", "__data.fields.provider", "__data.fields.account")


def account_of_series():
    return _account("This account in depth", "__field.labels.provider", "__field.labels.account")


def dashboards():
    """The links at the top of a dashboard: to all of ours, with the range of time and the variables kept."""
    return [
        {
            "asDropdown": False,
            "icon": "external link",
            "includeVars": True,
            "keepTime": True,
            "tags": [TAG],
            "targetBlank": False,
            "title": "balance-exporter",
            "tooltip": "",
            "type": "dashboards",
            "url": "",
        }
    ]
