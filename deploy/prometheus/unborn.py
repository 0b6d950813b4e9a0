#!/usr/bin/env python3
"""Plays the scenarios again as they are with `every_reason: false`: `unborn.py PROMTOOL`.

There a series of failures begins with its first failure, and does not exist while it would be 0. Everything else is as
the scenarios say, and so must be what fires. What is recorded in between is not compared: a failure is of late from when
it is first seen, which is up to a scrape later than the last time that it was not.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
VALUES = re.compile(r"(series: 'balance_poll_failures_total\{[^\n]*\n\s*values: ')([^']*)'")


def unborn(values):
    """The same samples but for those that are 0. `axn` stands for a and n more like it, `_xn` for n that are missing."""
    words = []
    for word in values.split():
        zeros = re.fullmatch(r"0x(\d+)", word)
        rising = re.fullmatch(r"0\+(\d+)x(\d+)", word)
        if zeros:
            word = f"_x{int(zeros[1]) + 1}"
        elif rising:
            word = f"_ {rising[1]}+{rising[1]}x{int(rising[2]) - 1}"
        elif word == "0":
            word = "_"
        words.append(word)
    return " ".join(words)


def main(promtool):
    changed = 0
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for file in sorted((HERE / "tests").glob("*.yml")):
            if file.name == "recorded.yml":
                continue
            text, found = VALUES.subn(lambda match: f"{match[1]}{unborn(match[2])}'", file.read_text())
            changed += found
            files.append(pathlib.Path(folder) / file.name)
            files[-1].write_text(text.replace("../", f"{HERE}/"))
        if not changed:
            sys.exit("no scenario has a series of failures: this tries nothing")
        played = subprocess.run([promtool, "test", "rules", *files], check=False)
    print(f"{changed} series of failures begin with the first")
    sys.exit(played.returncode)


if __name__ == "__main__":
    main(sys.argv[1])
