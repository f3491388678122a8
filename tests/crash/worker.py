"""The cases of one process: killed, checked, written down; what is written down already is not done again.

Belongs here: which cases, in which order. Does not: what must hold (`nights.py`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.errors import DebituraError
from tests.crash.nights import Case, NewEnv, Nights, prepared
from tests.support.pipeline import Pipeline
from tests.support.postgres import PostgresServer

ENGINES = ("duckdb", "postgresql")
AT_ONCE = 40  # cases that wait together for the next day: each is a data directory, and on Postgres a database
MEMORY = Path("/dev/shm")  # a killed process loses nothing that it wrote, on a disk or not


@dataclass(frozen=True)
class Log:
    """Cases that are done, one JSON line each; several processes add to it."""

    path: Path

    def done(self) -> dict[str, bool]:
        """Whether a case held, by its name; a line that was cut short says nothing."""
        known = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            known[told["case"]] = told["held"]
        return known

    def add(self, name: str, fault: str | None, seconds: float) -> None:
        said = {"case": name, "held": fault is None, "fault": fault, "seconds": round(seconds, 1)}
        with self.path.open("a") as file:
            file.write(json.dumps(said) + "\n")


@dataclass(frozen=True)
class Todo:
    engine: str
    case: Case

    @property
    def name(self) -> str:
        return f"{self.engine} {self.case}"


def play(wanted: argparse.Namespace, log: Log, number: int) -> None:
    """The cases of process `number` that the log does not have."""
    folder = Path(tempfile.mkdtemp(prefix="debitura-crash-", dir=MEMORY if MEMORY.is_dir() else None))
    server = PostgresServer()
    try:
        with prepared(folder / "counting") as nights, ExitStack() as databases:
            points = {
                (engine, command): nights.points(command, _new_env(engine, server, databases))
                for engine in ENGINES
                for command in ("sync", "replay")
            }
        done = log.done()
        cases = [case for place, case in enumerate(_cases(wanted, points)) if place % wanted.processes == number]
        left = [case for case in cases if case.name not in done]
        for place, batch in enumerate(_batches(left)):
            _play_batch(batch, folder / str(place), log, server)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _cases(wanted: argparse.Namespace, points: dict[tuple[str, str], int]) -> Iterator[Todo]:
    for later, engine in itertools.product((False, True), ENGINES):
        for command in ("sync", "replay"):
            for point in range(wanted.first, points[engine, command], wanted.every):
                yield Todo(engine, Case(command, point, later))
        chance = random.Random(f"{wanted.seed} {engine} {later}")
        for _ in range(wanted.random // 4):
            moment = round(chance.uniform(0, 2.5), 4)
            yield Todo(engine, Case(chance.choice(("sync", "sync", "replay")), 0, later, moment))


def _batches(cases: Sequence[Todo]) -> Iterator[list[Todo]]:
    """Cases that start alike: their nights come at once, or all a day later."""
    for _, alike in itertools.groupby(cases, lambda todo: todo.case.later):
        together = list(alike)
        for at in range(0, len(together), AT_ONCE):
            yield together[at : at + AT_ONCE]


def _play_batch(batch: Sequence[Todo], folder: Path, log: Log, server: PostgresServer) -> None:
    """The world moves once, after all that are killed before."""
    with ExitStack() as databases, prepared(folder) as nights:
        killed: list[tuple[Todo, Pipeline, float]] = []
        for todo in batch:
            began = time.monotonic()
            try:
                pipeline = nights.kill(todo.case, _new_env(todo.engine, server, databases))
            except AssertionError as error:
                _note(todo, f"it did not come to be killed: {str(error)[:1500]}", began, log)
                continue
            killed.append((todo, pipeline, time.monotonic() - began))
            if not todo.case.later:
                _check(nights, *killed.pop(), log)
        if killed:
            nights.next_day()
        for one in killed:
            _check(nights, *one, log)
    shutil.rmtree(folder, ignore_errors=True)


def _check(nights: Nights, todo: Todo, pipeline: Pipeline, seconds: float, log: Log) -> None:
    began, fault = time.monotonic() - seconds, None
    try:
        nights.check(todo.case, pipeline)
        shutil.rmtree(pipeline.settings.data_dir)
    except (AssertionError, DebituraError) as error:
        fault = f"{type(error).__name__}: {str(error)[:1500]}"
    _note(todo, fault, began, log)


def _note(todo: Todo, fault: str | None, began: float, log: Log) -> None:
    seconds = time.monotonic() - began
    log.add(todo.name, fault, seconds)
    sys.stdout.write(f"{todo.name}: {'holds' if fault is None else f'FAILED: {fault}'}, {seconds:.1f} s\n")
    sys.stdout.flush()


def _new_env(engine: str, server: PostgresServer, databases: ExitStack) -> NewEnv:
    """The settings of an empty warehouse on that engine."""
    if engine == "duckdb":
        return dict
    return lambda: {"DEBITURA_WAREHOUSE": databases.enter_context(server.database()).url}
