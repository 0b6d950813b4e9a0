"""One account in depth: its wallets, how long they last, and how well it is read."""

from . import field, link, panel, variable
from .document import NEEDS_RULES, annotation, document
from .expression import WALLET, firing, or_zero, runway
from .field import BLUE, DAY, GREEN, GREY, HOUR, ORANGE, RED, RUNWAY, column, defaults, levels
from .query import now, over_time, rows

ACCOUNT = 'job=~"$job", provider="$provider", account="$account"'
WALLETS = f'{ACCOUNT}, currency="$currency"'
#: Series of a time have 0 if there was none yet.
LAST_SUCCESS = f"(balance_last_success_timestamp_seconds{{{ACCOUNT}}} > 0)"


def dashboard():
    return document(
        "balance-account",
        "Balances: one account",
        "One account: what its wallets hold, how long that lasts, and how well it is read. Amounts are per wallet and "
        f"never added up. {NEEDS_RULES}",
        variables=[
            variable.datasource(),
            variable.many("job", "Job", "label_values(balance_fresh, job)"),
            variable.one("provider", "Provider", 'label_values(balance_fresh{job=~"$job"}, provider)'),
            variable.one(
                "account", "Account", 'label_values(balance_fresh{job=~"$job", provider="$provider"}, account)'
            ),
            variable.each("currency", "Currency", f"label_values(balance_outflow_amount_total{{{ACCOUNT}}}, currency)"),
            variable.runbooks(),
        ],
        annotations=[
            annotation(
                "Alerts",
                firing('provider="$provider", account="$account"'),
                RED,
                "{{alertname}}",
                text="{{wallet}} {{currency}} {{reason}}",
            ),
            annotation(
                "Configuration taken in",
                f"""1000 * balance_exporter_config_last_reload_success_timestamp_seconds{{job=~"$job"}}
                and on (job, instance) balance_fresh{{{ACCOUNT}}}""",
                BLUE,
                "Configuration taken in",
                starts=True,
            ),
        ],
        rows=[
            (4, [(4, made) for made in _state()]),
            panel.row("$currency: what the wallets hold", repeat="currency"),
            (10, [(15, _balance()), (9, _flow())]),
            panel.row("How long it lasts"),
            (8, [(12, _runway()), (12, _pace())]),
            panel.row("How well it is read"),
            (8, [(12, _outcomes()), (12, _age())]),
            (7, [(8, _identity()), (8, _failures()), (8, _alerts())]),
            (7, [(12, _held()), (12, _repeated())]),
        ],
        span="now-12h",
    )


def _state():
    yield panel.stat(
        "Balance",
        "Known, or unknown: then there is no good reading that is young enough, and amounts are withdrawn.",
        now(f"max(balance_fresh{{{ACCOUNT}}})", "fresh"),
        config=defaults(
            field.COUNT, mappings=[field.say(_0=("unknown", RED), _1=("known", GREEN))], nothing="not exported"
        ),
        links=[link.runbook("BalanceUnknown")],
    )
    yield panel.stat(
        "Last poll",
        "Whether the last poll brought balances.",
        now(f"max(balance_poll_success{{{ACCOUNT}}})", "success"),
        config=defaults(
            field.COUNT, mappings=[field.say(_0=("failed", ORANGE), _1=("good", GREEN))], nothing="not exported"
        ),
    )
    yield panel.stat(
        "Since the last good reading",
        "How old the last good reading is. It is withdrawn when it is older than `stale_after`.",
        now(f"min(time() - {LAST_SUCCESS})", "age"),
        config=defaults(field.SECONDS, decimals=0, thresholds=levels(BLUE), nothing="never read"),
        color="none",
    )
    yield panel.stat(
        "Until the next poll",
        "Negative if its turn is over, which a pause that the provider asked for explains; a minute is too much.",
        now(f"min((balance_next_poll_timestamp_seconds{{{ACCOUNT}}} > 0) - time())", "wait"),
        config=defaults(field.SECONDS, decimals=0, thresholds=levels(RED, green=-60), nothing="not decided"),
        links=[link.runbook("BalancePollOverdue")],
    )
    yield panel.stat(
        "Lasts",
        "The runway of the wallet that runs out first, at the pace of late.",
        now(f"min({runway(ACCOUNT)})", "runway"),
        config=defaults(field.SECONDS, decimals=1, thresholds=RUNWAY, nothing="not enough data"),
        links=[link.runbook("BalanceRunwayShort")],
    )
    firing_here = firing('provider="$provider", account="$account"')
    yield panel.stat(
        "Alerts firing",
        "Alerts on this account that fire. No data means that the rules are not loaded.",
        now(or_zero(f"count({firing_here})", f"balance:account_seen_timestamp_seconds{{{ACCOUNT}}}"), "alerts"),
        config=defaults(field.COUNT, thresholds=levels(GREEN, red=1), nothing="no rules loaded"),
    )


