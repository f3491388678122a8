"""Decide whether a sync is proven, from the compared totals and the notes made while reading. Pure.

The only place: `ops.syncs`, asset checks, `status`, the report and exit statuses use its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from debitura_pipeline.contract.stages import UNCLASSIFIED
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.plural import counted
from debitura_pipeline.reconcile.control_totals import NOT_STATED_BY_API, quarantine_note
from debitura_pipeline.warehouse.base import WindowRecord

MAX_NAMED = 3  # totals named in one reason
MAX_REASONS = 12  # keeps the message readable


@dataclass(frozen=True)
class ProofVerdict:
    """`reasons`: why a sync is not proven, without duplicates; empty if it is."""

    reasons: tuple[str, ...]

    @property
    def is_proven(self) -> bool:
        """Whether there are no reasons."""
        return not self.reasons


def judge_proof(
    totals: Sequence[ControlTotal], notes: Sequence[str], quarantined: int, windows: Sequence[WindowRecord]
) -> ProofVerdict:
    """Judge a sync.

    `totals`: the compared control totals; those of single clients do not count (none for a single client's sync). `notes`: what
    could not be proven while reading. `quarantined`: number of rows that the API returned but no total includes. Only USD
    values of estimates, which change with exchange rates, may differ in a proven sync.
    """
    whole = [total for total in totals if total.scope == "all" and not total.is_floating]
    reasons = list(dict.fromkeys([*_of_totals(whole), *_of_rows(quarantined, windows), *notes]))
    if len(reasons) > MAX_REASONS:
        reasons[MAX_REASONS:] = [f"and {len(reasons) - MAX_REASONS} more reasons"]
    return ProofVerdict(tuple(reasons))


def differing(totals: Sequence[ControlTotal]) -> list[ControlTotal]:
    """Totals of the whole listing that differ from the merged rows. Totals of single clients do not count."""
    return [total for total in totals if total.scope == "all" and total.verdict == "differs"]


def label(total: ControlTotal) -> str:
    """The name of a total for messages: `Paid (usd)`, `rows`."""
    name = total.check_name if total.bucket == "all" else total.bucket
    return name if total.unit == "count" else f"{name} ({total.unit})"


def notes_of(folder: SyncFolder) -> list[str]:
    """What the journal says is not proven, about the sync as a whole and the windows of its certificate."""
    if folder.end is None:
        return []
    used = set(folder.end.windows)
    of_windows = [line.unproven for line in folder.windows if line.seq in used]
    return [note for note in (*folder.end.unproven, *of_windows) if note]


def _of_totals(whole: Sequence[ControlTotal]) -> Iterator[str]:
    if wrong := differing(whole):
        figures = [
            f"{label(t)}: API {_figure(t, t.api_value)}, warehouse {_figure(t, t.warehouse_value)}" for t in wrong
        ]
        yield f"{len(wrong)} of the API's totals differ from the warehouse: {_named(figures, '; ')}"
    silent = [total for total in whole if total.detail == NOT_STATED_BY_API and total.bucket != UNCLASSIFIED]
    if silent and len(silent) == len([total for total in whole if total.check_name != "rows"]):
        yield f"the API stated no summary, so {counted(len(silent), 'total')} could not be compared"
    elif silent:
        yield f"the API did not state {counted(len(silent), 'total')}: {_named([label(total) for total in silent], ', ')}"
    for total in whole:
        if total.verdict == "unproven" and total.detail != NOT_STATED_BY_API:
            yield total.detail or f"{label(total)} could not be compared"


def _of_rows(quarantined: int, windows: Sequence[WindowRecord]) -> Iterator[str]:
    if quarantined:
        yield quarantine_note(quarantined)
    if not windows:
        yield "no window was read"
    if unverified := sum(1 for window in windows if window.verified_at is None):
        yield f"{unverified} of {len(windows)} windows are not verified"


def _figure(total: ControlTotal, value: object) -> str:
    return f"{value:,.0f}" if total.unit == "count" else f"{value:,}"


def _named(names: Sequence[str], between: str) -> str:
    more = f"{between}and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return between.join(names[:MAX_NAMED]) + more
