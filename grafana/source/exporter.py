"""The exporter itself: whether it keeps the limits, keeps time, and is well."""

from . import field, link, panel, variable
from .document import NEEDS_RULES, annotation, document
from .expression import ours, quantile, up
from .field import BLUE, GREEN, GREY, ORANGE, RED, ZERO_IS_GOOD, column, defaults, levels
from .query import now, over_time, rows

EXPORTER = 'job=~"$job", instance=~"$instance"'
PROVIDER = f'{EXPORTER}, provider=~"$provider"'
LATENESS = "balance_exporter_poll_lateness_seconds"
LEGEND = "{{provider}}"


def dashboard():
    return document(
        "balance-exporter",
        "Balances: the exporter",
        "How the exporter fares: how much of the limits it uses, how providers answer, whether polls are on time, "
        f"what it takes from its machine. {NEEDS_RULES}",
        variables=[
            variable.datasource(),
            variable.many("job", "Job", "label_values(balance_exporter_build_info, job)"),
            variable.many("instance", "Instance", 'label_values(balance_exporter_build_info{job=~"$job"}, instance)'),
            variable.many(
                "provider", "Provider", f"label_values(balance_provider_requests_total{{{EXPORTER}}}, provider)"
            ),
            variable.runbooks(),
        ],
        annotations=[
            annotation(
                "Starts",
                f"1000 * ({ours(f'process_start_time_seconds{{{EXPORTER}}}')})",
                BLUE,
                "{{instance}} was started",
                starts=True,
            ),
            annotation(
                "Configuration taken in",
                f"1000 * balance_exporter_config_last_reload_success_timestamp_seconds{{{EXPORTER}}}",
                GREEN,
                "{{instance}} took in its configuration",
                starts=True,
            ),
        ],
        rows=[
            (4, [(width, made) for width, made in zip((3, 4, 4, 3, 3, 3, 4), _state(), strict=True)]),
            panel.row("The providers' limits"),
            (8, [(12, _used()), (12, _windows())]),
            (7, [(8, _requests()), (8, _held_back()), (8, _pauses())]),
            panel.row("The providers' answers"),
            (8, [(10, _durations()), (6, _sessions()), (8, _skew())]),
            panel.row("Polls"),
            (8, [(8, _outcomes()), (8, _lateness()), (8, _late())]),
            panel.row("Process and scrapes"),
            (7, [(6, _cpu()), (6, _memory()), (6, _files()), (6, _scrapes())]),
        ],
    )


def _state():
    yield panel.stat(
        "Exporters down",
        "Exporters that Prometheus cannot scrape, of those that it could within the last hour.",
        now(f"sum(({up(EXPORTER)}) == bool 0)", "down"),
        config=defaults(field.COUNT, thresholds=ZERO_IS_GOOD, nothing="none is seen"),
        links=[link.runbook("BalanceExporterDown")],
    )
    yield panel.stat(
        "Configuration",
        "Refused means that the one before is in force: what was changed since is not.",
        now(f"min(balance_exporter_config_last_reload_successful{{{EXPORTER}}})", "accepted"),
        config=defaults(
            field.COUNT, mappings=[field.say(_0=("refused", RED), _1=("accepted", GREEN))], nothing="none is seen"
        ),
        links=[link.runbook("BalanceConfigReloadFailed")],
    )
    yield panel.stat(
        "State",
        "What must survive a restart. Not written means that the limits hold, but a restart would take them for spent; "
        "the log says why.",
        now(f"min(balance_exporter_state_write_success{{{EXPORTER}}})", "written"),
        config=defaults(
            field.COUNT, mappings=[field.say(_0=("not written", RED), _1=("written", GREEN))], nothing="in memory"
        ),
        links=[link.runbook("BalanceStateNotWritten")],
    )
    yield panel.stat(
        "Accounts known",
        "The share of all accounts whose last good reading is young enough.",
        now(f"avg(balance_fresh{{{PROVIDER}}})", "known"),
        config=defaults(field.SHARE, decimals=0, thresholds=levels(RED, orange=0.9, green=1), nothing="none is seen"),
        links=[link.runbook("BalanceUnknown")],
    )
    overdue = f"""(balance_next_poll_timestamp_seconds{{{PROVIDER}}} < bool time() - 60)
        unless on (job, instance, provider) balance_provider_paused_until_timestamp_seconds{{{PROVIDER}}}"""
    yield panel.stat(
        "Polls overdue",
        "Accounts whose next poll was due more than a minute ago, though their provider did not ask for a pause.",
        now(f"sum({overdue})", "overdue"),
        config=defaults(field.COUNT, thresholds=ZERO_IS_GOOD, nothing="none is seen"),
        links=[link.runbook("BalancePollOverdue")],
    )
    yield panel.stat(
        "Version",
        "The versions that run.",
        now(f"count by (version) (balance_exporter_build_info{{{EXPORTER}}})", "{{version}}"),
        config=defaults(field.WORDS, thresholds=levels(BLUE), nothing="none is seen"),
        name=True,
        color="none",
    )
    yield panel.stat(
        "Running for",
        "Since the start of the exporter that was started last. Without a state, what it knows begins there.",
        now(f"min(time() - ({ours(f'process_start_time_seconds{{{EXPORTER}}}')}))", "running"),
        config=defaults(field.SECONDS, decimals=1, thresholds=levels(ORANGE, blue=600), nothing="none is seen"),
        color="none",
    )


