"""Compare the API's control totals with the warehouse. Pure, apart from counting our rows in SQL.

Every total that the contract names gets a verdict: `equal`, `differs`, or `unproven` if the API did not state it or it cannot be
compared. If the API does not define what a figure counts, each plausible interpretation is tried and the one that fits is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import (
    STAGES,
    UNCLASSIFIED,
    client_totals_sql,
    estimates_sql,
    lifecycle_totals_sql,
    stage_totals_sql,
)
from debitura_pipeline.extract.comparison import ROW_PRECISION, compare, stated_precision
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.incremental.differences import fee_precision, with_unclassified
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.plural import counted

RunQuery = Callable[[str], Sequence[tuple[Any, ...]]]
Interpretations = Sequence[tuple[str, Decimal | int]]  # (what is counted, our figure), most likely first

ZERO = Decimal(0)
NOT_STATED = Total(None, None)
PENDING, REVENUE = STAGES[0], "debitura_revenue"
MOVES_WITH_RATES = "holds estimates, whose USD moves with exchange rates between two answers"
NOT_STATED_BY_API = "the API did not state it"


def compare_control_totals(
    resource: str, totals: Totals, invoicing_mode: str | None, rows: RunQuery, known: Iterable[Totals] = ()
) -> list[ControlTotal]:
    """Compare the API's `totals` of the whole listing with the live rows of `raw`; returns one entry per total.

    `rows` runs a query on the warehouse. `known`: other totals that the API stated, which show its precision.
    """
    live = f"(SELECT * FROM raw.{resource} WHERE _deleted_at IS NULL) AS live"
    if resource == "transactions":
        found = _transactions(totals, invoicing_mode, live, rows, [totals, *known])
    elif resource == "cases":
        found = _cases(totals, rows(lifecycle_totals_sql(live))[0])
    else:
        found = _clients(totals, rows(client_totals_sql(live))[0])
    quarantined = count_quarantined(resource, rows)
    return [_account_for_quarantine(total, quarantined) for total in found]


def count_quarantined(resource: str, rows: RunQuery) -> int:
    """Return the number of quarantined rows, which the API counts and `raw` does not have."""
    return int(rows(f"SELECT count(*) FROM ops.quarantine WHERE resource = '{resource}' AND resolved_at IS NULL")[0][0])


def _transactions(
    totals: Totals, invoicing_mode: str | None, live: str, rows: RunQuery, known: Sequence[Totals]
) -> list[ControlTotal]:
    ours = {stage: (count, Decimal(usd)) for stage, count, usd in rows(stage_totals_sql(live, invoicing_mode))}
    counted = sum(count for count, _ in ours.values())
    found = [compare_one("transactions", "rows", "all", "count", totals.count, [("rows", counted)])]
    precision = fee_precision(known)
    for stage in STAGES:
        stated, (count, usd) = totals.summary.get(stage, NOT_STATED), ours.get(stage, (0, ZERO))
        found.append(compare_one("transactions", "stage", stage, "count", stated.count, [("rows", count)]))
        found.append(
            compare_one(
                "transactions", "stage", stage, "usd", stated.usd, [("fees", usd)], precision=precision, rows=count
            )
        )
    estimates, elsewhere, revenue = rows(estimates_sql(live, invoicing_mode))[0]
    precision = stated_precision(response.summary.get(REVENUE, NOT_STATED).usd for response in known)
    stated_revenue = totals.summary.get(REVENUE, NOT_STATED).usd
    found.append(
        compare_one(
            "transactions",
            REVENUE,
            "all",
            "usd",
            stated_revenue,
            [("revenue", revenue)],
            precision=precision,
            rows=counted,
        )
    )
    found += _unclassified(totals, ours.get(UNCLASSIFIED, (0, ZERO)))
    return _without_floating(found, is_moving=bool(estimates), is_moving_elsewhere=bool(elsewhere))


def _unclassified(totals: Totals, ours: tuple[int, Decimal]) -> list[ControlTotal]:
    """Compare rows that fit no stage: all rows minus those of every stage. No total has their sum."""
    rest = with_unclassified(totals).summary.get(UNCLASSIFIED, NOT_STATED).count
    if not rest and not ours[0]:
        return []
    detail = f"{counted(ours[0] or rest or 0, 'row')} in none of the API's stages, so no total holds them"
    count = compare_one("transactions", "stage", UNCLASSIFIED, "count", rest, [("rows", ours[0])])
    usd = compare_one("transactions", "stage", UNCLASSIFIED, "usd", None, [("fees", ours[1])])
    return [count, replace(usd, detail=detail)]


def _without_floating(found: list[ControlTotal], *, is_moving: bool, is_moving_elsewhere: bool) -> list[ControlTotal]:
    """Mark differing sums that hold estimates as unproven, since they move with exchange rates.

    Revenue of all rows moves only if estimates do: if the fees of stage Pending are equal and no other stage holds estimates,
    a difference in revenue is real.
    """
    usd = {
        total.bucket if total.check_name == "stage" else total.check_name: total
        for total in found
        if total.unit == "usd"
    }
    floating = [usd[PENDING]] if is_moving or usd[PENDING].api_value else []
    if (floating and usd[PENDING].verdict != "equal") or is_moving_elsewhere:
        floating.append(usd[REVENUE])
    return [
        replace(total, verdict="unproven", detail=MOVES_WITH_RATES, is_floating=True)
        if total in floating and total.verdict == "differs"
        else total
        for total in found
    ]


def _cases(totals: Totals, counted: tuple[int, ...]) -> list[ControlTotal]:
    total, active, paused, closed, merged = counted
    pending = total - active - paused - closed - merged
    interpretations: Mapping[str, Interpretations] = {
        "total": [("all cases", total), ("all but merged", total - merged)],
        "active": [("Active", active)],
        "paused": [("Paused", paused)],
        "closed": [("Closed", closed), ("Closed and Merged", closed + merged)],
        "pending": [("every other open state", pending), ("every other state, Merged too", pending + merged)],
    }
    found = [compare_one("cases", "rows", "all", "count", totals.count, [("rows", total)])]
    return found + _counts("cases", "lifecycle", totals, interpretations)


def _clients(totals: Totals, counted: tuple[int, ...]) -> list[ControlTotal]:
    names = ("total", "attributed", "onboarding_complete", "onboarding_pending")
    interpretations = {name: [("clients", figure)] for name, figure in zip(names, counted, strict=True)}
    found = [compare_one("clients", "rows", "all", "count", totals.count, [("rows", counted[0])])]
    return found + _counts("clients", "clients", totals, interpretations)


def _counts(
    resource: str, check: str, totals: Totals, interpretations: Mapping[str, Interpretations]
) -> list[ControlTotal]:
    return [
        compare_one(resource, check, name, "count", totals.summary.get(name, NOT_STATED).count, options)
        for name, options in interpretations.items()
    ]


def compare_one(
    resource: str,
    check: str,
    bucket: str,
    unit: str,
    stated: Decimal | int | None,
    interpretations: Interpretations,
    *,
    scope: str = "all",
    precision: Decimal = ROW_PRECISION,
    rows: int = 1,
) -> ControlTotal:
    """Compare a stated figure with each interpretation, and return the first that is equal, else the nearest.

    `precision` applies to sums; counts are compared exactly.
    """
    ours = [(name, Decimal(value)) for name, value in interpretations]
    if stated is None:
        return ControlTotal(resource, check, scope, bucket, unit, None, ours[0][1], "unproven", NOT_STATED_BY_API)
    figure = Decimal(stated)
    verdicts = [compare(figure, value, precision if unit == "usd" else ROW_PRECISION, rows) for _, value in ours]
    verdict = next(word for word in ("equal", "unproven", "differs") if word in verdicts)
    name, value = ours[verdicts.index(verdict)]
    if verdict == "differs":  # so that the difference is not that of a figure that the API does not mean
        value = min((one for _, one in ours), key=lambda one: abs(figure - one))
    detail = f"read as: {name}" if len(interpretations) > 1 and verdict != "differs" else None
    if verdict == "unproven":
        detail = "added up by the API in floating point, whose error hides the last digits of so large a sum"
    return ControlTotal(resource, check, scope, bucket, unit, figure, value, verdict, detail)


def quarantine_note(quarantined: int) -> str:
    """Why totals may differ while rows are in quarantine, in one phrase."""
    return f"{counted(quarantined, 'row')} in quarantine {'is' if quarantined == 1 else 'are'} not counted"


def _account_for_quarantine(total: ControlTotal, quarantined: int) -> ControlTotal:
    """Mark a difference as unproven that quarantined rows can explain; another check reports those."""
    difference = abs(total.difference or ZERO)
    if total.verdict != "differs" or not quarantined or (total.unit == "count" and difference > quarantined):
        return total
    return replace(total, verdict="unproven", detail=quarantine_note(quarantined))
