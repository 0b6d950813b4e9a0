"""A place to end badly on: a sandbox, an exporter with a state, and what must be true of every life of it."""

import subprocess
import threading
import time

import window
from answer import ask
from config import Config
from exporter import Scrape
from program import Program, free_port
from sandbox import Sandbox
from stopwatch import seconds_run

# so tight that the limits decide what is sent; the long ones would show what a restart forgets
LIMITS = {
    "dialog": [(6, 10), (75, 120)],
    "payby": [(3, 10)],
    "bridge": [(4, 11), (90, 300)],
    "smilepayz": [(7, 12)],
}
FRESH_FOR = 12


class Life(Program):
    """The exporter from a start to an end; it is not waited for."""

    def __init__(self, ground, prefix=()):
        arguments = [*prefix, ground.binary, "--config.file", ground.config.path, "--log.level", "debug"]
        arguments += ["--web.listen-address", f"127.0.0.1:{ground.port}", "--web.enable-lifecycle"]
        super().__init__(f"{ground.name}-exporter", arguments, ground.logs)
        self.ground = ground
        self.url = f"http://127.0.0.1:{ground.port}"

    def scrape(self):
        """What it says now, judged; `None` while it does not serve."""
        before = time.time()
        try:
            answer = ask(f"{self.url}/metrics")
        except ConnectionError:
            return None
        assert answer.status == 200, f"/metrics answers {answer.status}"
        scrape = Scrape(answer.text, before, time.time())
        self.ground.judge(scrape)
        return scrape

    def first_scrape(self, seconds=10):
        end = seconds_run() + seconds
        while seconds_run() < end:
            if scrape := self.scrape():
                self.ground.starts.append(seconds_run() - self.started)
                return scrape
            assert self.process.poll() is None, f"it has ended with {self.process.returncode}:\n{self.log}"
            time.sleep(0.005)
        raise AssertionError(f"it does not serve after {seconds} s:\n{self.log}")

    def until(self, condition, seconds, what):
        """The first scrape of which this is true."""
        end = seconds_run() + seconds
        while seconds_run() < end:
            if (scrape := self.scrape()) and condition(scrape):
                return scrape
            time.sleep(0.05)
        raise AssertionError(f"{self.name}: not within {seconds} s: {what}\n{self.log[-3000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Ground:
    """One sandbox, one configuration and one state, for as many lives as it takes."""

    def __init__(self, bench, running, name, limits=LIMITS, state="state", more=()):
        self.binary, self.logs, self.name = bench.binary, bench.logs, name
        self.folder = bench.folder / name
        self.sandbox = running.enter_context(
            Sandbox(bench.binary, self.folder, bench.logs, name=f"{name}-sandbox", more=more)
        )
        self.config = Config(self.folder / "exporter.yaml", limits, state, interval="8s")
        self.state = self.folder / state
        self.limits, self.port = limits, free_port()
        self.configured = {(each["provider"], each["account"]) for each in self.sandbox.state()["accounts"]}
        self.counted, self.starts, self.scrapes, self.judging = {}, [], 0, threading.Lock()
        # by the exporter's own word of when it was; it has no word if its clock is not ours
        self.judging_ages = True

    def file(self, ending):
        return self.state.with_name(f"{self.state.name}.{ending}")

    def life(self, prefix=()):
        return Life(self, prefix)

    def judge(self, scrape, counters=True):
        """No number past its age, no account missing, no counter set back."""
        if self.judging_ages:
            scrape.check_freshness(FRESH_FOR)
        for name in ("balance_fresh", "balance_polls_total"):
            assert set(scrape.values(name)) == self.configured, f"{name} is not there for every account"
        with self.judging:
            self.scrapes += 1
            for name, labels, value in scrape.samples:
                if counters and name.endswith("_total") and not name.startswith(("balance_exporter_", "process_")):
                    place = (name, *sorted(labels.items()))
                    before = self.counted.get(place, 0)
                    assert float(value) >= before, f"set back from {before} to {value}: {place}"
                    self.counted[place] = float(value)

    def total(self, name):
        return sum(value for place, value in self.counted.items() if place[0] == name)

    def judge_next_start(self):
        """The start after a disk that did not take what was sent: it waits as if each window were full. Returns its log."""
        # what could not be kept was shown all the same: here a counter may be set back
        self.counted.clear()
        with self.life() as life:
            life.first_scrape()
            arrived = len(self.sandbox.arrivals())
            time.sleep(3)
            assert len(self.sandbox.arrivals()) == arrived, "requests are sent into a window that may be full"
            life.until(lambda scrape: written(scrape) == 1, 15, "the state is written again")
            life.kill()
            return life.log

    def judge_arrivals(self):
        """Over all lives: what the configuration promises, and what the providers themselves allow."""
        arrivals = self.sandbox.arrivals()
        assert len(arrivals) < 20_000, "the sandbox has forgotten what arrived first"
        for limits in (self.limits, self.sandbox.limits()):
            found, filled = window.overruns(arrivals, limits)
            assert not found, f"{self.name}: {found}"
        return len(arrivals), {f"{name} {seconds} s": most for (name, seconds), most in window.overruns(arrivals, self.limits)[1].items()}


def written(scrape):
    return scrape.one("balance_exporter_state_write_success")


def run(arguments):
    return subprocess.run([str(each) for each in arguments], capture_output=True, text=True, timeout=30, check=True)
