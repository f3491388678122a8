"""What goes wrong, one thing a night, in an order chosen by a seed: outages, kills, a full disk, a host name, certificates."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from tests.soak.clock import ShiftedClock
from tests.soak.front import Front
from tests.soak.machine import Machine

NIGHTS = 14
# An outage is played faster than it is: for each real second of waiting the clock moves on by so many.
OUTAGE_PACE = 10
STARTED_WITHIN_S = 180.0
DISK_FULL_S = 60.0
KINDS = (
    "outage 1", "outage 10", "outage 45", "kill run worker", "kill dbt", "kill daemon", "kill code server",
    "kill web server", "kill everything", "disk full", "host name", "certificate", "nothing", "nothing",
)  # fmt: skip


@dataclass
class Scene:
    """Everything that an event may touch. `say` writes to the log."""

    clock: ShiftedClock
    front: Front
    machine: Machine
    random: random.Random
    say: Callable[[str], None] = print

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Real seconds, in which the machine is kept up; ends early, and true, once `until` holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.machine.keep_up()
            if until():
                return True
            time.sleep(0.5)
        return until()

    def night_reads(self) -> bool:
        """Wait until tonight's run opens connections to the API."""
        before = self.front.connections
        return self.wait(STARTED_WITHIN_S, lambda: self.front.connections > before + 1)


def schedule(seed: int, nights: int = NIGHTS) -> list[str]:
    chance, kinds = random.Random(seed), list(KINDS)
    chance.shuffle(kinds)
    return [kinds[number % len(kinds)] for number in range(nights)]


def play(kind: str, scene: Scene) -> None:
    """One event, at a random moment of the night that has just begun."""
    if kind == "nothing":
        return
    if kind in ("host name", "certificate"):  # from one moment to the next, before or while the night runs
        scene.wait(scene.random.uniform(0, 40))
    else:
        scene.night_reads()
    word, _, rest = kind.partition(" ")
    if word not in ("outage", "kill"):  # an outage is to come while the API is read, a kill while the process is there
        scene.wait(scene.random.uniform(0, 15))
    if word == "outage":
        outage(scene, int(rest))
    elif word == "kill":
        scene.wait(STARTED_WITHIN_S, lambda: _kill(scene, rest))
    elif kind == "disk full":
        scene.machine.fill()
        scene.say("disk filled")
        scene.wait(DISK_FULL_S)
        scene.machine.free()
        scene.say("disk freed")
    elif kind == "host name":
        scene.machine.rename(f"host-{scene.random.randrange(1_000)}")
        scene.say(f"restarted under host name {scene.machine.name}")
    elif kind == "certificate":
        scene.front.replace_certificate()
        scene.say("certificate and authority replaced")


def outage(scene: Scene, minutes: int) -> None:
    scene.front.down()
    scene.say(f"API down for {minutes} minutes")
    back_at = scene.clock.now() + timedelta(minutes=minutes)
    pace = OUTAGE_PACE if minutes > 5 else 1
    while scene.clock.now() < back_at:
        scene.wait(2)
        scene.clock.skip(2 * (pace - 1))
    scene.front.up()
    scene.say("API up")


def _kill(scene: Scene, role: str) -> bool:
    killed = scene.machine.kill(role)
    if killed:
        scene.say(f"SIGKILL: {role} ({killed} processes)")
    return bool(killed)