def _used():
    left, limit = (f"balance_provider_rate_limit_{name}{{{PROVIDER}}}" for name in ("remaining", "requests"))
    return panel.lines(
        "How much of each limit is used",
        "The share of each window that is taken, as it was at the scrape. At 100 % requests wait; the limit itself is "
        "never exceeded.",
        over_time(f"max by (provider, window) (1 - {left} / {limit})", "{{provider}} per {{window}}"),
        config=defaults(
            field.SHARE,
            color="palette-classic",
            min=0,
            max=1,
            decimals=0,
            thresholds=levels("transparent", orange=0.8),
        ),
        levels="area",
    )


def _windows():
    by = "by (provider, window)"
    pause = f"max by (provider) (balance_provider_paused_until_timestamp_seconds{{{PROVIDER}}} - time())"
    full = {"mode": "gradient", "type": "gauge", "valueDisplayMode": "text"}
    return panel.table(
        "Limits now",
        "Every window of every provider: how many requests it allows, and for how many there is room now. Paused for: "
        "how long the provider wants to be left alone.",
        rows(f"min {by} (balance_provider_rate_limit_requests{{{PROVIDER}}})"),
        rows(f"min {by} (balance_provider_rate_limit_remaining{{{PROVIDER}}})"),
        rows(
            f"""min {by} (balance_provider_rate_limit_remaining{{{PROVIDER}}}
            / balance_provider_rate_limit_requests{{{PROVIDER}}})"""
        ),
        rows(
            f"""0 * min {by} (balance_provider_rate_limit_requests{{{PROVIDER}}})
            + on (provider) group_left () {pause}"""
        ),
        columns={
            "provider": "Provider",
            "window": "Window",
            "A": "Limit",
            "B": "Room for",
            "C": "Room",
            "D": "Paused for",
        },
        config=defaults(field.COUNT, decimals=0, nothing="–"),
        overrides=[
            column("Window", custom__width=90),
            column("Limit", custom__width=80),
            column("Room for", custom__width=90),
            column(
                "Room", unit=field.SHARE, min=0, max=1, thresholds=levels(ORANGE, green=0.2), custom__cellOptions=full
            ),
            panel.colored_text(
                "Paused for",
                [field.say_nothing("–", GREY)],
                unit=field.SECONDS,
                thresholds=levels(ORANGE),
                custom__width=110,
            ),
        ],
        sort=["Room"],
    )


def _requests():
    return panel.lines(
        "Requests sent",
        "Requests per minute, logins and retries included.",
        over_time(
            f"60 * sum by (provider) (rate(balance_provider_requests_total{{{PROVIDER}}}[$__rate_interval]))", LEGEND
        ),
        config=defaults(field.PER_MINUTE, color="palette-classic", min=0),
    )


def _held_back():
    count = f"sum by (provider) (increase(balance_provider_%s_total{{{PROVIDER}}}[$__rate_interval])) > 0"
    return panel.bars(
        "Held back",
        "Requests that waited because the limit was used up (deferred), and replies by which a provider asked to slow "
        "down (throttled), per interval of the chart.",
        over_time(count % "deferred", "{{provider}}: deferred"),
        over_time(count % "throttled", "{{provider}}: throttled"),
        config=defaults(field.COUNT, color="palette-classic", min=0, decimals=0, nothing="none"),
        overrides=[field.like("/: throttled$/", color=field.fixed(RED))],
    )


def _pauses():
    return panel.lines(
        "Pauses that providers asked for",
        "How long nothing is sent to the provider. No line means that there is no pause.",
        over_time(
            f"max by (provider) (balance_provider_paused_until_timestamp_seconds{{{PROVIDER}}}) - time()",
            LEGEND,
        ),
        config=defaults(field.SECONDS, color="palette-classic", min=0, nothing="no pause"),
        showPoints="auto",
    )


def _durations():
    histogram = "balance_provider_request_duration_seconds"
    return panel.lines(
        "How long providers take to answer",
        "The slowest twentieth of the requests takes longer than 95 %; half of them take longer than 50 %. A request "
        "that was given up counts with the time until then.",
        over_time(quantile(0.95, histogram, "provider", PROVIDER), "{{provider}}: 95 %"),
        over_time(quantile(0.5, histogram, "provider", PROVIDER), "{{provider}}: 50 %"),
        config=defaults(field.SECONDS, color="palette-classic", min=0),
        overrides=[field.like("/: 50 %$/", custom__lineWidth=1, custom__fillOpacity=0)],
        fill=0,
    )


