"""All accounts on one wall: what is low, what runs out first, what cannot be trusted."""

from . import field, link, panel, variable
from .document import NEEDS_RULES, annotation, document
from .expression import ACCOUNT, ALERTS, WALLET, below, firing, headroom, known, or_zero, runway, threshold, up
from .field import DAY, GREEN, GREY, HOUR, ORANGE, PURPLE, RED, RUNWAY, ZERO_IS_GOOD, column, defaults, levels
from .query import now, over_time, rows

ACCOUNTS = 'job=~"$job", provider=~"$provider"'
WALLETS = f'{ACCOUNTS}, currency=~"$currency"'
#: Written by the recording rules for each account, so it tells whether they are loaded.
SEEN = "balance:account_seen_timestamp_seconds"

SEVERITIES = ("critical", "warning")
COUNTED = "nothing to compare"
WHO = {"provider": "Provider", "account": "Account"}
WHICH = {**WHO, "wallet": "Wallet", "currency": "Currency"}
ACCOUNT_LINK = column("Account", links=[link.account_of_row()])


def dashboard():
    return document(
        "balance-overview",
        "Balances: overview",
        "Which prefunded accounts are low, which run out first, and which nobody can vouch for. Amounts are per wallet "
        f"and never added up, least of all over currencies. {NEEDS_RULES}",
        variables=[
            variable.datasource(),
            variable.many("job", "Job", "label_values(balance_fresh, job)"),
            variable.many("provider", "Provider", 'label_values(balance_fresh{job=~"$job"}, provider)'),
            variable.many("currency", "Currency", f"label_values(balance:known_amount{{{ACCOUNTS}}}, currency)"),
            variable.runbooks(),
        ],
        annotations=[
            annotation(
                "Critical alerts",
                firing('severity="critical"'),
                RED,
                "{{alertname}}",
                text="{{provider}} {{account}} {{wallet}} {{currency}}",
                enable=False,
            )
        ],
        rows=[
            (4, [(4, made) for made in _counts()]),
            (11, [(24, _wallets())]),
            (9, [(8, _runs_out()), (7, _untrusted()), (9, _alerts())]),
            (9, [(12, _headroom()), (12, _runway())]),
            panel.row("$currency: what can be spent, and what leaves", repeat="currency"),
            (9, [(14, _spendable()), (10, _outflow())]),
        ],
    )


def _counts():
    yield panel.stat(
        "Nearly empty",
        "Wallets whose last known amount is below their threshold `critical`. Those without one are not counted.",
        now(f"sum({below('critical', WALLETS)})", "wallets"),
        config=defaults(field.COUNT, thresholds=ZERO_IS_GOOD, nothing=COUNTED),
        links=[link.runbook("BalanceCritical")],
    )
    yield panel.stat(
        "Low",
        "Wallets whose last known amount is below their threshold `warning`, the nearly empty ones among them.",
        now(f"sum({below('warning', WALLETS)})", "wallets"),
        config=defaults(field.COUNT, thresholds=levels(GREEN, orange=1), nothing=COUNTED),
        links=[link.runbook("BalanceLow")],
    )
    yield panel.stat(
        "Empty within a day",
        "Wallets that last less than 24 hours at the pace of late. Those without a runway are not counted.",
        now(f"sum({runway(WALLETS)} < bool {DAY})", "wallets"),
        config=defaults(field.COUNT, thresholds=levels(GREEN, orange=1), nothing="no runway yet"),
        links=[link.runbook("BalanceRunwayShort")],
    )
    yield panel.stat(
        "Unknown",
        "Accounts whose balance nobody knows now: there is no good reading that is young enough.",
        now(f"sum(max by ({ACCOUNT}) (balance_fresh{{{ACCOUNTS}}}) == bool 0)", "accounts"),
        config=defaults(field.COUNT, thresholds=ZERO_IS_GOOD, nothing="nobody looks"),
        links=[link.runbook("BalanceUnknown")],
    )
    seen = f'{SEEN}{{job=~"$job"}}'
    firing_as = {severity: firing(f'severity="{severity}"') for severity in SEVERITIES}
    yield panel.stat(
        "Alerts firing",
        "Alerts of this exporter that fire, by severity.",
        *(now(or_zero(f"count({alerts})", seen), severity) for severity, alerts in firing_as.items()),
        config=defaults(field.COUNT, thresholds=ZERO_IS_GOOD, nothing="no rules loaded"),
        overrides=[column("warning", thresholds=levels(GREEN, orange=1))],
        text="value_and_name",
    )
    yield panel.stat(
        "Exporters down",
        "Exporters that Prometheus cannot scrape, of those that it could within the last hour.",
        now(f"sum(({up()}) == bool 0)", "exporters"),
        config=defaults(field.COUNT, thresholds=ZERO_IS_GOOD, nothing="none is seen"),
        links=[link.runbook("BalanceExporterDown")],
    )


