"""The documents that tell a reader what to type, each read along in namespaces of its own, beside everything else."""

import sys
from pathlib import Path

from program import Program

HERE = Path(__file__).resolve().parent
READ = [("docs/getting-started.md",), ("README.md", "Try it")]
ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Reader(Program):
    def __init__(self, binary, tools, folder, logs, what):
        own = folder / "-".join(what).replace("/", "-").replace(" ", "-").lower()
        own.mkdir()
        command = [*ALONE, sys.executable, HERE / "read_along.py", binary, tools, own, *what]
        super().__init__(f"reader of {' '.join(what)}".replace("/", " "), command, logs)


def readers(binary, tools, folder, logs):
    return [Reader(binary, tools, folder, logs, what) for what in READ]


def documents_are_true(bench):
    for reader in bench.readers:
        status = reader.process.wait(120)
        assert status == 0, f"what the {reader.name} found is in its log"
        for line in reader.log.splitlines():
            print(f"    {line}")