def _sessions():
    return panel.lines(
        "Sessions end in",
        "At providers that log in: how long the current session lasts. It is renewed before it ends.",
        over_time(
            f"min by (provider) (balance_provider_session_expiry_timestamp_seconds{{{PROVIDER}}} - time())", LEGEND
        ),
        config=defaults(field.SECONDS, color="palette-classic", min=0, nothing="no session"),
    )


def _skew():
    return panel.lines(
        "Clocks differ by",
        "The provider's clock minus ours. BalanceClockSkew warns at a minute, in the areas; when it is too much, "
        "signed requests are refused.",
        over_time(f"balance_provider_clock_skew_seconds{{{PROVIDER}}}", "{{provider}} {{instance}}"),
        config=defaults(
            field.SECONDS,
            color="palette-classic",
            decimals=0,
            thresholds=levels(ORANGE, transparent=-60, orange=60),
        ),
        levels="area",
        fill=0,
        axisSoftMax=70,
        axisSoftMin=-70,
    )


def _outcomes():
    polls, failed = (f"sum(increase({name}{{{PROVIDER}}}[$__rate_interval]))" for name in POLLS)
    by_reason = failed.replace("sum(", "sum by (reason) (", 1)
    return panel.bars(
        "How polls ended",
        "Polls of all accounts per interval of the chart: those that brought balances, and the others by the first "
        "thing that went wrong.",
        over_time(f"{polls} - ({failed} or 0 * {polls})", "good"),
        over_time(f"{by_reason} > 0", "{{reason}}"),
        config=defaults(field.COUNT, color="palette-classic", min=0, decimals=0),
        # grey, so that failures stand out, of which one may be green
        overrides=[column("good", color=field.fixed(GREY))],
    )


POLLS = ("balance_polls_total", "balance_poll_failures_total")


def _lateness():
    return panel.lines(
        "How late polls begin",
        "How much later than due polls begin; waiting for a limit does not count. More than a second means that the "
        "machine is short of processor time.",
        over_time(quantile(0.99, LATENESS, "instance", EXPORTER), "{{instance}}: 99 %"),
        over_time(quantile(0.5, LATENESS, "instance", EXPORTER), "{{instance}}: 50 %"),
        config=defaults(field.SECONDS, color="palette-classic", min=0),
        fill=0,
    )


def _late():
    late = f'rate({LATENESS}_bucket{{le=~"5(\\\\.0)?", {EXPORTER}}}[15m])'
    return panel.lines(
        "Polls that begin late",
        "The share of polls that begin more than five seconds late. BalancePollsLate fires above a tenth, in the area.",
        over_time(f"1 - {late} / ignoring (le) rate({LATENESS}_count{{{EXPORTER}}}[15m])", "{{instance}}"),
        config=defaults(
            field.SHARE, color="palette-classic", min=0, decimals=0, thresholds=levels("transparent", orange=0.1)
        ),
        levels="area",
    )


def _cpu():
    return panel.lines(
        "Processor",
        "How much of one processor the exporter uses.",
        over_time(ours(f"rate(process_cpu_seconds_total{{{EXPORTER}}}[$__rate_interval])"), "{{instance}}"),
        config=defaults(field.SHARE, color="palette-classic", min=0, decimals=1),
    )


def _memory():
    return panel.lines(
        "Memory",
        "Memory of the exporter that is in RAM.",
        over_time(ours(f"process_resident_memory_bytes{{{EXPORTER}}}"), "{{instance}}"),
        config=defaults(field.BYTES, color="palette-classic", min=0),
    )


def _files():
    return panel.lines(
        "Open files and threads",
        "File descriptors, of which it may open as many as the dashed line says, and threads.",
        over_time(ours(f"process_open_fds{{{EXPORTER}}}"), "{{instance}}: open files"),
        over_time(ours(f"process_threads{{{EXPORTER}}}"), "{{instance}}: threads"),
        over_time(ours(f"process_max_fds{{{EXPORTER}}}"), "{{instance}}: most files"),
        config=defaults(field.COUNT, color="palette-classic", decimals=0),
        overrides=[field.dashed("/: most files$/", RED)],
        log=True,
        fill=0,
    )


def _scrapes():
    return panel.lines(
        "Scrapes take",
        "How long Prometheus takes to scrape the exporter. Polls do not wait for scrapes, nor scrapes for polls.",
        over_time(ours(f"scrape_duration_seconds{{{EXPORTER}}}"), "{{instance}}"),
        config=defaults(field.SECONDS, color="palette-classic", min=0),
    )
