"""Is a sync proven? The one function that decides it, from what was compared and what was noted while reading. Pure.

`ops.syncs`, asset checks, `status`, the report, closing lines and exit statuses all say what is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from debitura_pipeline.contract.stages import UNCLASSIFIED
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.reconcile.control_totals import NOT_STATED_BY_API
from debitura_pipeline.warehouse.base import WindowRecord

NAMED = 3  # figures that a reason names one by one
MOST_REASONS = 12  # a line that nobody reads to its end says nothing


@dataclass(frozen=True)
class Proof:
    """`reasons`: why a sync is not proven, each once; none: it is."""

    reasons: tuple[str, ...]

    @property
    def is_proven(self) -> bool:
        return not self.reasons


def judge_proof(
    totals: Sequence[ControlTotal], notes: Sequence[str], quarantined: int, windows: Sequence[WindowRecord]
) -> Proof:
    """What a reading proves. `totals`: all that the contract names, of the whole listing (none for one client's reading);
    totals per client do not count. `notes`: what the reading itself could not prove. `quarantined`: rows that the API shows
    and that are in no figure.

    Only the USD of estimates, which moves with exchange rates, may stay open in a proven sync.
    """
    whole = [total for total in totals if total.scope == "all" and not total.is_floating]
    reasons = list(dict.fromkeys([*_of_totals(whole), *_of_rows(quarantined, windows), *notes]))
    if len(reasons) > MOST_REASONS:
        reasons[MOST_REASONS:] = [f"and {len(reasons) - MOST_REASONS} more reasons"]
    return Proof(tuple(reasons))


def differing(totals: Sequence[ControlTotal]) -> list[ControlTotal]:
    """Totals of a whole listing that contradict what was merged; those per client are the API's own affair."""
    return [total for total in totals if total.scope == "all" and total.verdict == "differs"]


def label(total: ControlTotal) -> str:
    """`Paid (usd)`, `rows`: a total for people."""
    name = total.check_name if total.bucket == "all" else total.bucket
    return name if total.unit == "count" else f"{name} ({total.unit})"


def notes_of(folder: SyncFolder) -> list[str]:
    """What the journal says is not proven: the reading as a whole, and any window that its certificate rests on."""
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
        yield f"the API stated no summary, so {len(silent)} totals could not be compared"
    elif silent:
        yield f"the API did not state {len(silent)} totals: {_named([label(total) for total in silent], ', ')}"
    for total in whole:
        if total.verdict == "unproven" and total.detail != NOT_STATED_BY_API:
            yield total.detail or f"{label(total)} could not be compared"


def _of_rows(quarantined: int, windows: Sequence[WindowRecord]) -> Iterator[str]:
    if quarantined:
        yield f"{quarantined} rows in quarantine are not counted"
    if not windows:
        yield "no window was read"
    if unverified := sum(1 for window in windows if window.verified_at is None):
        yield f"{unverified} of {len(windows)} windows are not verified"


def _figure(total: ControlTotal, value: object) -> str:
    return f"{value:,.0f}" if total.unit == "count" else f"{value:,}"


def _named(names: Sequence[str], between: str) -> str:
    more = f"{between}and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return between.join(names[:NAMED]) + more