def _wallets():
    fresh = f"on ({ACCOUNT}) (balance_fresh{{{ACCOUNTS}}} == 1)"
    last = f"balance:known_timestamp_seconds{{{WALLETS}}}"
    unknown_for = f"max by ({WALLET}) (0 * {last} and {fresh} or time() - {last})"
    share = {"mode": "gradient", "type": "gauge", "valueDisplayMode": "text"}
    return panel.table(
        "Wallets, the lowest first",
        "Every wallet by its last known amount, which stands for at most a day. Of warning: the amount as a share of "
        "the threshold `warning`. Lasts: how long it lasts at the pace of late. Reading: fresh, or for how long it has "
        "been unknown. State: what is not low but unknown is not ok, nor is what has no threshold.",
        rows(_state(fresh)),
        rows(f"min by ({WALLET}) ({known(WALLETS)})"),
        rows(threshold("warning", WALLETS)),
        rows(threshold("critical", WALLETS)),
        rows(f"min by ({WALLET}) ({headroom(WALLETS)})"),
        rows(runway(WALLETS)),
        rows(unknown_for),
        columns={
            "A": "State",
            **WHICH,
            "B": "Can be spent",
            "C": "Warning below",
            "D": "Critical below",
            "E": "Of warning",
            "F": "Lasts",
            "G": "Reading",
        },
        config=defaults(field.AMOUNT, nothing="–", decimals=2),
        overrides=[
            column(
                "State",
                unit=field.COUNT,
                mappings=[
                    field.say(_0=("ok", GREEN), _1=("unknown", PURPLE), _2=("low", ORANGE), _3=("nearly empty", RED)),
                    field.say_nothing("no threshold", GREY),
                ],
                custom__cellOptions={"mode": "basic", "type": "color-background"},
                custom__align="center",
                custom__width=120,
            ),
            column("Wallet", custom__width=100),
            column("Currency", custom__width=85),
            *(column(name, custom__width=125) for name in ("Can be spent", "Warning below", "Critical below")),
            ACCOUNT_LINK,
            column(
                "Of warning",
                unit=field.SHARE,
                decimals=0,
                min=0,
                max=3,
                thresholds=levels(RED, orange=0.5, green=1),
                custom__cellOptions=share,
            ),
            column(
                "Lasts",
                unit=field.SECONDS,
                decimals=1,
                thresholds=RUNWAY,
                mappings=[field.say_nothing("–", GREY)],
                custom__cellOptions={"type": "color-text"},
                custom__width=110,
            ),
            panel.colored_text(
                "Reading",
                [field.say(_0=("fresh", GREEN))],
                unit=field.SECONDS,
                decimals=1,
                thresholds=levels(RED),
                custom__width=110,
            ),
        ],
        sort=["-State", "Of warning"],
    )


def _state(fresh):
    """3 is nearly empty, 2 low, 1 unknown and 0 none of these; nothing if there is no threshold to compare with."""
    below = f"({known(WALLETS)} < bool on ({WALLET}) group_right () max by ({WALLET}, severity) (%s))"
    levels = {severity: f'balance:threshold_amount{{severity="{severity}", {WALLETS}}}' for severity in SEVERITIES}
    # the label keeps them apart, of which `or` would drop all but the first
    unknown = f'label_replace(0 * {known(WALLETS)} + 1 unless {fresh}, "severity", "unknown", "", "")'
    return f"max by ({WALLET}) (3 * {below % levels['critical']} or 2 * {below % levels['warning']} or {unknown})"


def _runs_out():
    return panel.gauges(
        "What runs out first",
        "How long the shortest-lived wallets last at the pace of late, up to a week. Red is less than 6 hours, orange "
        "less than 24. Top-ups are not counted. While a balance is unknown its runway stays as it was.",
        now(f"bottomk(10, {runway(WALLETS)})", "{{account}} · {{wallet}} {{currency}}"),
        config=defaults(
            field.SECONDS,
            thresholds=RUNWAY,
            decimals=1,
            min=0,
            max=7 * DAY,
            nothing="no runway yet",
            links=[link.account_of_series()],
        ),
    )


