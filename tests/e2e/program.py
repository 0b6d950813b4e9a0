"""A program that runs beside the tests: started without a terminal, logged to a file, stopped by its own id."""

import re
import signal
import socket
import subprocess
import time

from stopwatch import seconds_run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds, what, pause=0.05):
    """Waits for the first true value of `condition`; says what was missing if none comes in time."""
    end = seconds_run() + seconds
    while True:
        found = condition()
        if found:
            return found
        if seconds_run() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)


class Program:
    """Use it as a context: whatever happens inside, it is gone afterwards."""

    def __init__(self, name, arguments, logs):
        self.name = name
        self.log_file = logs / f"{name}.log"
        self.started = seconds_run()
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self):
        return self.log_file.read_text("utf-8", errors="replace")

    def address(self, pattern, seconds=10):
        """The first thing in the log that matches the one group of `pattern`."""

        def told():
            assert self.process.poll() is None, f"{self.name} has ended early:\n{self.log}"
            return re.search(pattern, self.log)

        return until(told, seconds, f"{self.name} tells its address").group(1)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=6):
        """Asks it to stop as a service manager would; its exit status, and how long it took."""
        asked = seconds_run()
        self.signal(signal.SIGTERM)
        until(lambda: self.process.poll() is not None, seconds, f"{self.name} has stopped", pause=0.005)
        return self.process.returncode, seconds_run() - asked

    def peak_memory(self):
        """The most that was resident at any time, in MiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            kib = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
        return int(kib) / 1024
