"""Nights of several partners on workers, as on one machine; then with processes killed: `python -m tests.cluster`.

`make cluster ARGS="--partners 20 --cases 5000 --nights 5 --kills 50"`. Needs redis-server; as root, each worker has a network
namespace and a host name of its own. With `--log`, each part that is done is a line of that file, and a later run goes on with
those that are not: the nights are one part, and each ten kills are one, on a cluster of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.contents import contents, differences, doubled
from tests.cluster.machine import CODE_SERVER, DAEMON, POSTGRES, REDIS, Cluster
from tests.cluster.processes import run_of

KILLS_OF_A_PART = 10
NIGHT_WITHIN_S = 3_600.0
SETTLES_WITHIN_S = 600.0
QUIET_S = 45.0  # a retry is requested within this time
RUN = "run"


class Part:
    """One cluster, from its start to what it must have at its end."""

    def __init__(self, wanted: argparse.Namespace, folder: Path, seed: int) -> None:
        self._cluster = Cluster(folder, wanted.partners, wanted.cases, wanted.workers, seed)
        self._chance, self.faults, self.figures = random.Random(seed), list[str](), dict[str, Any]()
        self._victims: list[str] = []

    def play(self, nights: int, kills: int) -> None:
        """Nights without kills; or as many nights as the kills take, and one more."""
        cluster = self._cluster
        try:
            cluster.start()
            self.figures |= {"partners": len(cluster.names), "namespaces": cluster.is_separate, "nights": []}
            night, left = 0, kills
            while night < nights or left > 0:
                night += 1
                left = self._night(night, left, is_last=False)
            if kills:
                self._settle()
                self._night(night + 1, 0, is_last=True)
            self._end(with_history=not kills)
        finally:
            cluster.stop()

    def _night(self, night: int, kills: int, *, is_last: bool) -> int:
        """Returns how many kills are left."""
        cluster = self._cluster
        if night > 1:
            for sandbox in cluster.sandboxes:
                sandbox.admin("advance", {"days": 1})
        began, killed = time.monotonic(), list[str]()
        cluster.submit(night)
        is_killing, quiet_since = kills > 0, time.monotonic()
        next_kill = time.monotonic() + self._chance.uniform(2, 12)
        while len(cluster.done(night)) < len(cluster.names) and time.monotonic() - began < NIGHT_WITHIN_S:
            if kills and time.monotonic() >= next_kill:
                killed.append(self._kill())
                kills, next_kill = kills - 1, time.monotonic() + self._chance.uniform(3, 15)
            if cluster.active():
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_S:
                break
            time.sleep(0.5)
        took, done = time.monotonic() - began, cluster.done(night)
        began = time.monotonic()
        alone = [name for name in cluster.names if not cluster.alone(name)]
        beside = time.monotonic() - began
        missing = sorted(set(cluster.names) - done)
        if alone or (missing and (is_last or not is_killing)):
            self.faults.append(f"night {night}: not done on the workers: {missing}, alone: {alone}")
        figures = {"night": night, "on_workers_s": round(took, 1), "one_process_s": round(beside, 1)}
        self.figures["nights"].append({**figures, "killed": killed, "missing": missing})
        _say(f"night {night}: {took:.0f} s on workers, {beside:.0f} s alone; killed {killed}; not done: {missing}")
        return kills

    def _kill(self) -> str:
        cluster = self._cluster
        if not self._victims:  # each of them once before any of them again
            self._victims = [*cluster.workers, RUN, DAEMON, CODE_SERVER, REDIS, POSTGRES]
            self._chance.shuffle(self._victims)
        victim = self._victims.pop()
        if victim == POSTGRES:
            cluster.postgres.kill()
            time.sleep(2)
            cluster.postgres.start()
        elif victim == RUN:
            runs = [run for name in cluster.workers if (run := run_of(cluster.keeper.programs[name])) is not None]
            if not runs:
                return f"{RUN} (none)"
            psutil.Process(self._chance.choice(runs).pid).kill()
        else:
            cluster.keeper.programs[victim].kill()
        return victim

    def _settle(self) -> None:
        """Until nothing is queued or on any more."""
        give_up_at, quiet_since = time.monotonic() + SETTLES_WITHIN_S, time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S and time.monotonic() < give_up_at:
            if self._cluster.active():
                quiet_since = time.monotonic()
            time.sleep(1)
        if active := self._cluster.active():
            self.faults.append(f"{active} runs are still on {SETTLES_WITHIN_S:.0f} s after the last kill")

    def _end(self, *, with_history: bool) -> None:
        self._settle()
        cluster, compared = self._cluster, 0
        for name in cluster.names:
            ours, theirs = cluster.settings("cluster", name), cluster.settings("alone", name)
            found = contents(ours)
            compared += sum(map(len, found.values()))
            lines = differences(found, contents(theirs), with_history=with_history) + doubled(ours)
            self.faults += [f"{name}: {line}" for line in lines]
        if slots := cluster.slots():
            self.faults.append(f"{slots} pool slots are held by runs that are over")
        _say(f"{compared:,} rows compared; runs: {cluster.runs()}; restarts: {cluster.keeper.restarts}")
        self.figures |= {
            "rows": compared,
            "runs": [list(row) for row in cluster.runs()],
            "restarts": cluster.keeper.restarts,
        }


def main() -> int:
    """Returns 1 if a part failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("--partners", type=int, default=3)
    parser.add_argument("--cases", type=int, default=200, help="of each partner, on the first day")
    parser.add_argument("--nights", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="keep what is done here, and go on where it ends")
    parser.add_argument("--keep", action="store_true", help="keep the folders with the processes' logs")
    wanted = parser.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first one
        signal.signal(ending, lambda given, _: sys.exit(128 + given))
    if shutil.which("redis-server") is None:
        sys.stderr.write("redis-server is not installed.\n")
        return 2
    sizes = {name: getattr(wanted, name) for name in ("partners", "cases", "nights", "workers", "seed")}
    whole, rest = divmod(wanted.kills, KILLS_OF_A_PART)
    parts = {"nights": (wanted.nights, 0)} if wanted.nights else {}
    parts |= {f"kills {number}": (0, KILLS_OF_A_PART) for number in range(1, whole + 1)}
    parts |= {f"kills {whole + 1}": (0, rest)} if rest else {}
    known = _known(wanted.log, sizes)
    for number, (name, (nights, kills)) in enumerate(parts.items()):
        if name not in known:
            known[name] = _play(wanted, name, nights, kills, wanted.seed + 1000 * number)
            if wanted.log:
                with wanted.log.open("a") as log:
                    log.write(json.dumps({"part": name, "sizes": sizes, **known[name]}) + "\n")
    failed = [name for name in parts if known[name]["faults"]]
    _say(f"{len(parts)} parts, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


def _play(wanted: argparse.Namespace, name: str, nights: int, kills: int, seed: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="debitura-cluster-"))
    _say(f"{name}: {folder}")
    part, began = Part(wanted, folder, seed), time.monotonic()
    try:
        part.play(nights, kills)
    finally:
        if not wanted.keep:
            shutil.rmtree(folder, ignore_errors=True)
    for fault in part.faults:
        _say(f"FAULT  {fault}")
    return {"faults": part.faults, "took_s": round(time.monotonic() - began), **part.figures, "cores": os.cpu_count()}


def _known(log: Path | None, sizes: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The parts that are done, with these sizes."""
    if log is None or not log.exists():
        return {}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["part"]: line for line in lines if line["sizes"] == sizes}


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
