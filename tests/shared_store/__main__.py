"""`make shared-store`: a night is killed at every request to the store, and at random moments; prints what held.

Each case: the world moves on a day, a night is killed, and the next night runs on the same machine, or on one that has never
run, or on one that was killed a while ago. A reader downloads what is published all the time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.shared_store.runner import KILLED, running
from tests.shared_store.trial import Trial, reading
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.sandbox import start_sandbox

CASES_PER_WORLD = 15  # certificates add up, and each check downloads and verifies all of them
WORLD = {"clients": 4, "cases": 60, "transactions": 90, "no_rate_limit": True}
LONGEST_NIGHT_S = 4.0


@dataclass(frozen=True)
class Case:
    """`kill`: as for `Runner.night`. `goes_on`: same, new or old machine."""

    name: str
    kill: dict[str, Any]
    goes_on: str


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=50, help="random moments")
    parser.add_argument("--every", type=int, default=1, help="take each n-th request only")
    parser.add_argument("--seed", type=int, default=20261128)
    wanted = parser.parse_args()
    began, failed, reads = time.monotonic(), 0, 0
    with ExitStack() as stack:
        server = S3Server()
        stack.callback(server.stop)
        postgres = PostgresServer()
        stack.callback(postgres.remove)
        cases = list(_cases(wanted))
        random.Random(wanted.seed).shuffle(cases)  # so that a run that is cut short is a fair sample
        for first in range(0, len(cases), CASES_PER_WORLD):
            bad, met = _world(cases[first : first + CASES_PER_WORLD], first, server, postgres)
            failed, reads = failed + bad, reads + met
    took = time.monotonic() - began
    sys.stdout.write(
        f"{len(cases)} cases, {failed} failed; {reads} nights downloaded meanwhile, all whole; {took / 60:.1f} minutes\n"
    )
    return 1 if failed else 0


def _cases(wanted: argparse.Namespace) -> Iterator[Case]:
    machines = ("same", "new", "old")
    number = 0
    for when in ("before", "after"):
        for at in range(1, MOST_REQUESTS + 1, wanted.every):
            yield Case(f"request {at}, {when}", {"at": at, "when": when}, machines[number % 3])
            number += 1
    chance = random.Random(wanted.seed)
    for _ in range(wanted.random):
        moment = round(chance.uniform(0, LONGEST_NIGHT_S), 3)
        yield Case(f"after {moment} s", {"after_s": moment}, machines[number % 3])
        number += 1


MOST_REQUESTS = 48  # of an undisturbed night after another machine's; a kill beyond its last one does not happen


def _world(cases: list[Case], number: int, server: S3Server, postgres: PostgresServer) -> tuple[int, int]:
    """Cases that follow one another in one world; returns how many failed, and how many nights were read."""
    failed, killed, met = 0, 0, []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = start_sandbox(**WORLD, seed=number + 1)
        stack.callback(sandbox.stop)
        runner = stack.enter_context(running())
        database = stack.enter_context(postgres.database())
        trial = Trial(folder, sandbox, server, database, runner, prefix=f"world-{number}")
        active, left = trial.new_machine(), trial.new_machine()
        for name in (left, active):
            ended = trial.night(name)
            assert ended.status == 0, ended
        with reading(trial) as met:
            for case in cases:
                trial.next_day()
                began = time.monotonic()
                ended = trial.night(active, **case.kill)
                killed += ended.status == KILLED
                if case.goes_on != "same":
                    active, left = (trial.new_machine() if case.goes_on == "new" else left), active
                fault = _fault_of(trial, active)
                failed += fault is not None
                end = "killed" if ended.status == KILLED else f"ended with {ended.status} {ended.said}"
                held = "holds" if fault is None else f"FAILED: {fault}"
                sys.stdout.write(
                    f"{case.name}: {end}, {case.goes_on} machine goes on: {held}, {time.monotonic() - began:.1f} s\n"
                )
                sys.stdout.flush()
        trial.check_replay()
    sys.stdout.write(
        f"world {number}: {killed} of {len(cases)} nights were killed; replay from the store alone is equal\n"
    )
    return failed, len(met)


def _fault_of(trial: Trial, machine: str) -> str | None:
    ended = trial.night(machine)
    if ended.status != 0:
        return f"the next night ended with {ended.status}: {ended.said}"
    try:
        trial.check(machine)
    except AssertionError as error:
        return str(error)[:1000]
    return None


if __name__ == "__main__":
    sys.exit(main())
