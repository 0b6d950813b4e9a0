"""Time that this machine ran: a virtual machine that its host halts loses seconds, and no program is late by them.

A thread looks at the clock many times a second. By whatever it comes too late, beyond what threads that compete for
processors and for Python's lock make usual, nobody ran.
"""

import threading
import time

TICK, USUAL = 0.02, 0.25
# when the thread looked last, and the seconds that were lost until then
_seen = (time.monotonic(), 0.0)


def _without_pauses(now):
    looked, lost = _seen
    return (now, lost + now - looked - TICK) if now - looked > USUAL else (now, lost)


def _look():
    global _seen
    while True:
        time.sleep(TICK)
        _seen = _without_pauses(time.monotonic())


threading.Thread(target=_look, daemon=True, name="stopwatch").start()


def seconds_run():
    """For differences: those of `time.monotonic`, less those in which nobody ran."""
    now, lost = _without_pauses(time.monotonic())
    return now - lost
