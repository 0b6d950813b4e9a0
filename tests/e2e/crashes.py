"""Ends that nobody planned: killed, told to stop, frozen, started twice, short of descriptors.

`CRASH_SEED` repeats what chance decided, `CRASH_CYCLES` is how often the exporter is killed (100), `CRASH_STOPS` how
often it is told to stop (200).
"""

import http.client
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import disks
import meddlers
import tokens
from answer import ask
from ground import FRESH_FOR, Ground
from program import Program, until
from stopwatch import seconds_run

SEED = int(os.environ.get("CRASH_SEED", random.randrange(1 << 32)))
CYCLES = int(os.environ.get("CRASH_CYCLES", 100))
STOPS = int(os.environ.get("CRASH_STOPS", 200))
SHARES = 3
LONGEST = 1.2
# now and then a life is long enough to write down what it knows of the accounts
LONG_EVERY, LONG = 25, 7.0


def killed_again_and_again(ground, chance, told):
    seen_before = served = 0
    for cycle in range(CYCLES):
        end = LONG if cycle % LONG_EVERY == LONG_EVERY // 2 else chance.uniform(0, LONGEST)
        with ground.life() as life:
            end += life.started
            first = None
            while (left := end - seconds_run()) > 0:
                if (scrape := life.scrape()) and first is None:
                    first = scrape
                    ground.starts.append(seconds_run() - life.started)
                    seen_before += bool(scrape.balances())
                assert life.process.poll() is None, f"it has ended by itself:\n{life.log}"
                time.sleep(min(0.02, max(left, 0)))
            served += first is not None
            life.kill()
    arrived, filled = ground.judge_arrivals()
    slowest = max(ground.starts)
    assert slowest <= 2, f"a first scrape came {slowest:.2f} s after the start"
    polls = ground.total("balance_polls_total")
    assert arrived > 20 and polls > 12 and seen_before > 0, (arrived, polls, seen_before)
    told["killed"] = f"{CYCLES} times, {served} served, {ground.scrapes} scrapes, {arrived} requests, {polls:.0f} polls"
    told["killed: fullest windows"] = ", ".join(f"{place}: {most}" for place, most in filled.items())
    told["killed: start to first scrape, slowest"] = f"{slowest:.3f} s; {seen_before} of {served} had balances at once"


def what_was_known_is_served(ground, chance, told):
    """The numbers of the last life, at their true age, from the first scrape on; and not a moment too long."""
    with ground.life() as life:
        life.first_scrape()
        life.until(lambda scrape: all(scrape.values("balance_polls_total").values()), 20, "all accounts are polled")
        before = life.until(lambda scrape: len(scrape.balances()) >= 12, 1, "all are shown")
        time.sleep(0.2)
        life.kill()
    for provider, account in ground.configured:
        ground.sandbox.order(provider, account, fault="hang")
    name = "balance_last_success_timestamp_seconds"
    end = time.monotonic() + FRESH_FOR + 1
    with ground.life() as life:
        first = life.first_scrape()
        assert first.balances(), "nothing is remembered"
        known, shown = first.values(name), before.values(name)
        for place, value in first.balances().items():
            assert before.balances()[place] == value, f"{place}: {value} was never said"
            assert 0 < known[place[:2]] <= shown[place[:2]], f"{place}: younger than when it was read"
        while (asked := time.monotonic()) and life.scrape().balances():
            assert asked < end, "a number is shown for too long"
            time.sleep(0.05)
        told["remembered"] = f"{len(first.balances())} figures at the first scrape, all gone in time"


def told_to_stop(number):
    """A third of all stops: each takes as long as the polls that are under way, so they are shared out."""

    def step(ground, chance, told):
        told[f"stopped ({number})"] = stopped(ground, chance, range(number, STOPS, SHARES))

    step.__name__ = f"told_to_stop_{number}"
    return step


def stopped(ground, chance, turns):
    slowest = scrapes = unanswered = 0
    for nth, _ in enumerate(turns):
        if nth in (10, 14):
            # what is under way may take a while to end
            ground.sandbox.order("bridge", "gh-operations", fault="hang" if nth == 10 else None)
        with ground.life() as life:
            life.first_scrape()
            results, over = [], threading.Event()

            def reader(life=life, results=results, over=over):
                while not over.is_set():
                    try:
                        answer = ask(f"{life.url}/metrics")
                        assert answer.text.endswith("\n") and "balance_fresh" in answer.text
                        results.append(None)
                    except http.client.IncompleteRead as cut:
                        results.append(cut)
                    except ConnectionError:
                        results.append("unanswered")

            thread = threading.Thread(target=reader)
            thread.start()
            try:
                # the first second has the most to interrupt
                time.sleep(LONGEST * chance.random() ** 4)
                status, took = life.stop()
            finally:
                over.set()
                thread.join()
            assert status == 0, f"told to stop, it ends with {status}:\n{life.log}"
            cut = [each for each in results if isinstance(each, Exception)]
            assert not cut, f"a scrape was cut short: {cut}"
            scrapes += results.count(None)
            unanswered += results.count("unanswered") > 0
            slowest = max(slowest, took)
    arrived, _ = ground.judge_arrivals()
    assert slowest <= 6, f"{slowest:.1f} s from SIGTERM to the end"
    return f"{len(turns)} times, slowest {slowest:.2f} s, {scrapes} whole scrapes meanwhile, {arrived} requests"


