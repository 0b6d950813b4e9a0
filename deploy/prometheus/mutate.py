#!/usr/bin/env python3
"""Spoils the rules in one place after the other and looks whether a scenario objects: `mutate.py PROMTOOL [WORD...]`.

Takes minutes, so it is run by hand, after a change of rules.yml, alerts.yml or tests/. Each mutant is one change: a
number or a duration doubled or halved, a comparison turned, an operand of `and`, `or` or `unless` left out, a label
matcher left out, a severity swapped, a `for` removed. What no scenario objects to is printed at the end, by its line.
With words, only the rules whose names contain one of them are spoiled.

Some mutants mean the same as the rule: `alertstate="firing"` of an alert without `for`, one of two `severity` that
are matched with each other, and a comparison turned where no value can stand at the edge. They remain in the list.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = ("rules.yml", "alerts.yml")
# a mutant is done with at the first objection, and the first file is the quickest
SCENARIOS = ("edges.yml", "recorded.yml", "windows.yml", "exporter.yml", "knowledge.yml", "polls.yml", "money.yml", "day.yml", "runway.yml")

# promtool's own garbage is small
QUICK = {"GOGC": "400"}

RULE = re.compile(r"(?m)^      - (?:alert|record): (\S+)\n(?:(?!      - |  - name:).*\n)*")
EXPRESSION = re.compile(r"(?m)^        expr: (?:\|\n((?:          .*\n)+)|(.*)\n)")
QUOTED = re.compile(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]")
TURNED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!="}
SEVERITY = {"warning": "critical", "critical": "warning"}


def scaled(number, factor):
    return f"{float(number) * factor:.10g}"


def operands(text):
    """Each `and`, `or` and `unless` with where its operands are; what is quoted or in brackets is not looked at."""
    blank = QUOTED.sub(lambda found: "." * len(found.group()), text)
    for operator in re.finditer(r"\b(and|or|unless)\b", blank):
        sides = []
        for step, start in ((-1, operator.start() - 1), (1, operator.end())):
            depth, at = 0, start
            while 0 <= at < len(blank):
                depth += {"(": step, ")": -step}.get(blank[at], 0)
                if depth < 0 or (depth == 0 and re.match(r"\b(?:and|or|unless)\b", blank[at:]) and not blank[at - 1].isalpha()):
                    break
                at += step
            # going back we stand on the first letter of the operator before, or on the bracket that holds us
            if step < 0 and at >= 0 and blank[at] != "(":
                at += len(re.match(r"\w+", blank[at:]).group()) - 1
            sides.append(at)
        yield operator, sides[0] + 1, sides[1]


def of_expression(text):
    """Every way to spoil an expression: what was done, and the expression then."""

    def put(start, end, new, what):
        return what, text[:start] + new + text[end:]

    blank = QUOTED.sub(lambda found: "." * len(found.group()), text)
    for found in re.finditer(r"(?<![\w.:])\d+(?:\.\d+)?(?![\w.:])", blank):
        # 0 * x is how a value is replaced, and twice nothing is nothing
        if float(found.group()):
            for factor in (2, 0.5):
                new = scaled(found.group(), factor)
                yield put(*found.span(), new, f"{found.group()} is {new}")
    for found in re.finditer(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])", text):
        number, unit = found.group()[:-1], found.group()[-1]
        seconds = int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        for new in (f"{seconds * 2}s", f"{seconds // 2}s"):
            yield put(*found.span(), new, f"[{found.group()}] is [{new}]")
    for found in re.finditer(r"(?<![<>=!])(?:<=|>=|==|<|>)(?![=])", blank):
        yield put(*found.span(), TURNED[found.group()], f"{found.group()} is {TURNED[found.group()]}")
    for braces in re.finditer(r"\{([^}]*)\}", text):
        matchers = re.findall(r"\w+(?:=~|!=|!~|=)\"[^\"]*\"", braces.group())
        for matcher in matchers:
            rest = ",".join(other for other in matchers if other != matcher)
            yield put(*braces.span(), f"{{{rest}}}", f"without {matcher}")
    for operator, first, last in operands(text):
        right = text[operator.start() : last]
        yield put(operator.start(), last, " ", f"without `{' '.join(right.split())}`")
        if operator.group() == "or":
            end = re.compile(r"(?:\s*on\s*\([^)]*\))?").match(text, operator.end()).end()
            left = text[first:end]
            yield put(first, end, " ", f"without `{' '.join(left.split())}`")


def of_file(text, words):
    """Every mutant of a rule file: the rule, its line, what was done, and the file then."""
    for rule in RULE.finditer(text):
        name, line = rule.group(1), text.count("\n", 0, rule.start()) + 1
        if words and not any(word in name for word in words):
            continue
        expression = EXPRESSION.search(text, *rule.span())
        group = 1 if expression.group(1) else 2
        for what, new in of_expression(expression.group(group)):
            if not new.endswith("\n") and group == 1:
                new += "\n"
            yield name, line, what, text[: expression.start(group)] + new + text[expression.end(group) :]
        for found in re.finditer(r"(?m)^        (?:for|keep_firing_for): (\d+)([mh])\n", rule.group()):
            start, end = rule.start() + found.start(), rule.start() + found.end()
            key, was = found.group().split()
            seconds = int(found.group(1)) * {"m": 60, "h": 3600}[found.group(2)]
            yield name, line, f"without {key} {was}", text[:start] + text[end:]
            for new in (f"{seconds * 2}s", f"{seconds // 2}s"):
                yield name, line, f"{key} {was} is {new}", f"{text[:start]}        {key} {new}\n{text[end:]}"
        for found in re.finditer(r"severity: (warning|critical)", rule.group()):
            start, end = rule.start() + found.start(1), rule.start() + found.end(1)
            other = SEVERITY[found.group(1)]
            yield name, line, f"severity {other}", text[:start] + other + text[end:]


def objects(promtool, file, name_of_rule, text):
    """The scenario file that objects to this mutant; `invalid` if Prometheus does; None if nobody does."""
    with tempfile.TemporaryDirectory(prefix="balance-exporter-mutant-") as name:
        folder = Path(name)
        shutil.copytree(HERE / "tests", folder / "tests")
        for other in FILES:
            (folder / other).write_text((HERE / other).read_text("utf-8"), "utf-8")
        (folder / file).write_text(text, "utf-8")

        def fails(*arguments):
            run = subprocess.run([promtool, *arguments], cwd=folder, env=QUICK, capture_output=True, check=False)
            return run.returncode != 0

        if fails("check", "rules", file):
            return "invalid"
        # those that speak of the rule most are the likeliest to object
        count = {each: (folder / "tests" / each).read_text("utf-8").count(name_of_rule) for each in SCENARIOS[1:]}
        likely = [SCENARIOS[0], *sorted(count, key=lambda each: -count[each])]
        return next((each for each in likely if fails("test", "rules", f"tests/{each}")), None)


def main(promtool, words):
    mutants = [(file, *mutant) for file in FILES for mutant in of_file((HERE / file).read_text("utf-8"), words)]
    survivors, invalid = [], []

    def judge(mutant):
        file, name, line, what, text = mutant
        by = objects(promtool, file, name, text)
        place = f"{file}:{line}: {name}: {what}"
        print(f"{by or 'NOBODY':14} {place}", flush=True)
        if by is None:
            survivors.append(place)
        elif by == "invalid":
            invalid.append(place)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(judge, mutants))
    print(f"\n{len(mutants)} mutants; {len(invalid)} are no rules at all; nobody objects to {len(survivors)}:")
    print("\n".join(sorted(survivors)))
    return bool(survivors or invalid)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
