"""Checks the dashboards: `run.py FOLDER_OF_PROMETHEUS`. Needs Python 3 and Debian's Prometheus, nothing else.

Against a strict schema, the laws of `lint`, the names of series and labels that there are, and, each query of each
panel, variable and annotation, against a real Prometheus that holds two days of an invented world. Then it breaks the
dashboards in many ways, to see that each is noticed. With `--serve` it goes on until its input ends, for looking.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import expected
import lint
import names
import reference
import schema
import shape
from answers import Questions
from dashboard import queries
from mutations import unnoticed
from prometheus import Prometheus, backfill
from promql import Expression
from rules import LATELY, evaluate
from series import openmetrics, recorded
from world import SPAN, scrapes

ROOT = Path(__file__).parents[2]
RULES = [ROOT / "deploy/prometheus" / file for file in ("rules.yml", "alerts.yml")]
#: When the world ends; always the same, so that pictures of it are.
END = 1_795_262_400
OWN_LABELS = {"team"}


class Checker:
    """Everything that dashboards are checked against."""

    def __init__(self, dashboards, known):
        self.dashboards, self.known = dashboards, known
        self.runbooks = {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")}

    def static(self, dashboard):
        """What is wrong with it by itself. Laws read keys, so they are asked only if all keys are there."""
        found = list(shape.problems(dashboard, schema.DASHBOARD, "dashboard"))
        return found or [
            *lint.problems(dashboard, self.runbooks, self.dashboards),
            *names.problems(dashboard, self.known),
        ]


def world(tools, folder):
    """The series of the world, and the data of a Prometheus that has seen it lately."""
    series = recorded(scrapes())
    known = reference.exported((ROOT / "README.md").read_text("utf-8"))
    unlike = list(reference.unlike(known, series, OWN_LABELS))
    assert not unlike, "\n".join(unlike)
    made = evaluate(tools / "promtool", RULES, series, folder)
    known |= reference.recorded(RULES[0].read_text("utf-8"), made)
    series.update(made)
    text = folder / "world.om"
    with text.open("w", encoding="utf-8") as file:
        file.writelines(openmetrics(series, END - SPAN, SPAN - LATELY))
    backfill(tools / "promtool", text, folder / "data")
    return known, len(series)


def unshown(dashboards, known):
    """Series that no dashboard asks for, to be told and not to be mended: some are not worth looking at."""
    asked = {each.metric for one in dashboards for _, text, _ in queries(one) for each in Expression(text).selectors}
    return sorted(known.keys() - asked)


class Report:
    def __init__(self):
        self.began, self.failed = time.monotonic(), False

    def say(self, what, problems=()):
        took, self.began = time.monotonic() - self.began, time.monotonic()
        print(f"- {what}, {took:.1f} s", flush=True)
        for problem in problems:
            self.failed = True
            print(f"    {problem}", flush=True)


def main(tools, serve):
    report = Report()
    files = sorted((ROOT / "grafana/dashboards").glob("*.json"))
    dashboards = {file.stem: json.loads(file.read_text("utf-8")) for file in files}
    assert len(dashboards) == 3 and all(each["uid"] == uid for uid, each in dashboards.items()), list(dashboards)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        known, count = world(tools, folder)
        report.say(f"a world of {count} series")
        checker = Checker(dashboards, known)
        for uid, dashboard in dashboards.items():
            report.say(f"{uid}: schema, laws, names", checker.static(dashboard))
        report.say(f"shown nowhere: {', '.join(unshown(dashboards.values(), known)) or 'nothing'}")
        with Prometheus(tools / "prometheus", folder / "data", folder) as prometheus:
            for uid, dashboard in dashboards.items():
                report.say(f"{uid}: answers", Questions(dashboard, prometheus, END).problems())
            report.say(f"{len(expected.SAID)} answers are right", expected.problems(dashboards, prometheus, END))
            if not report.failed:
                count, missed = unnoticed(checker, prometheus, END)
                report.say(f"{count} ways to break a dashboard", missed)
            if serve:
                print(f"{prometheus.url} {END}", flush=True)
                sys.stdin.read()
    return report.failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--serve" in sys.argv))
