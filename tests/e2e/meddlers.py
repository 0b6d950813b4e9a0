"""What meddles with system calls and clocks from outside: strace on disks, libfaketime on the wall clock.

Where the machine does not let them, the step says so and is not tried.
"""

import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from ground import FRESH_FOR, LIMITS, written
from program import until
from stopwatch import seconds_run

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@contextmanager
def injected(ground, life, fault, calls="fsync,fdatasync"):
    """For as long as this lasts, these calls of the exporter end so; `None` is given where that is not allowed."""
    strace = shutil.which("strace")
    if not strace:
        yield None
        return
    arguments = [strace, "-f", "-q", "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}", "-p", str(life.process.pid)]
    log = ground.logs / f"{ground.name}-strace.log"
    with log.open("ab") as out:
        tracer = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield tracer if attached(life.process.pid, tracer) else None
        finally:
            # its end lets go of whom it traces, and the calls are the kernel's again; asked to end, it would wait for them
            tracer.kill()
            tracer.wait()


def attached(pid, tracer):
    """True once every thread is traced."""
    def traced():
        tracers = [tracer_of(task) for task in Path(f"/proc/{pid}/task").iterdir()]
        return all(each == tracer.pid for each in tracers) or tracer.poll() is not None

    until(traced, 10, "strace has attached")
    return tracer.poll() is None


def tracer_of(task):
    try:
        status = (task / "status").read_text("ascii")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid:")), None)


def failing_fsync(ground, chance, told):
    """What was not synced is not believed: polling goes on, a metric tells, the next start takes the limits for spent."""
    tried = []
    for error in ("EIO", "ENOSPC"):
        with ground.life() as life:
            life.first_scrape()
            life.until(lambda scrape: written(scrape) == 1 and scrape.balances(), 20, "the state is written")
            with injected(ground, life, f"error={error}") as strace:
                if strace is None:
                    told["failing fsync"] = "NOT TRIED: there is no strace, or it may not trace"
                    return
                life.until(lambda scrape: written(scrape) == 0, 20, f"{error} is noticed")
                until(lambda: not ground.file("limits").exists(), 30, "what could not be written is forgotten")
                arrived = len(ground.sandbox.arrivals())
                until(lambda: len(ground.sandbox.arrivals()) > arrived, 20, "polling goes on")
                life.kill()
        ground.judge_next_start()
        tried.append(error)
    # now and then, and killed at any time: the book never says less than was sent
    kills = 6
    for _ in range(kills):
        with ground.life() as life:
            life.first_scrape()
            with injected(ground, life, f"error=EIO:when={chance.randrange(1, 5)}+{chance.randrange(2, 5)}"):
                time.sleep(chance.uniform(0.2, 2.5))
                life.scrape()
                life.kill()
        ground.counted.clear()
    arrived, _ = ground.judge_arrivals()
    told["failing fsync"] = f"{', '.join(tried)}: noticed, polling went on, the next start waited; then {kills} kills; {arrived} requests"


def slow_disk(ground, chance, told):
    """A sync that takes half a minute delays no scrape, and not the end."""
    with ground.life() as life:
        life.first_scrape()
        life.until(lambda scrape: written(scrape) == 1 and scrape.balances(), 20, "the state is written")
        with injected(ground, life, "delay_enter=30000000") as strace:
            if strace is None:
                told["slow disk"] = "NOT TRIED: there is no strace, or it may not trace"
                return
            slowest, end = 0, seconds_run() + 8
            while (began := seconds_run()) < end:
                life.scrape()
                slowest = max(slowest, seconds_run() - began)
                time.sleep(0.1)
            assert slowest < 1, f"a scrape took {slowest:.2f} s"
            asked = seconds_run()
            life.signal(signal.SIGTERM)
            # the kernel keeps a process until all its calls have returned, or strace is gone: this is its last word
            until(lambda: life.log.rstrip().endswith("stopped"), 8, "it has stopped")
            took = seconds_run() - asked
            assert took <= 6, f"told to stop, it takes {took:.1f} s"
            assert "the disk is too slow" in life.log, life.log[-2000:]
        assert life.process.wait(5) == 0, f"it ends with {life.process.returncode}"
    with ground.life() as life:
        life.first_scrape()
        life.stop()
    ground.judge_arrivals()
    told["slow disk"] = f"slowest scrape {slowest:.3f} s, SIGTERM to the end {took:.2f} s"


# as the time file of libfaketime has them
STEPS = [[("+1h", 3_600), ("-1d", -86_400)], [("+1d", 86_400), ("-1h", -3_600)]]


def clock_set(ground, chance, told):
    """The wall clock is set back and forth under it: no window is widened, and no number is shown for longer."""
    if not FAKETIME:
        told["wall clock"] = "NOT TRIED: there is no libfaketime"
        return
    hands = ground.folder / "hands"

    def set_to(text):
        # at once: a file that is half written is no time
        hands.with_suffix(".new").write_text(f"{text}\n", "ascii")
        hands.with_suffix(".new").rename(hands)

    set_to("+0")
    prefix = ["env", f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={hands}", "FAKETIME_NO_CACHE=1"]
    prefix += ["DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"]
    seen = 0
    ground.judging_ages = False
    for steps in STEPS:
        # files of another time are not believed, and what they count begins anew
        ground.counted.clear()
        with ground.life(prefix) as life:
            life.first_scrape()
            for text, seconds in steps:
                set_to(text)
                polls = sum(life.scrape().values("balance_polls_total").values())
                scrape = life.until(
                    lambda scrape: sum(scrape.values("balance_polls_total").values()) >= polls + 4, 30, f"{text}: it polls on"
                )
                polled = scrape.values("balance_last_poll_timestamp_seconds").values()
                seen += any(abs(at - time.time() - seconds) < 60 for at in polled)
            if steps is STEPS[-1]:
                gone = numbers_go_in_time(ground, life)
            life.kill()
    arrived, _ = ground.judge_arrivals()
    assert seen == 4, f"the clock was set {seen} times only"
    told["wall clock"] = f"set {seen} times by up to a day, {arrived} requests; set back, numbers go after {gone:.1f} s"


# a start that does not believe its files waits for the longest window
clock_set.ground = {"limits": {provider: windows[:1] for provider, windows in LIMITS.items()}}


def numbers_go_in_time(ground, life):
    """All providers hang, and the clock was set back: what was known is gone when its time is over, all the same."""
    life.until(lambda scrape: scrape.balances(), 60, "some numbers")
    for provider, account in ground.configured:
        ground.sandbox.order(provider, account, fault="hang")
    silent = time.monotonic()
    life.until(lambda scrape: not scrape.balances(), FRESH_FOR + 4, "numbers go although the clock was set back")
    return time.monotonic() - silent
