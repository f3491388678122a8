"""What a check has found: the record, and how errors become one.

Belongs here: the words around an error. Does not: checks.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline import failures
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings

AGAIN = "Mend that, then run `debitura doctor` again."
KEPT = f" {failures.KEPT}"


@dataclass(frozen=True)
class Diagnosis:
    """One check: what was looked at, whether it is well, what was seen, and the cure where it is not."""

    what: str
    is_well: bool
    seen: str
    cure: str = ""


def well(what: str, seen: str) -> Diagnosis:
    return Diagnosis(what, True, seen)


def bad(what: str, seen: str, cure: str) -> Diagnosis:
    return Diagnosis(what, False, seen, cure)


def of_error(what: str, error: DebituraError, settings: Settings) -> Diagnosis:
    """An error of ours, with its own cure where it has one; one that stands in the error's text is not repeated."""
    if error.cure:
        return bad(what, error.fault, error.cure)
    fault, cure = failures.completed(error.fault, settings), AGAIN
    if fault != error.fault and failures.AGAIN in fault:
        fault, _, cure = fault.rpartition(". ")
        fault, cure = f"{fault}.", cure[:1].upper() + cure[1:]
    return bad(what, fault, cure)


def of_surprise(what: str, error: Exception, settings: Settings) -> Diagnosis:
    """Any other exception: a fault of disk, folder or memory in its words, else where it came up."""
    if isinstance(error, DebituraError):
        return of_error(what, error, settings)
    told = failures.one_line(error, settings)
    if told is not None:
        fault, _, cure = told.removesuffix(KEPT).partition(". ")
        return bad(what, f"{fault}.", cure or AGAIN)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "an unknown place"
    return bad(
        what,
        f"this check itself failed, at {where}.",
        "The other checks count. Please report it with that line number.",
    )
