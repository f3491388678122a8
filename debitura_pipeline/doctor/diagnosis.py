"""The result of a check, and how exceptions become one."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debitura_pipeline import failures
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings

AGAIN = "Fix that, then run `debitura doctor` again."
KEPT = f" {failures.KEPT}"


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check: what was checked, whether it is fine, what was seen, and the fix if it is not."""

    what: str
    is_ok: bool
    seen: str
    cure: str = ""

    def facts(self) -> dict[str, Any]:
        """JSON-ready values for `debitura doctor --json`, whose field names are public."""
        return {"what": self.what, "is_well": self.is_ok, "seen": self.seen, "cure": None if self.is_ok else self.cure}


def passed(what: str, seen: str) -> Diagnosis:
    """The result of a check that found no fault."""
    return Diagnosis(what, True, seen)


def failed(what: str, seen: str, cure: str) -> Diagnosis:
    """The result of a check that found a fault."""
    return Diagnosis(what, False, seen, cure)


def from_error(what: str, error: DebituraError, settings: Settings) -> Diagnosis:
    """A failed check from an error of this project, with the error's own cure if it has one."""
    if error.cure:
        return failed(what, error.fault, error.cure)
    fault, cure = failures.completed(error.fault, settings), AGAIN
    if fault != error.fault and failures.AGAIN in fault:
        fault, _, cure = fault.rpartition(". ")
        fault, cure = f"{fault}.", cure[:1].upper() + cure[1:]
    return failed(what, fault, cure)


def from_exception(what: str, error: Exception, settings: Settings) -> Diagnosis:
    """A failed check from any exception: faults of disk, folder or memory in words, others by file and line."""
    if isinstance(error, DebituraError):
        return from_error(what, error, settings)
    text = failures.one_line(error, settings)
    if text is not None:
        fault, _, cure = text.removesuffix(KEPT).partition(". ")
        return failed(what, f"{fault}.", cure or AGAIN)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "an unknown location"
    return failed(
        what,
        f"this check itself failed, at {where}.",
        "The other checks are still valid. Please report this with the line number.",
    )
