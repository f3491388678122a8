"""Three nights of one small partner, as they end when nothing disturbs them, and cases that are killed on the second."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debitura_pipeline.landing.landing_zone import sync_folders
from debitura_pipeline.sync import check_certificates
from debitura_pipeline.sync.chain import LandingZone, read_zone
from tests.crash.forks import KILLED, CommandForks
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

State = dict[str, list[tuple[Any, ...]]]
NewEnv = Callable[[], dict[str, str]]  # the warehouse's settings: empty for DuckDB, an empty database's for Postgres


@dataclass(frozen=True)
class Case:
    """Killed at write point `point` (or `after_s` late) of `command`; the next night comes `later`, or at once."""

    command: str
    point: int
    later: bool
    after_s: float | None = None


class Nights:
    """The first night's data directory, the sandbox at its second night, and how undisturbed nights end."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, forks: CommandForks) -> None:
        self.folder, self.sandbox, self.forks = folder, sandbox, forks
        self._made = 0
        self._counted: dict[tuple[str, NewEnv], int] = {}
        self._run(self.pipeline("first"))
        self._move(3)
        self.second = self._copied("first", "second")
        self._run(self.second)
        self.after_two = self.second.state()
        self.after_three: State = {}
        self.after_three_without_second: State = {}

    def pipeline(self, name: str, **env: str) -> Pipeline:
        return Pipeline(self.folder / name, self.sandbox, **env)

    def points(self, command: str, new_env: NewEnv) -> int:
        """Write points that a command passes when nobody kills it; counted once per command and engine."""
        if (command, new_env) not in self._counted:
            pipeline = self._before(command, new_env())
            end = self.forks.run(pipeline.env, command)
            assert end.status == 0, end.said
            self._counted[command, new_env] = end.points
        return self._counted[command, new_env]

    def kill(self, case: Case, new_env: NewEnv) -> Pipeline:
        pipeline = self._before(case.command, new_env())
        end = self.forks.run(pipeline.env, case.command, deadly=case.point, after_s=case.after_s)
        assert end.status == KILLED or case.after_s is not None, (case, end)
        return pipeline

    def next_day(self) -> None:
        """The world a day on, and what undisturbed runs make of it, with the second night and without."""
        self._move(1)
        third, skipped = self._copied("second", "third"), self._copied("first", "skipped")
        for pipeline in (third, skipped):
            self._run(pipeline)
        self.after_three, self.after_three_without_second = third.state(), skipped.state()

    def check(self, case: Case, killed: Pipeline) -> None:
        """The night after, then the certificates, then a replay: nothing of the kill is to be seen."""
        allowed = [self.after_three, self.after_three_without_second] if case.later else [self.after_two]
        if case.command == "replay":
            assert killed.state() == self.after_two, f"{case}: a replay that dies changes nothing"
            allowed = [self.after_three] if case.later else [self.after_two]
        must_have_second = finished(killed)
        end = self.forks.run(killed.env, "sync")
        assert end.status == 0, (case, end.said)
        state = killed.state()
        for name, rows in state.items():
            resource = name.removesuffix("_history")
            fitting = allowed[:1] if resource in must_have_second else allowed
            assert any(rows == whole[name] for whole in fitting), f"{case}: {name} is not as if undisturbed"
        self._check_certificates(case, killed)
        end = self.forks.run(killed.env, "replay")
        assert end.status == 0, (case, end.said)
        assert killed.state() == state, f"{case}: replayed, it is another one"
        self._check_certificates(case, killed)

    def _check_certificates(self, case: Case, pipeline: Pipeline) -> None:
        faulty = [finding for finding in check_certificates(pipeline.settings).findings if finding.faults]
        assert not faulty, (case, faulty)
        assert not [folder.path for folder in sync_folders(pipeline.settings.landing_dir) if folder.is_open], case

    def _before(self, command: str, env: dict[str, str]) -> Pipeline:
        """A data directory on which `command` is to run: after the first night, or for a replay after the second."""
        self._made += 1
        pipeline = self._copied("second" if command == "replay" else "first", f"case-{self._made}", **env)
        if env:
            (pipeline.settings.data_dir / "warehouse.duckdb").unlink()
            end = self.forks.run(pipeline.env, "replay")
            assert end.status == 0, end.said
        return pipeline

    def _copied(self, source: str, target: str, **env: str) -> Pipeline:
        shutil.copytree(self.folder / source, self.folder / target)
        return self.pipeline(target, **env)

    def _run(self, pipeline: Pipeline) -> None:
        pipeline.settings.data_dir.mkdir(parents=True, exist_ok=True)
        end = self.forks.run(pipeline.env, "sync")
        assert end.status == 0, end.said

    def _move(self, days: int) -> None:
        self.sandbox.admin("advance", {"days": days})
        self.sandbox.admin("change", {"op": "row", "resource": "cases", "action": "delete", "row": 9 + days})


def finished(pipeline: Pipeline) -> set[str]:
    """Resources whose killed night was read to its end: it is part of the history, whenever it is merged."""
    zone: LandingZone = read_zone(pipeline.settings.landing_dir, None)
    ends = [folder.begin.resource for folder in zone.folders if folder.end is not None]
    return {resource for resource in ends if ends.count(resource) > 1}


@contextmanager
def prepared(folder: Path) -> Iterator[Nights]:
    sandbox = start_sandbox(clients=6, cases=320, transactions=300, seed=3, no_rate_limit=True)
    try:
        with CommandForks() as forks:
            yield Nights(folder, sandbox, forks)
    finally:
        sandbox.stop()