def _balance():
    return panel.lines(
        "What the wallets hold, in $currency",
        "Each figure as the provider sends it; one that it does not send has no line. A gap means that nobody knew. "
        "Dashed lines are the thresholds, which what can be spent is compared with.",
        over_time(f"min by ({WALLET}) (balance_available_amount{{{WALLETS}}})", "{{wallet}}: available"),
        over_time(f"min by ({WALLET}) (balance_amount{{{WALLETS}}})", "{{wallet}}: total"),
        over_time(f"min by ({WALLET}) (balance_frozen_amount{{{WALLETS}}})", "{{wallet}}: frozen"),
        over_time(f"min by ({WALLET}) (balance_credit_limit_amount{{{WALLETS}}})", "{{wallet}}: credit limit"),
        over_time(
            f'max by ({WALLET}) (balance:threshold_amount{{severity="warning", {WALLETS}}})',
            "{{wallet}}: warning below",
        ),
        over_time(
            f'max by ({WALLET}) (balance:threshold_amount{{severity="critical", {WALLETS}}})',
            "{{wallet}}: critical below",
        ),
        config=defaults(field.AMOUNT, color="palette-classic", decimals=2),
        overrides=[field.dashed("/: warning below$/", ORANGE), field.dashed("/: critical below$/", RED)],
        table=True,
    )


def _flow():
    # the greatest, since two exporters that read one account see the same money
    change = f"max by ({WALLET}) (increase(balance_%s_amount_total{{{WALLETS}}}[$__rate_interval]))"
    return panel.bars(
        "Money in and out, in $currency",
        "What came in is above zero, what went out below, per interval of the chart. Both are differences between two "
        "readings: what went out and came back between them is not seen.",
        over_time(change % "inflow", "{{wallet}}: in"),
        over_time(f"-{change % 'outflow'}", "{{wallet}}: out"),
        config=defaults(field.AMOUNT, color="palette-classic"),
        overrides=[field.like("/: in$/", color=field.fixed(GREEN)), field.like("/: out$/", color=field.fixed(ORANGE))],
    )


def _windows(series):
    return [over_time(f"{series % window}", f"{{{{wallet}}}} {{{{currency}}}}, by {name}") for window, name in WINDOWS]


WINDOWS = [("1h", "1 hour"), ("6h", "6 hours"), ("1d", "1 day")]


def _runway():
    return panel.lines(
        "How long the money lasts",
        "The runway by the spending of the last hour, six hours and day, on a logarithmic scale. The areas begin where "
        "BalanceRunwayCritical and BalanceRunwayShort fire.",
        *_windows(f"balance:runway_seconds:%s{{{ACCOUNT}}}"),
        config=defaults(
            field.SECONDS, color="palette-classic", thresholds=levels(RED, orange=6 * HOUR, transparent=DAY)
        ),
        log=True,
        fill=0,
        levels="area",
    )


def _pace():
    return panel.lines(
        "How much leaves per hour",
        "What left each wallet, on average of the last hour, six hours and day, in the currency that the legend names. "
        "No line means that there is not enough data, or that nothing was spent.",
        *_windows(f"{HOUR} * balance:outflow_amount_per_second:%s{{{ACCOUNT}}}"),
        config=defaults(field.AMOUNT, color="palette-classic", min=0, decimals=2),
        fill=0,
    )


