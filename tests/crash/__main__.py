"""All write points, and random moments besides: `python -m tests.crash [--every 7] [--random 200]`; hours, on two cores."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.crash.ground import Case, Ground, NewEnv, ground
from tests.support.pipeline import Pipeline
from tests.support.postgres import PostgresServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--every", type=int, default=1, help="only each n-th write point")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--random", type=int, default=200, help="moments chosen by chance, over both engines")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    failures = 0
    folder = Path(tempfile.mkdtemp(prefix="debitura-crash-"))
    server = PostgresServer()
    try:
        for later in (False, True):  # the world moves once, after all that are killed before
            with ExitStack() as databases, ground(folder / f"later-{later}") as nights:
                failures += _play(nights, wanted, later, server, databases)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


def _play(nights: Ground, wanted: argparse.Namespace, later: bool, server: PostgresServer, databases: ExitStack) -> int:
    def database() -> dict[str, str]:
        return {"DEBITURA_WAREHOUSE": databases.enter_context(server.database()).url}

    killed: list[tuple[Case, Pipeline]] = []
    failures = 0
    for new_env in (dict, database):
        for case in _cases(nights, new_env, wanted, later):
            killed.append((case, nights.kill(case, new_env)))
            if not later:
                failures += _holds(nights, *killed.pop())
    if later:
        nights.next_day()
        failures += sum(_holds(nights, *one) for one in killed)
    return failures


def _cases(nights: Ground, new_env: NewEnv, wanted: argparse.Namespace, later: bool) -> Iterator[Case]:
    chance = random.Random(wanted.seed)
    for command in ("sync", "replay"):
        for point in range(wanted.first, nights.points(command, new_env), wanted.every):
            yield Case(command, point, later)
    for _ in range(wanted.random // 4):
        yield Case(chance.choice(("sync", "sync", "replay")), 0, later, chance.uniform(0, 2.5))


def _holds(nights: Ground, case: Case, pipeline: Pipeline) -> int:
    try:
        nights.check(case, pipeline)
    except AssertionError as error:
        sys.stdout.write(f"FAILED {case}: {str(error)[:1500]}\n")
        return 1
    sys.stdout.write(f"{case} holds\n")
    sys.stdout.flush()
    shutil.rmtree(pipeline.settings.data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
