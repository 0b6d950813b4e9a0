"""PromQL that more than one panel asks for.

Recorded series are preferred where there are some: then a dashboard shows what the alerts judge. No expression adds
amounts up, not even those of one currency: while one account is unknown, the sum would be too small and look right. Nor
those of one wallet, which two exporters may read: of these the lesser counts, as in the rules.
"""

#: What makes a wallet, as in the recording rules: without `instance` and `pod`, which change when the exporter moves.
WALLET = "job, provider, account, wallet, currency"
ACCOUNT = "job, provider, account"

#: Every alert of ours begins so.
ALERTS = 'alertname=~"Balance.+", job=~"$job"'


def known(selector):
    """What can be spent, by the last known reading, for at most a day."""
    return f"balance:known_amount{{{selector}}}"


def threshold(severity, selector):
    return f'max by ({WALLET}) (balance:threshold_amount{{severity="{severity}", {selector}}})'


def headroom(selector):
    """The amount in multiples of the warning threshold, which can be compared between currencies."""
    return f"{known(selector)} / on ({WALLET}) group_left () ({threshold('warning', selector)} > 0)"


def below(severity, selector):
    """For each wallet that has this threshold 1 if there is less, else 0."""
    return f"{known(selector)} < bool on ({WALLET}) group_left () {threshold(severity, selector)}"


def runway(selector):
    """The shortest runway, judged as the alert BalanceRunwayShort does: one hour counts only while six say nothing."""
    recorded = f"balance:runway_seconds:%s{{{selector}}}"
    hour = f"({recorded % '1h'} unless {recorded % '6h'})"
    # the label keeps windows apart, of which `or` would drop all but the first
    windows = {"6h": recorded % "6h", "1d": recorded % "1d", "1h": hour}
    kept_apart = [f'label_replace({series}, "window", "{name}", "", "")' for name, series in windows.items()]
    return f"min by ({WALLET}) ({' or '.join(kept_apart)})"


def firing(selector=""):
    """Alerts that fire; the labels are those of the alert."""
    return f'ALERTS{{alertstate="firing", {", ".join(filter(None, [ALERTS, selector]))}}}'


def or_zero(count, witness):
    """A count that is 0 if there is nothing to count, and still no data if nobody could have counted."""
    return f"{count} or 0 * count({witness})"


def up(selector='job=~"$job"'):
    """`up` of our targets, whichever else the job has; for an hour after they were seen last."""
    return f"up{{{selector}}} and on (job, instance) last_over_time(balance_exporter_build_info{{{selector}}}[1h])"


def ours(series, selector='job=~"$job", instance=~"$instance"'):
    """Series that every program has, of our targets only."""
    return f"{series} and on (job, instance) balance_exporter_build_info{{{selector}}}"


def quantile(share, histogram, by, selector):
    rate = f"rate({histogram}_bucket{{{selector}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate}))"
