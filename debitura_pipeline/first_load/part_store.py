"""Where the processes that read a first load meet: objects in the shared store or, without one, files of the data directory.

`parts/<load>/plan.json`, and per part `<number>/own` (the run itself reads it) and `<number>/<attempt>/`: `beat`, landed files, and
at the end `whole.json` or `failed`. Each object appears whole or not at all, and only an attempt's own process writes to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.first_load.plan import FORMAT, Beat, LoadPlan, PartResult
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.objects import FolderObjects, Objects, open_objects

FOLDER = "parts"
PLAN, OWN, BEAT, WHOLE, FAILED = "plan.json", "own", "beat", "whole.json", "failed"
_NAME = re.compile(rf"{FOLDER}/[^/]+/(?P<number>\d+)/(?:(?P<attempt>[0-9a-f]+)/(?P<file>[^/]+)|{OWN})")


@dataclass
class Attempts:
    """What is there of one part. `attempts`: names of the objects of each."""

    is_own: bool = False
    attempts: dict[str, set[str]] = field(default_factory=dict)

    def having(self, name: str) -> list[str]:
        """The attempts that have an object of this name."""
        return sorted(attempt for attempt, names in self.attempts.items() if name in names)


@dataclass(frozen=True)
class PartStore:
    """The objects of one load. Every method raises SharedStoreError."""

    objects: Objects
    load_id: str

    def plan(self) -> LoadPlan | None:
        """The plan; None if there is no such load, or it is over."""
        return _plan(self.objects, f"{self._base}/{PLAN}")

    def begin(self, plan: LoadPlan) -> None:
        """Write the plan: from now on, workers can read parts."""
        self.objects.write(f"{self._base}/{PLAN}", msgspec.json.encode(plan))

    def attempts(self) -> dict[int, Attempts]:
        """What is there, by part."""
        found: dict[int, Attempts] = {}
        for name in self.objects.names(self._base):
            if (named := _NAME.fullmatch(name)) is None:
                continue
            part = found.setdefault(int(named["number"]), Attempts())
            if named["attempt"] is None:
                part.is_own = True
            else:
                part.attempts.setdefault(named["attempt"], set()).add(named["file"])
        return found

    def claim(self, number: int) -> None:
        """Say that the run itself reads a part."""
        self.objects.write(f"{self._base}/{number}/{OWN}", b"")

    def unclaim(self, number: int) -> None:
        """Take that back."""
        self.objects.delete(f"{self._base}/{number}/{OWN}")

    def beat(self, number: int, attempt: str, beat: Beat) -> None:
        """Say that an attempt goes on."""
        self.objects.write(f"{self._base}/{number}/{attempt}/{BEAT}", msgspec.json.encode(beat))

    def last_beat(self, number: int, attempt: str) -> Beat | None:
        """The last beat of an attempt; None without one."""
        found = self._read(f"{number}/{attempt}/{BEAT}")
        return None if found is None else msgspec.json.decode(found, type=Beat)

    def upload(self, number: int, attempt: str, path: Path, sha256: str) -> None:
        """Add a landed file to an attempt. Raises SharedStoreError also if it is not what was landed."""
        if self.objects.upload(f"{self._base}/{number}/{attempt}/{path.name}", path) != sha256:
            raise SharedStoreError(f"{path} has changed since it was landed.")

    def download(self, number: int, attempt: str, path: Path, sha256: str) -> None:
        """Copy a landed file of an attempt to `path`. Raises SharedStoreError also if it is missing or not what was landed."""
        try:
            self.objects.download(f"{self._base}/{number}/{attempt}/{path.name}", path, sha256)
        except FileNotFoundError:
            raise SharedStoreError(f"{path.name} of part {number} is not in {self.objects.url}.") from None

    def finish(self, number: int, attempt: str, result: PartResult) -> None:
        """Mark an attempt as whole; its files are there."""
        self.objects.write(f"{self._base}/{number}/{attempt}/{WHOLE}", msgspec.json.encode(result))

    def fail(self, number: int, attempt: str, reason: str) -> None:
        """Give an attempt up. `reason`: one line, without secrets."""
        self.objects.write(f"{self._base}/{number}/{attempt}/{FAILED}", reason.encode())

    def result(self, number: int, attempt: str) -> PartResult:
        """What a whole attempt has read. Raises SharedStoreError also if it cannot be understood."""
        try:
            return msgspec.json.decode(self._read(f"{number}/{attempt}/{WHOLE}") or b"", type=PartResult)
        except (msgspec.DecodeError, ValueError):
            raise SharedStoreError(f"{WHOLE} of part {number} in {self.objects.url} cannot be read.") from None

    def reason(self, number: int, attempt: str) -> str:
        """Why an attempt was given up."""
        return (self._read(f"{number}/{attempt}/{FAILED}") or b"").decode(errors="replace")

    def drop_attempt(self, number: int, attempt: str) -> None:
        """Delete what there is of an attempt."""
        self.objects.delete_all(f"{self._base}/{number}/{attempt}")

    @property
    def _base(self) -> str:
        return f"{FOLDER}/{self.load_id}"

    def _read(self, name: str) -> bytes | None:
        try:
            return self.objects.read(f"{self._base}/{name}")
        except FileNotFoundError:
            return None


def open_part_objects(settings: Settings) -> Objects:
    """The shared store; without one, the data directory. Sends no request."""
    if settings.shared_store is not None:
        return open_objects(settings.shared_store)
    return FolderObjects(f"file://{settings.data_dir.resolve()}")


def loads(objects: Objects) -> Iterator[LoadPlan]:
    """The plans of all loads that are there. Raises SharedStoreError."""
    for name in objects.names(FOLDER):
        if name.count("/") == 2 and name.endswith(f"/{PLAN}") and (plan := _plan(objects, name)) is not None:
            yield plan


def remove_loads(objects: Objects, resource: str) -> None:
    """Delete what there is of the loads of a listing. Raises SharedStoreError."""
    for load in {name.split("/")[1] for name in objects.names(FOLDER)}:
        if load.endswith(f"-{resource}"):
            objects.delete(f"{FOLDER}/{load}/{PLAN}")  # first: no worker begins then
            objects.delete_all(f"{FOLDER}/{load}")


def _plan(objects: Objects, name: str) -> LoadPlan | None:
    try:
        found = msgspec.json.decode(objects.read(name), type=LoadPlan)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError):
        raise SharedStoreError(f"{objects.url}/{name} cannot be read; have all machines the same version?") from None
    if found.format != FORMAT:
        raise SharedStoreError(f"{objects.url}/{name} was written by another version of the pipeline.")
    return found
