"""What some panels must say about the world: an answer is not yet a right answer."""

from answers import Questions
from dashboard import interpolate, panels
from world import SHOWN

OVERVIEW, ACCOUNT, EXPORTER = "balance-overview", "balance-account", "balance-exporter"


def _wallet(account, wallet):
    return {"account": account, "wallet": wallet}


#: uid, title and labels that pick one series of the panel's first query, and its value; None is no such series
SAID = [
    (OVERVIEW, "Nearly empty", {}, 1),
    (OVERVIEW, "Low", {}, 2),
    (OVERVIEW, "Empty within a day", {}, 2),
    (OVERVIEW, "Unknown", {}, 2),
    (OVERVIEW, "Exporters down", {}, 0),
    (OVERVIEW, "Wallets, the lowest first", _wallet("gh-payouts", "payout"), 3),
    (OVERVIEW, "Wallets, the lowest first", _wallet("uae-usd-float", "main"), 2),
    (OVERVIEW, "Wallets, the lowest first", _wallet("pe-payin", "payin"), 1),
    (OVERVIEW, "Wallets, the lowest first", _wallet("uae-settlement", "main"), 0),
    (OVERVIEW, "Wallets, the lowest first", _wallet("gh-payouts", "collection"), None),
    (OVERVIEW, "What cannot be trusted", {"account": "pe-payin", "reason": "auth"}, 3 * 3600 + 123),
    (OVERVIEW, "What cannot be trusted", {"account": "lk-field-line", "reason": "unavailable"}, 0.8 * 3600 + 123),
    # rules are evaluated each four minutes here, so its last time may be as old
    (OVERVIEW, "What cannot be trusted", {"account": "gh-branch-2", "reason": "not exported"}, 7 * 3600 + 240),
    (OVERVIEW, "What cannot be trusted", {"account": "uae-settlement"}, None),
    (ACCOUNT, "Balance", {}, 1),
    (ACCOUNT, "Last poll", {}, 1),
    (ACCOUNT, "Since the last good reading", {}, 3),
    (ACCOUNT, "Until the next poll", {}, 57),
    (EXPORTER, "Exporters down", {}, 0),
    (EXPORTER, "Configuration", {}, 1),
    (EXPORTER, "State", {}, 1),
    (EXPORTER, "Accounts known", {}, 5 / 7),
    (EXPORTER, "Polls overdue", {}, 0),
]


def problems(dashboards, prometheus, end):
    chosen = {}
    for uid, title, labels, expected in SAID:
        dashboard = dashboards[uid]
        if uid not in chosen:
            choices = Questions(dashboard, prometheus, end).choices()
            # the first of the others is "all"; the variables of one value have the account that is shown
            chosen[uid] = next(
                each for each in choices if uid != ACCOUNT or (each["provider"], each["account"]) == SHOWN
            )
        target = next(each for each in panels(dashboard) if each["title"] == title)["targets"][0]
        answer, error = prometheus.ask("query", query=interpolate(target["expr"], chosen[uid]), time=end)
        series = answer["result"] if answer else []
        found = [float(each["value"][1]) for each in series if labels.items() <= each["metric"].items()]
        right = not found if expected is None else len(found) == 1 and abs(found[0] - expected) < 1e-6
        if not right:
            yield f"{uid}: {title} says {error or found} of {labels or 'all'}, not {expected}"
