"""Does what a document tells its reader to do, and looks whether what it shows is true.

`read_along.py BINARY TOOLS FOLDER DOCUMENT [HEADING]`, as root, in namespaces of its own, which documents.py sees to: then
every port is free, /tmp is ours, and whatever is started ends with us.

Commands are typed as they stand, one after the other. What is shown below a command must come out of it, whole; `…`
stands for anything, and a line of it for any lines. Times of day, ports that the system chose and the digits
after a point at the end of a line differ each time, and may. Below a command that shows nothing anything may come out,
but it must succeed. A reader looks again after a while, and so do we.

Two things are not what the reader has. For `cargo` and `sudo` something stands in: what they would build and install is
there already. And the files in deploy/prometheus are hurried, so that nobody waits for minutes.
"""

import fcntl
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from hurry import hurry

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60
STAND_INS = {
    "cargo": """\
case "$*" in
    "build --release") mkdir -p target/release && ln -sf /tmp/bin/balance-exporter target/release/ ;;
    "run --release -- "*) shift 3 && exec balance-exporter "$@" ;;
    test) ;;
    *) echo "nothing stands in for: cargo $*" >&2; exit 1 ;;
esac
""",
    "sudo": """\
case "$*" in
    "apt-get install "* | "systemctl stop "*) ;;
    *) echo "nothing stands in for: sudo $*" >&2; exit 1 ;;
esac
""",
}
VARYING = [
    (r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.\d+)?(Z| UTC)", r"\\d{4}-\\d\\d-\\d\\d\1\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?\2"),
    (r"(?<=127\\.0\\.0\\.1:)[3-6]\d{4}\b", r"\\d+"),
    (r"(?<=\\} )\d+\\\.\d+$", r"\\d+(?:\\.\\d+)?"),
]


def steps(text, heading=None):
    """The commands of the console blocks, and what is shown below each; only those under a heading, if one is given."""
    if heading:
        text = re.search(rf"(?ms)^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text).group(2)
    found = []
    for block in re.findall(r"(?ms)^ *```console\n(.*?)^ *```$", text):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part).group()
            found.append((command.strip(), part[len(command) :].strip("\n")))
    return found


def pattern(shown):
    """What is shown, as an expression that what came out must match."""
    lines = []
    for line in shown.split("\n"):
        if line == "…":
            lines.append(r"(?:.*\n)*?")
            continue
        line = re.escape(line.rstrip()).replace("…", ".*").replace("\\ ", " ").replace("\\-", "-")
        for varying, meant in VARYING:
            line = re.sub(varying, meant, line)
        lines.append(line + r" *\n")
    return "".join(lines)


class Terminal:
    """Runs commands one after the other, each in a bash that goes on where the one before left off."""

    def __init__(self, folder, environment):
        self.state = folder / "state"
        self.state.write_text(f"cd {folder}\n", "utf-8")
        self.environment = environment

    def type(self, command):
        """The process, and what comes out of it, which grows."""
        main, other = pty.openpty()
        line = f". {self.state}; set -a\n{command}\nstatus=$?\n{{ export -p; echo cd \"$PWD\"; }} > {self.state}\nexit $status\n"
        process = subprocess.Popen(
            ["bash", "-c", line], stdin=subprocess.DEVNULL, stdout=other, stderr=other, env=self.environment
        )
        os.close(other)
        out = bytearray()

        def listen():
            while True:
                try:
                    some = os.read(main, 65536)
                except OSError:
                    return
                out.extend(some)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        return process, out, listener


def text_of(out):
    return bytes(out).decode("utf-8", errors="replace").replace("\r\n", "\n")


def follow(terminal, command, shown):
    """Types a command and waits until it has shown what the document shows."""
    end, said = time.monotonic() + PATIENCE, ""
    while True:
        process, out, listener = terminal.type(command)
        goes_on = command.endswith("&") or shown.endswith("…")
        while time.monotonic() < end:
            ended = process.poll() is not None
            if ended and not command.endswith("&"):
                listener.join(5)
            said = text_of(out) or said
            if not shown:
                if ended and process.returncode == 0:
                    return
            elif ended and not command.endswith("&"):
                if re.fullmatch(pattern(shown), said.rstrip("\n") + "\n"):
                    return
            elif goes_on and re.match(pattern(shown), said):
                return
            if ended and not command.endswith("&"):
                break
            time.sleep(0.05)
        if time.monotonic() > end or not shown:
            raise AssertionError(f"$ {command}\n--- should show\n{shown or '(nothing, and succeed)'}\n--- shows\n{said}")
        time.sleep(1)


def check_itself():
    assert steps("## A\n```console\n$ a \\\n   b\nc\n\nd\n$ e\n```\n## B\n```console\n$ f\n```\n", "A") == [
        ("a \\\n   b", "c\n\nd"),
        ("e", ""),
    ]
    for shown, said, same in [
        ("a\n…", "a\nb\n", True),
        ("a\n…\nc", "a\nc\n", True),
        ("a…c", "abc\n", True),
        ("a.c", "abc\n", False),
        ("at 2026-11-21T23:48:44Z", "at 2026-11-22T00:00:00Z\n", True),
        ("http://127.0.0.1:40085/x", "http://127.0.0.1:35001/x\n", True),
        ("http://127.0.0.1:10920/x", "http://127.0.0.1:10921/x\n", False),
        ('a{b="c"} 12.34', 'a{b="c"} 5\n', True),
        ('a{b="c"} 1234', 'a{b="c"} 5\n', False),
        ("has 9000.00 PEN", "has 9000.01 PEN\n", False),
    ]:
        assert bool(re.fullmatch(pattern(shown), said)) == same, (shown, said)


def prepare(binary, tools, folder):
    """A copy of what the reader needs at /tmp/copy, where /tmp is ours alone, and the loopback of our own network."""
    for name in ("bin", "tools", "copy", "stand-ins"):
        (folder / name).mkdir(parents=True)
    shutil.copy(binary, folder / "bin" / "balance-exporter")
    hurry(ROOT / "deploy" / "prometheus", folder / "copy" / "deploy" / "prometheus")
    for name, script in STAND_INS.items():
        (folder / "stand-ins" / name).write_text(f"#!/bin/sh\n{script}", "utf-8")
        (folder / "stand-ins" / name).chmod(0o755)
    subprocess.run(["mount", "--bind", tools, folder / "tools"], check=True)
    subprocess.run(["mount", "--rbind", folder, "/tmp"], check=True)
    with socket.socket() as any_socket:
        up = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, up + bytes(8))  # SIOCSIFFLAGS


def main(binary, tools, folder, document, heading=None):
    check_itself()
    todo = steps((ROOT / document).read_text("utf-8"), heading)
    assert todo, f"{document} tells nobody to do anything"
    prepare(Path(binary), Path(tools), Path(folder))
    path = f"/tmp/stand-ins:/tmp/bin:/tmp/tools:{os.defpath}:/usr/sbin:/sbin"
    terminal = Terminal(Path("/tmp/copy"), {"PATH": path, "TERM": "dumb", "HOME": "/tmp"})
    for command, shown in todo:
        began = time.monotonic()
        follow(terminal, command, shown)
        print(f"  ok  {command.splitlines()[0][:90]} ({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
