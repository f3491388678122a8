"""What the command line prints, and how much of it: all, or with `-q` only what is wrong and the last line.

Belongs here: lines for people. Does not: doing the work, tables (`tables.py`), progress (`progress.py`). Everything goes through
`say`, `warn` and `show`, so that each command is quiet when it is told to be.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.markup import escape

from debitura_pipeline import notes
from debitura_pipeline.cli import json_document
from debitura_pipeline.cli.tables import number
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.sync.report import SyncReport

PLAIN_WIDTH = (
    1_000  # without a terminal, and without COLUMNS, nothing is known of the width: lines are as long as they are
)

SIMULATED = "SIMULATED DATA: all of it is the embedded sandbox's. DEBITURA_ENVIRONMENT chooses the API."


def make_console(*, stderr: bool = False) -> Console:
    """A console that suits where it writes to. Colours follow NO_COLOR, and the width COLUMNS."""
    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


out = make_console()


@dataclass
class _Quiet:
    """What a quiet command still has to say: its last line, or the one that it calls so."""

    is_on: bool
    last: str = ""
    is_concluded: bool = False


_quiet = _Quiet(notes.is_quiet())
out.quiet = _quiet.is_on


def say(text: str = "") -> None:
    """One line of what is told when nothing is wrong."""
    if _quiet.is_on and text and not _quiet.is_concluded:
        _quiet.last = text
    out.print(escape(text), soft_wrap=True)


def conclude(text: str) -> None:
    """The line that says how it ended, where that is not simply the last one."""
    say(text)
    _quiet.is_concluded = True


def warn(text: str) -> None:
    """One line of what somebody must see: an open problem, a fault that was found."""
    if not _quiet.is_on:
        say(text)
        return
    sys.stdout.write(f"{text}\n")


def show(what: RenderableType) -> None:
    """A table."""
    out.print(what)


def finish() -> None:
    """The last line of a quiet command."""
    if _quiet.is_on and _quiet.last:
        sys.stdout.write(f"{_quiet.last}\n")
    _quiet.last = ""


def complain(text: str) -> None:
    """One line on standard error."""
    make_console(stderr=True).print(escape(text), style="red", soft_wrap=True)


def tell_proof(reports: Sequence[SyncReport]) -> bool:
    """What is not proven and why, a line a resource; whether no total of a whole listing contradicts what was merged."""
    for report in reports:
        if report.is_contradicted:
            json_document.fail(f"proof contradicted: {report.resource}: {report.message}")
            warn(
                f"proof contradicted: {report.resource}: {report.message}. The rows are merged; `debitura reconcile` says where."
            )
        elif not report.is_proven:
            warn(f"not proven: {report.resource}: {report.message}")
    return not any(report.is_contradicted for report in reports)


def totals_line(totals: Sequence[ControlTotal]) -> str:
    """How many totals have which verdict. Sums that exchange rates move are told apart: they speak against nothing."""
    floating = sum(1 for total in totals if total.is_floating)
    words = [total.verdict for total in totals if not total.is_floating]
    told = [f"{words.count(word)} {word}" for word in ("equal", "unproven", "differs") if word in words]
    told += [f"{floating} of estimates, whose USD moves with exchange rates"] if floating else []
    return ", ".join(told) or "none compared"


def place_line(place: ControlTotal) -> str:
    """Where a difference sits, in one sentence that no narrow terminal cuts."""
    what = "rows" if place.unit == "count" else "USD"
    whose = "all clients" if place.scope == "all" else f"client {place.scope}"
    stated, ours = number(place.api_value, place.unit), number(place.warehouse_value, place.unit)
    return (
        f"{place.resource} in {place.bucket} of {whose}, {place.detail}: API {stated} {what}, warehouse {ours} {what}"
    )


def is_quiet() -> bool:
    return _quiet.is_on
