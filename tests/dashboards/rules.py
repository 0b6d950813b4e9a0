"""The recording rules and alerts over the world's two days.

Some rules read themselves as they were one evaluation ago, and alerts take time to fire. Backfilling of rules knows
neither. What steps through time is `promtool test rules`: it is asked, for each moment, to find nothing at all, and
says what it found instead.
"""

import json
import re
import subprocess

from account import HOUR
from series import Series, notation, selector
from world import SPAN

EVERY = 240  # less than the five minutes after which a rule forgets itself
LATELY = 13 * HOUR  # what the dashboards show, at most

GROUP = re.compile(r"^  - name: (\S+)$", re.M)
SAMPLE = re.compile(r"\{((?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*)\} ([-+.eE\dNaInf]+)")
LABEL = re.compile(r"([a-zA-Z_]\w*)=(\"(?:[^\"\\]|\\.)*\")")
MOMENT = re.compile(r"time: ((?:\d+[a-z]+)+),")
PART = re.compile(r"(\d+)(h|ms|m|s|d)")
LENGTH = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def evaluate(promtool, files, series, folder):
    """The series that the rule files make."""
    texts = [file.read_text("utf-8") for file in files]
    wanted = [key for key in series if any(re.search(rf"\b{key[0]}\b", text) for text in texts)]
    moments = range(SPAN - LATELY - (SPAN - LATELY) % EVERY, SPAN + 1, EVERY)
    test = {
        "rule_files": [str(file.resolve()) for file in files],
        "evaluation_interval": f"{EVERY}s",
        "group_eval_order": [name for text in texts for name in GROUP.findall(text)],
        "tests": [
            {
                "interval": "2m",
                "input_series": [{"series": selector(*key), "values": notation(series[key], SPAN)} for key in wanted],
                "promql_expr_test": [
                    {"expr": '{__name__=~"balance:.+|ALERTS.*"}', "eval_time": f"{moment}s", "exp_samples": []}
                    for moment in moments
                ],
            }
        ],
    }
    # JSON is YAML
    file = folder / "rules.test.yml"
    file.write_text(json.dumps(test), "utf-8")
    ran = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    found = _parsed(ran.stdout + ran.stderr)
    assert found, f"the rules made nothing: {(ran.stdout + ran.stderr)[:2000]}"
    return found


def _parsed(text):
    found, moment = Series(), None
    for line in text.splitlines():
        time = MOMENT.search(line)
        if time:
            moment = sum(int(count) * LENGTH[unit] for count, unit in PART.findall(time[1]))
        elif line.lstrip().startswith("got:"):
            for labels, value in SAMPLE.findall(line):
                pairs = {name: json.loads(text) for name, text in LABEL.findall(labels)}
                found.add(pairs.pop("__name__"), pairs, int(moment), float(value))
    return found
