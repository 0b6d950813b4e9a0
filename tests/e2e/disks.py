"""Disks in trouble: full, read-only, and with files that somebody else wrote or something damaged."""

import os
import time
from contextlib import contextmanager

from ground import run, written
from program import until


@contextmanager
def mounted(ground, *options):
    """A small file system of its own under the state; needs root."""
    place = ground.state.parent
    place.mkdir(exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", ",".join(["size=64k", "mode=700", *options]), "tmpfs", place])
    try:
        yield place
    finally:
        run(["umount", place])


def full(ground, chance, told):
    """Polling goes on, a metric tells, and the next start takes the limits for spent."""
    if os.geteuid() != 0:
        told["full disk"] = "NOT TRIED: that needs root"
        return
    with mounted(ground) as place:
        with ground.life() as life:
            life.first_scrape()
            life.until(lambda scrape: written(scrape) == 1 and scrape.balances(), 10, "the state is written")
            fill(place)
            life.until(lambda scrape: written(scrape) == 0, 15, "the full disk is noticed")
            arrived = len(ground.sandbox.arrivals())

            def no_room_for_the_book():
                # each replacement frees what the one before it took
                fill(place)
                return not ground.file("limits").exists()

            until(no_room_for_the_book, 30, "what could not be written is forgotten", pause=0.005)
            until(lambda: len(ground.sandbox.arrivals()) > arrived, 15, "polling goes on")
            life.kill()
        (place / "ballast").unlink()
        log = ground.judge_next_start()
        assert "each limit is taken for spent" in log, log
    ground.judge_arrivals()
    told["full disk"] = "noticed, polling went on, the next start waited"


full.ground = {"state": "disk/state"}


def fill(place):
    with open(place / "ballast", "ab", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(512))
        except OSError:
            pass


def read_only(ground, chance, told):
    if os.geteuid() != 0:
        told["read-only disk"] = "NOT TRIED: that needs root"
        return
    with mounted(ground) as place:
        with ground.life() as life:
            life.until(lambda scrape: written(scrape) == 1 and scrape.balances(), 10, "the state is written")
            life.stop()
        run(["mount", "-o", "remount,ro", place])
        ground.counted.clear()
        with ground.life() as life:
            scrape = life.first_scrape()
            assert written(scrape) == 0, "nothing can be written, and the metric does not tell"
            life.until(lambda scrape: scrape.balances(), 20, "polling goes on without a state")
            life.kill()
        run(["mount", "-o", "remount,rw", place])
        ground.counted.clear()
        with ground.life() as life:
            life.first_scrape()
            life.until(lambda scrape: written(scrape) == 1, 15, "the state is written again")
    ground.judge_arrivals()
    told["read-only disk"] = "noticed, polling went on"


read_only.ground = {"state": "disk/state"}

NEWER = b'balance-exporter-state 2 limits 7 00ff\n{"future":true}'
FOREIGN = b"#!/bin/sh\necho this is somebody's script\n"


def files_of_others(ground, chance, told):
    """Newer, foreign and damaged files: the first two are left alone, the third is set aside, all are distrusted."""
    parts = [ground.state, ground.file("limits"), ground.file("sessions")]
    tried = 0
    with ground.life() as life:
        life.until(lambda scrape: scrape.balances(), 10, "some balances")
        life.stop()
    sound = {part: part.read_bytes() for part in parts if part.exists()}
    assert len(sound) >= 2, list(ground.folder.iterdir())
    for kind in ("newer", "foreign", "damaged"):
        planted = {}
        for part in parts:
            good = sound.get(part, sound[ground.state])
            at = chance.randrange(len(good) // 2, len(good))
            damaged = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
            planted[part] = {"newer": NEWER, "foreign": FOREIGN, "damaged": damaged}[kind]
            for each in part.parent.glob(f"{part.name}.previous"):
                each.unlink()
            part.write_bytes(planted[part])
        ground.counted.clear()
        with ground.life() as life:
            life.first_scrape()
            arrived = len(ground.sandbox.arrivals())
            time.sleep(2)
            assert len(ground.sandbox.arrivals()) == arrived, f"{kind}: requests are sent into a window that may be full"
            told_by_metric = written(life.scrape())
            life.until(lambda scrape: scrape.balances(), 15, f"{kind}: polling goes on")
            if kind == "damaged":
                kept = {each.read_bytes() for each in ground.folder.glob("state*.corrupt-*")}
                assert set(planted.values()) <= kept, "a damaged file is not kept for people"
            else:
                life.until(lambda scrape: written(scrape) == 0, 10, f"{kind}: the metric tells (it said {told_by_metric})")
                for part, content in planted.items():
                    assert part.read_bytes() == content, f"{kind}: {part.name} was overwritten"
            life.stop()
        tried += len(planted)
    ground.judge_arrivals()
    told["files of others"] = f"{tried} newer, foreign and damaged ones"