def _untrusted():
    account = "on (job, instance, provider, account)"
    age = (
        f"time() - balance_last_success_timestamp_seconds{{{ACCOUNTS}}} and {account} balance_fresh{{{ACCOUNTS}}} == 0"
    )
    failures = f"balance:recent_poll_failures:15m{{{ACCOUNTS}}}"
    silent = f"({age}) unless {account} {failures}"
    gone = f"time() - {SEEN}{{{ACCOUNTS}}} unless on ({ACCOUNT}) balance_fresh{{{ACCOUNTS}}}"
    by = "max by (provider, account, reason)"
    return panel.table(
        "What cannot be trusted",
        "Accounts that are not fresh, why, and for how long there has been no good reading. The README tells what each "
        "reason means. Accounts that are not exported any more stay for a day: removed, or their exporter is down.",
        rows(
            f"""{by} (0 * {failures} + {account} group_left () ({age}))
            or {by} (label_replace({silent}, "reason", "no poll failed of late", "", ""))
            or {by} (label_replace({gone}, "reason", "not exported", "", ""))"""
        ),
        columns={**WHO, "reason": "Reason", "A": "For"},
        config=defaults(field.SECONDS, decimals=1, nothing="none is listed"),
        overrides=[
            ACCOUNT_LINK,
            column("Reason", custom__cellOptions={"type": "color-text"}, color=field.fixed(ORANGE)),
            panel.colored_text(
                "For",  # a time of 0 is never, and would be since 1970
                [field.say_between(40 * 365 * DAY, None, "ever", RED)],
                thresholds=levels(RED),
                custom__width=100,
            ),
        ],
        sort=["-For"],
        links=[link.runbook("BalanceUnknown")],
    )


def _alerts():
    since = f"""time() - (
        ALERTS_FOR_STATE{{{ALERTS}}} and ignoring (alertstate) {firing()}
    )"""
    severities = {"critical": ("critical", RED), "warning": ("warning", ORANGE)}
    return panel.table(
        "Alerts that fire",
        "Every alert of this exporter that fires, and for how long its condition has held. A click on a name opens "
        "its runbook.",
        rows(since),
        columns={"severity": "Severity", "alertname": "Alert", "account": "Account", "A": "For"},
        config=defaults(field.SECONDS, decimals=1, nothing="no alert fires, if the rules are loaded"),
        overrides=[
            panel.colored_text("Severity", [field.say(**severities)], custom__width=85),
            column("Alert", links=[link.runbook_of_value()], custom__width=210),
            column("For", custom__width=90),
        ],
        sort=["Severity", "-For"],
    )


def _headroom():
    return panel.lines(
        "How far above the warning threshold",
        "Each wallet's last known amount in multiples of its threshold `warning`, which currencies have in common. "
        "Below 1 it is low. The scale is logarithmic; wallets without that threshold are not shown.",
        over_time(headroom(WALLETS), "{{account}} · {{wallet}} {{currency}}"),
        config=defaults("none", color="palette-classic", thresholds=levels(RED, transparent=1), decimals=2),
        log=True,
        fill=0,
        levels="area",
    )


def _runway():
    return panel.lines(
        "How long money lasts",
        "The runway of each wallet, on a logarithmic scale. The areas begin where BalanceRunwayCritical and "
        "BalanceRunwayShort fire. No line means that there is not enough data.",
        over_time(runway(WALLETS), "{{account}} · {{wallet}} {{currency}}"),
        config=defaults(
            field.SECONDS, color="palette-classic", thresholds=levels(RED, orange=6 * HOUR, transparent=DAY)
        ),
        log=True,
        fill=0,
        levels="area",
    )


def _spendable():
    selector = f'{ACCOUNTS}, currency="$currency"'
    return panel.lines(
        "What can be spent, in $currency",
        "The available figure, else the total, by wallet. A gap means that nobody knew. Dashed lines are the "
        "thresholds.",
        over_time(f"balance:spendable_amount{{{selector}}}", "{{account}} · {{wallet}}"),
        over_time(
            f'max by ({WALLET}) (balance:threshold_amount{{severity="warning", {selector}}})',
            "{{account}} · {{wallet}}: warning",
        ),
        over_time(
            f'max by ({WALLET}) (balance:threshold_amount{{severity="critical", {selector}}})',
            "{{account}} · {{wallet}}: critical",
        ),
        config=defaults(field.AMOUNT, color="palette-classic"),
        overrides=[field.dashed("/: warning$/", ORANGE), field.dashed("/: critical$/", RED)],
    )


def _outflow():
    selector = f'{ACCOUNTS}, currency="$currency"'
    return panel.lines(
        "What leaves per hour, in $currency",
        "How fast money leaves each wallet, by the last hour. No line means that there is not enough data, or that "
        "nothing was spent.",
        over_time(f"{HOUR} * balance:outflow_amount_per_second:1h{{{selector}}}", "{{account}} · {{wallet}}"),
        config=defaults(field.AMOUNT, color="palette-classic", min=0),
    )
