"""What the command line prints: progress, tables, the one line of an error.

Belongs here: turning reports into text for people. Does not: doing the work. Used by `cli.py` and `doctor.py`.
On a terminal progress is a bar that goes away; elsewhere it is a plain line now and then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from debitura_pipeline.extract.night import Forecast
from debitura_pipeline.extract.plan import Plan
from debitura_pipeline.extract.read import Progress
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.sync.report import SyncReport

LINE_EVERY_S = 10.0  # without a terminal: often enough to see life, seldom enough for a log
PLAIN_WIDTH = 160  # without a terminal nothing is known of the reader's width; tables must not be folded

VERDICT_STYLES = {
    "equal": "green", "unproven": "yellow", "differs": "bold red", "proven": "green", "contradicted": "bold red",
}  # fmt: skip


def make_console(*, stderr: bool = False) -> Console:
    """A console that suits where it writes to."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


out = make_console()


SIMULATED = "SIMULATED DATA: all of it is the embedded sandbox's. DEBITURA_ENVIRONMENT chooses the API."


def say(text: str = "") -> None:
    out.print(escape(text), soft_wrap=True)


def complain(text: str) -> None:
    """One line on standard error."""
    make_console(stderr=True).print(escape(text), style="red", soft_wrap=True)


class PlainProgress:
    """Progress for logs: a line every LINE_EVERY_S seconds; what is quicker needs none."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, state: Progress) -> None:
        now = time.monotonic()
        if now - self._last.setdefault(state.resource, now) >= LINE_EVERY_S:
            self._last[state.resource] = now
            sys.stdout.write(
                f"{state.resource}: {state.pages} of {state.pages_known} pages read, {state.rows} rows landed\n"
            )
            sys.stdout.flush()


class BarProgress:
    """Progress for a terminal: one bar per resource."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, state: Progress) -> None:
        if state.resource not in self._tasks:
            self._tasks[state.resource] = self._bars.add_task(state.resource, rows=0)
        self._bars.update(
            self._tasks[state.resource], completed=state.pages, total=max(state.pages_known, 1), rows=state.rows
        )


@contextmanager
def shown_progress() -> Iterator[PlainProgress | BarProgress]:
    """A progress callback that fits standard output."""
    if not out.is_terminal:
        yield PlainProgress()
        return
    columns = (
        TextColumn("{task.description:<13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pages"),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=out, transient=True) as bars:
        yield BarProgress(bars)


def sync_table(reports: Sequence[SyncReport]) -> Table:
    """One line per resource: what was read and what it changed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("resource")
    for name in ("plan", "requests", "rows read", "new", "changed", "deleted", "unchanged", "quarantined"):
        table.add_column(name, justify="left" if name == "plan" else "right")
    table.add_column("proof")
    table.add_column("control totals")
    for report in reports:
        names = ("requests", "rows_read", "inserted", "changed", "deleted", "unchanged", "quarantined")
        figures = [getattr(report, name) for name in names]
        words = [f"[{VERDICT_STYLES[word]}]{word}[/]" for word in (report.proof, report.verdict)]
        table.add_row(report.resource, report.mode, *(f"{n:,}" for n in figures), *words)
    return table


def tell_proof(reports: Sequence[SyncReport]) -> bool:
    """What is not proven and why, a line a resource; whether no total of a whole listing contradicts what was merged."""
    for report in reports:
        if report.is_contradicted:
            say(
                f"proof contradicted: {report.resource}: {report.message}. The rows are merged; `debitura reconcile` says where."
            )
        elif not report.is_proven:
            say(f"not proven: {report.resource}: {report.message}")
    return not any(report.is_contradicted for report in reports)


def totals_line(totals: Sequence[ControlTotal]) -> str:
    """How many totals have which verdict. Sums that exchange rates move are told apart: they speak against nothing."""
    floating = sum(1 for total in totals if total.is_floating)
    words = [total.verdict for total in totals if not total.is_floating]
    told = [f"{words.count(word)} {word}" for word in ("equal", "unproven", "differs") if word in words]
    told += [f"{floating} of estimates, whose USD moves with exchange rates"] if floating else []
    return ", ".join(told) or "none compared"


def plan_table(foreseen: Sequence[tuple[str, Plan, Forecast]]) -> Table:
    """What a sync would read and cost, part by part."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("resource", "plan", "what"):
        table.add_column(name)
    table.add_column("requests", justify="right")
    for resource, plan, forecast in foreseen:
        for what, cost in forecast.parts:
            table.add_row(resource, plan.mode, what, f"{cost:,.0f}")
        table.add_row(resource, plan.mode, "[bold]in all[/]", f"[bold]{forecast.requests:,}[/]")
    return table


def totals_table(totals: Sequence[ControlTotal]) -> Table:
    """The API's figures beside the warehouse's."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("resource", "check", "scope", "bucket", "unit"):
        table.add_column(name)
    for name in ("API", "warehouse", "difference"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("detail")
    for total in totals:
        values = (total.api_value, total.warehouse_value, total.difference)
        style = VERDICT_STYLES[total.verdict]
        table.add_row(
            total.resource, total.check_name, total.scope, total.bucket, total.unit,
            *(_number(value, total.unit) for value in values), f"[{style}]{total.verdict}[/]", escape(total.detail or ""),
        )  # fmt: skip
    return table


def place_line(place: ControlTotal) -> str:
    """Where a difference sits, in one sentence that no narrow terminal cuts."""
    what = "rows" if place.unit == "count" else "USD"
    whose = "all clients" if place.scope == "all" else f"client {place.scope}"
    stated, ours = _number(place.api_value, place.unit), _number(place.warehouse_value, place.unit)
    return (
        f"{place.resource} in {place.bucket} of {whose}, {place.detail}: API {stated} {what}, warehouse {ours} {what}"
    )


def _number(value: Decimal | None, unit: str) -> str:
    if value is None:
        return "not stated"
    return f"{value:,.0f}" if unit == "count" else f"{value:,.4f}"


def status_table(status: dict[str, Any]) -> Table:
    """One line per resource: how fresh, how many, how the last sync went."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("resource", "as of", "last sync", "plan", "status", "proof"):
        table.add_column(name)
    for name in ("requests", "live rows", "deleted rows"):
        table.add_column(name, justify="right")
    for resource, facts in status["resources"].items():
        proof = {None: "", True: "proven", False: "not proven"}[facts["is_proven"]]
        texts = (
            facts["as_of"] or "never",
            facts["sync_id"] or "none",
            facts["mode"] or "",
            facts["status"] or "",
            proof,
        )
        table.add_row(
            resource, *texts, *(f"{facts[name] or 0:,}" for name in ("requests", "live_rows", "deleted_rows"))
        )
    return table
