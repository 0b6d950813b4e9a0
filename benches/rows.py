"""What can be measured: each row, how large it is in earnest, and how small in the smoke."""

import dataclasses
import typing

import answers
import endurance
import growth
import polls
import rhythm


@dataclasses.dataclass(frozen=True)
class Part:
    """A measurement, and the name by which it is kept."""

    name: str
    measure: typing.Callable
    full: dict
    # none if another part does the same in the smoke
    smoke: dict | None


TENTHS = {"hang": 10, "garbage": 10, "throttle": 10}
SIZES = [100, 1_000, 10_000, 100_000]

ROWS = {
    "S": [
        Part("S small", answers.answering, {"accounts": 1_000, "rounds": 8}, None),
        Part("S large", answers.answering, {"accounts": 10_000, "rounds": 6}, {"accounts": 100, "rounds": 2, "idle_ms": 50}),
        Part("S4", answers.tail, {"accounts": 1_000, "scrapes": 200}, {"accounts": 100, "scrapes": 3}),
        Part("S5", answers.prometheus, {"accounts": 10_000, "scrapes": 12, "interval_s": 5},
             {"accounts": 50, "scrapes": 2, "interval_s": 1}),
    ],
    "P": [
        Part("P", polls.polling, {"accounts": 10_000, "interval_s": 10, "rounds": 5, "seconds": 4, "scripted": 1_000},
             {"accounts": 100, "interval_s": 5, "rounds": 1, "seconds": 1, "scripted": 20}),
        Part("P2", polls.signing, {"accounts": 5_000, "interval_s": 10, "rounds": 5, "seconds": 4, "signatures": 1_000},
             {"accounts": 100, "interval_s": 5, "rounds": 1, "seconds": 1, "signatures": 20}),
        Part("P3", polls.refreshing, {"accounts": 10_000, "delay_ms": 50, "rounds": 3},
             {"accounts": 50, "delay_ms": 50, "rounds": 1}),
    ],
    "L": [
        Part("L1", rhythm.rhythm, {"accounts": 10_000, "interval": "1m", "seconds": 30},
             {"accounts": 100, "interval": "5s", "seconds": 2}),
        Part("L1 ahead", rhythm.rhythm, {"accounts": 10_000, "interval": "1m", "seconds": 30, "ahead": True}, None),
        Part("L1 large", rhythm.rhythm, {"accounts": 100_000, "interval": "10m", "seconds": 60}, None),
        Part("L2", rhythm.rhythm, {"accounts": 10_000, "interval": "1m", "seconds": 30, "faults": {**TENTHS, "retry_after": 30}},
             # fewer would be all in the blocks with faults
             {"accounts": 1_000, "interval": "5s", "seconds": 3, "faults": TENTHS}),
        Part("S6", rhythm.rhythm, {"accounts": 10_000, "interval": "1m", "seconds": 30, "at_once": 50},
             {"accounts": 100, "interval": "5s", "seconds": 2, "at_once": 5}),
        Part("state", rhythm.with_state, {"accounts": 100_000, "interval": "10m", "seconds": 120},
             {"accounts": 100, "interval": "5s", "seconds": 7}),
    ],
    "M": [
        Part("M2", answers.readers, {"accounts": 10_000, "each_s": 6}, {"accounts": 100, "each_s": 0.5, "rest_s": 0}),
    ],
    "G": [
        Part("G", growth.growth, {"sizes": SIZES, "seconds": 10}, {"sizes": [50, 100], "seconds": 1, "rounds": 2}),
    ],
}


def soak(polls):
    return Part("soak", endurance.soak, {"polls": polls}, {"polls": 300, "grown": 0, "every_s": 1})


def named(names):
    """The parts by the letter of their row, by their own name, or by the beginning of it."""
    parts = []
    for name in names.split(","):
        found = ROWS.get(name) or [part for row in ROWS.values() for part in row if part.name.split()[0] == name or part.name == name]
        if not found:
            raise SystemExit(f"no row {name}; there are {', '.join(ROWS)} and in them "
                             + ", ".join(part.name for row in ROWS.values() for part in row))
        parts += [part for part in found if part not in parts]
    return parts