def _outcomes():
    return panel.bars(
        "How polls ended",
        "Polls per interval of the chart: those that brought balances, and the others by the first thing that went "
        "wrong. The README tells what each reason means.",
        over_time(
            f"""sum(increase(balance_polls_total{{{ACCOUNT}}}[$__rate_interval]))
            - (
                sum(increase(balance_poll_failures_total{{{ACCOUNT}}}[$__rate_interval]))
                or 0 * sum(increase(balance_polls_total{{{ACCOUNT}}}[$__rate_interval]))
            )""",
            "good",
        ),
        over_time(
            f"sum by (reason) (increase(balance_poll_failures_total{{{ACCOUNT}}}[$__rate_interval])) > 0", "{{reason}}"
        ),
        config=defaults(field.COUNT, color="palette-classic", min=0, decimals=0),
        # grey, so that failures stand out, of which one may be green
        overrides=[column("good", color=field.fixed(GREY))],
    )


def _age():
    return panel.lines(
        "How old the reading is",
        "The age of the last good reading, and the age at which it is withdrawn. It also shows the time between polls.",
        over_time(f"min(time() - {LAST_SUCCESS})", "age"),
        over_time(f"max(balance_stale_after_seconds{{{ACCOUNT}}})", "withdrawn after"),
        over_time(f"max(balance_poll_interval_seconds{{{ACCOUNT}}})", "polled every"),
        config=defaults(field.SECONDS, color="palette-classic", min=0),
        overrides=[
            column("age", color=field.fixed(BLUE)),
            field.dashed("withdrawn after", RED),
            field.dashed("polled every", GREEN),
        ],
    )


def _identity():
    return panel.table(
        "How it is polled",
        "The API and environment, the interval between polls, and up to which age a reading is shown.",
        rows(f"max by (provider, account, api, environment) (balance_account_info{{{ACCOUNT}}})"),
        rows(f"max by (provider, account) (balance_poll_interval_seconds{{{ACCOUNT}}})"),
        rows(f"max by (provider, account) (balance_stale_after_seconds{{{ACCOUNT}}})"),
        columns={"api": "API", "environment": "Environment", "B": "Polled every", "C": "Shown for"},
        config=defaults(field.SECONDS, decimals=0, nothing="not exported"),
    )


def _failures():
    return panel.table(
        "Failures in this range of time",
        "How often polls failed in the range of time that is shown, by the first thing that went wrong.",
        rows(f"sum by (reason) (increase(balance_poll_failures_total{{{ACCOUNT}}}[$__range])) > 0"),
        columns={"reason": "Reason", "A": "Polls"},
        config=defaults(field.COUNT, decimals=0, nothing="none"),
        overrides=[column("Polls", thresholds=levels(ORANGE), custom__cellOptions={"type": "color-text"})],
        sort=["-Polls"],
    )


def _held():
    return _counted(
        "Readings held",
        "Good readings that were not shown, since they jumped by more than `hold_jump_over`: each waits for the next "
        "one to confirm it. Per interval of the chart.",
        "balance_readings_held_total",
        "held",
        ORANGE,
    )


def _repeated():
    return _counted(
        "Repeated replies",
        "Good replies with the same trace code or time as the one before, though the provider gives each its own: an "
        "old reply may have been served again. Per interval of the chart.",
        "balance_repeated_replies_total",
        "repeated",
        RED,
    )


def _counted(title, description, counter, legend, color):
    return panel.bars(
        title,
        description,
        over_time(f"sum(increase({counter}{{{ACCOUNT}}}[$__rate_interval]))", legend),
        config=defaults(field.COUNT, color="palette-classic", min=0, decimals=0),
        overrides=[column(legend, color=field.fixed(color))],
    )


def _alerts():
    firing_here = firing('provider="$provider", account="$account"')
    return panel.table(
        "Alerts on this account",
        "The alerts on this account that fire. A click on a name opens its runbook.",
        rows(firing_here),
        columns={"severity": "Severity", "alertname": "Alert", "wallet": "Wallet", "reason": "Reason"},
        config=defaults(field.WORDS, nothing="none fires, if the rules are loaded"),
        overrides=[
            panel.colored_text(
                "Severity", [field.say(critical=("critical", RED), warning=("warning", ORANGE))], custom__width=85
            ),
            column("Alert", links=[link.runbook_of_value()], custom__width=200),
        ],
        sort=["Severity"],
    )
