"""Print lines for people. With `-q` only problems and the last line are printed.

All commands print through `say`, `warn` and `show`, so that `-q` works everywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.markup import escape

from debitura_pipeline import notes
from debitura_pipeline.cli import json_document
from debitura_pipeline.cli.tables import number
from debitura_pipeline.cli.typed import as_typed
from debitura_pipeline.plural import counted

if TYPE_CHECKING:
    from debitura_pipeline.landing.findings import ControlTotal
    from debitura_pipeline.sync.report import SyncReport

PLAIN_WIDTH = 1_000  # without a terminal and without COLUMNS the width is unknown: do not wrap

SIMULATED = (
    "SIMULATED DATA: everything comes from the embedded sandbox. Set DEBITURA_ENVIRONMENT to choose another API."
)


def make_console(*, stderr: bool = False) -> Console:
    """A console for standard output or standard error. Honours NO_COLOR and COLUMNS."""
    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


out = make_console()


@dataclass
class _Quiet:
    """The line that a quiet command prints at its end: the last one, or the one passed to `conclude`."""

    is_on: bool
    last: str = ""
    is_concluded: bool = False


_quiet = _Quiet(notes.is_quiet())
out.quiet = _quiet.is_on


def say(text: str = "") -> None:
    """Print one line, unless the command is quiet."""
    text = as_typed(text)
    if _quiet.is_on and text and not _quiet.is_concluded:
        _quiet.last = text
    out.print(escape(text), soft_wrap=True)


def conclude(text: str) -> None:
    """Print the line that states the outcome; a quiet command prints it instead of the last line."""
    say(text)
    _quiet.is_concluded = True


def warn(text: str) -> None:
    """Print one line about a problem, also when the command is quiet."""
    if not _quiet.is_on:
        say(text)
        return
    sys.stdout.write(f"{as_typed(text)}\n")


def show(what: RenderableType) -> None:
    """Print a table, unless the command is quiet."""
    out.print(what)


def print_last_line() -> None:
    """Print the last line of a quiet command."""
    if _quiet.is_on and _quiet.last:
        sys.stdout.write(f"{_quiet.last}\n")
    _quiet.last = ""


def complain(text: str) -> None:
    """Print one line to standard error."""
    make_console(stderr=True).print(escape(text), style="red", soft_wrap=True)


def report_proof(reports: Sequence[SyncReport]) -> bool:
    """Print a line per resource that is not proven. False if the API's total of a whole listing contradicts the rows."""
    for report in reports:
        if report.is_contradicted:
            json_document.fail(f"proof contradicted: {report.resource}: {report.message}")
            warn(
                f"proof contradicted: {report.resource}: {report.message}. The rows are merged; `debitura reconcile` shows where."
            )
        elif not report.is_proven:
            warn(f"not proven: {report.resource}: {report.message}")
        if report.differing_clients:
            warn(
                f"{counted(report.differing_clients, 'client')} with other figures in the client's own record than in the rows: "
                "`debitura reconcile` shows them. A record may be older than the rows, so this contradicts nothing."
            )
    return not any(report.is_contradicted for report in reports)


def totals_line(totals: Sequence[ControlTotal]) -> str:
    """Number of totals per verdict. Sums that change with exchange rates are listed apart: they contradict nothing."""
    floating = sum(1 for total in totals if total.is_floating)
    words = [total.verdict for total in totals if not total.is_floating]
    parts = [f"{words.count(word)} {word}" for word in ("equal", "unproven", "differs") if word in words]
    parts += [f"{floating} of estimates, whose USD value moves with exchange rates"] if floating else []
    return ", ".join(parts) or "none compared"


def difference_line(location: ControlTotal) -> str:
    """Where a difference is, as one sentence: a table would be cut off on a narrow terminal."""
    unit = "rows" if location.unit == "count" else "USD"
    whose = "all clients" if location.scope == "all" else f"client {location.scope}"
    api, warehouse = (number(value, location.unit) for value in (location.api_value, location.warehouse_value))
    return (
        f"{location.resource} in {location.bucket} of {whose}, {location.detail}: "
        f"API {api} {unit}, warehouse {warehouse} {unit}"
    )