def started_twice(ground, chance, told):
    with ground.life() as first:
        first.first_scrape()
        other = ["--web.listen-address", "127.0.0.1:0"]
        began, refused = seconds_run(), 0
        for _ in range(5):
            second = Second(ground, other)
            status, text = second.ended()
            assert status == 3 and f"process {first.process.pid}:" in text, f"{status}: {text}"
            refused += 1
        told["started twice"] = f"{refused} refused in {seconds_run() - began:.2f} s, status 3"
        first.kill()
    with ground.life() as again:
        again.first_scrape()


class Second:
    """Another exporter with the same configuration, which must not run."""

    def __init__(self, ground, more):
        self.program = Program(f"{ground.name}-second", [ground.binary, "--config.file", ground.config.path, *more], ground.logs)

    def ended(self):
        with self.program:
            until(lambda: self.program.process.poll() is not None, 1, "it has ended", pause=0.005)
            return self.program.process.returncode, self.program.log


def frozen(ground, chance, told):
    """Stopped in its tracks and continued: old numbers are gone at the first scrape, and there is no burst."""
    naps = [1.0, chance.uniform(1, 3), FRESH_FOR + 0.5]
    with ground.life() as life:
        life.first_scrape()
        life.until(lambda scrape: scrape.balances(), 10, "some balances")
        for nap in naps:
            life.signal(signal.SIGSTOP)
            time.sleep(nap)
            life.signal(signal.SIGCONT)
            scrape = life.scrape()
            assert scrape, "it does not serve after it was frozen"
        polls = sum(scrape.values("balance_polls_total").values())
        life.until(lambda scrape: sum(scrape.values("balance_polls_total").values()) > polls, 20, "it polls again")
    ground.judge_arrivals()
    told["frozen"] = f"{len(naps)} times, up to {max(naps):.1f} s"


def short_of_descriptors(ground, chance, told):
    with ground.life(["prlimit", "--nofile=64:64"]) as life:
        life.first_scrape()
        held = []
        try:
            for _ in range(100):
                connection = http.client.HTTPConnection("127.0.0.1", ground.port, timeout=1)
                connection.connect()
                held.append(connection)
            time.sleep(6)
            assert life.process.poll() is None, f"it has ended:\n{life.log}"
            spent = cpu(life.process.pid)
            time.sleep(2)
            busy = (cpu(life.process.pid) - spent) / 2
        finally:
            for connection in held:
                connection.close()
        freed = seconds_run()
        life.until(lambda scrape: True, 5, "it serves again")
        polls = sum(life.scrape().values("balance_polls_total").values())
        life.until(lambda scrape: sum(scrape.values("balance_polls_total").values()) > polls, 20, "it polls again")
        assert busy <= 0.2, f"it spins: {busy:.0%} of a core"
        told["64 descriptors"] = f"{len(held)} connections held, {busy:.1%} of a core, back in {seconds_run() - freed:.1f} s"
    ground.judge_arrivals()


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


LANES = [
    [killed_again_and_again],
    [told_to_stop(0), frozen],
    [told_to_stop(1), started_twice],
    [told_to_stop(2)],
    [tokens.refresh_tokens_survive],
    [meddlers.failing_fsync, meddlers.slow_disk, meddlers.clock_set],
    [short_of_descriptors, disks.full, disks.read_only, disks.files_of_others, what_was_known_is_served],
]


def crashes_are_survived(bench):
    """All of them, side by side."""
    print(f"      CRASH_SEED={SEED}", flush=True)

    def lane(steps):
        for step in steps:
            began = time.monotonic()
            with ExitStack() as running:
                try:
                    ground = Ground(bench, running, step.__name__.replace("_", "-"), **getattr(step, "ground", {}))
                    step(ground, random.Random(f"{SEED} {step.__name__}"), bench.measured)
                except Exception as problem:
                    problem.add_note(f"in {step.__name__}")
                    raise
            print(f"      {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)

    with ThreadPoolExecutor(len(LANES)) as pool:
        wrong = [outcome.exception() for outcome in [pool.submit(lane, steps) for steps in LANES]]
    if wrong := [each for each in wrong if each]:
        raise ExceptionGroup("an end was not survived", wrong)
