"""Two weeks without anybody looking, in an hour or two: `make soak`. Needs root (a disk and a host name of its own), cc, openssl.

The real `debitura dev` with daemon, schedule and sensors runs against a simulated API behind TLS; the wall clock is moved from
night to night. Each night one thing goes wrong. What must hold: every night that could be done is done and proven, what is
published is never older than a day longer than the API was away, and nobody touched anything.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import sys
import tempfile
import urllib.parse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from tests.soak.clock import ShiftedClock
from tests.soak.events import NIGHTS, Scene, play, schedule
from tests.soak.front import Front
from tests.soak.machine import Machine
from tests.support.sandbox import ROOT, RunningSandbox, start_sandbox

DONE_WITHIN_S = 900.0  # real; an outage is over by then, and three retries with it
IDLE_WITHIN_S = 240.0
NIGHT_AT = timedelta(hours=2)


class Soak:
    """The nights one after another; `failures` are sentences."""

    def __init__(self, scene: Scene, sandbox: RunningSandbox, log: TextIO) -> None:
        self.scene, self.sandbox, self._log = scene, sandbox, log
        self.failures: list[str] = []
        scene.say = self.say

    def say(self, text: str) -> None:
        line = f"{self.scene.clock.now():%m-%d %H:%M:%S}  {text}"
        for out in (self._log, sys.stdout):
            out.write(line + "\n")
            out.flush()

    def night(self, number: int, kind: str) -> None:
        clock, machine = self.scene.clock, self.scene.machine
        midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        if number:
            self.sandbox.admin("advance", {"days": 1})
        clock.move_to(midnight + NIGHT_AT - timedelta(seconds=20))
        before, _ = machine.published()
        self.say(f"night {number + 1}: {kind}")
        play(kind, self.scene)
        is_done = self.scene.wait(DONE_WITHIN_S, lambda: machine.published()[0] not in (None, before))
        at, is_proven = machine.published()
        self.say(f"{'done' if is_done else 'NOT DONE'}, proven: {is_proven}, published as of {at}, "
                 f"{machine.starts} starts, {machine.used_mib()} MiB on disk")  # fmt: skip
        if not (is_done and is_proven):
            self.failures.append(f"night {number + 1} ({kind}): done {is_done}, proven {is_proven}")
        self._verify(number)
        clock.move_to(midnight + timedelta(hours=12))
        self.scene.wait(45)  # sensors, the morning's freshness checks
        # A run that is being started when the clock jumps to the next night would be taken for one that never did.
        self.scene.wait(IDLE_WITHIN_S, machine.is_idle)

    def _verify(self, number: int) -> None:
        ended = self.scene.machine.run("verify")
        if ended.returncode != 0:
            self.failures.append(
                f"night {number + 1}: verify says {ended.stdout.strip().splitlines()[-3:]} {ended.stderr[-300:]}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--nights", type=int, default=NIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, default=Path("soak.log"))
    wanted = parser.parse_args()
    lacking = [name for name in ("cc", "openssl", "unshare", "mount") if shutil.which(name) is None]
    if os.geteuid() != 0 or lacking:
        sys.stderr.write(
            f"soak needs root and {', '.join(lacking) or 'nothing else'}; it makes a disk and a host name of its own.\n"
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="debitura-soak-") as name, wanted.log.open("w") as log:
        return run(Path(name), wanted, log)


def run(folder: Path, wanted: argparse.Namespace, log: TextIO) -> int:
    clock = ShiftedClock(folder)
    start = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT02:00:00Z")  # the first night's
    sandbox = start_sandbox(
        clients=20, cases=12_000, transactions=30_000, seed=wanted.seed, start=start, no_rate_limit=True
    )
    port = urllib.parse.urlsplit(sandbox.url).port or 0
    front = Front(folder, ("127.0.0.1", port))
    env = {**_clean(os.environ), **clock.env, **_settings(folder, front, sandbox)}
    machine = Machine(folder / "disk", env, wanted.log.with_suffix(".dev.log"))
    chance = random.Random(wanted.seed)
    soak = Soak(Scene(clock, front, machine, chance), sandbox, log)
    try:
        soak.scene.wait(40)
        for number, kind in enumerate(schedule(wanted.seed, wanted.nights)):
            soak.night(number, kind)
    finally:
        machine.stop()
        sandbox.stop()
    for failure in soak.failures:
        soak.say(f"FAILED {failure}")
    soak.say(f"{wanted.nights} nights, {len(soak.failures)} failures, {machine.starts} starts of `debitura dev`")
    return 1 if soak.failures else 0


def _settings(folder: Path, front: Front, sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "DEBITURA_ENVIRONMENT": "test",
        "DEBITURA_API_URL": front.url,
        "DEBITURA_API_KEY": sandbox.key,
        "DEBITURA_CA_FILE": str(front.authorities),
        "DEBITURA_DATA_DIR": str(folder / "disk" / "data"),
        "NO_PROXY": f"localhost,127.0.0.1,{socket.gethostname()}",
    }


def _clean(env: object) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DEBITURA_", "DAGSTER_"))}


if __name__ == "__main__":
    sys.exit(main())
