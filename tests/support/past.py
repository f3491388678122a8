"""Figures as they were published on a night, and the same asked of the warehouse later.

Belongs here: reading both. Does not: assertions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from debitura_pipeline.contract.stages import stage_sql
from tests.support.pipeline import Pipeline

Rows = Callable[[str], list[tuple[Any, ...]]]
# Client, stage and currency; count, fee, fee in USD, Debitura's revenue in USD.
Figures = dict[tuple[str | None, str, str | None], tuple[int, Decimal, Decimal, Decimal]]

_SUMS = """creditor_id, {stage}, earnings_currency, count(*), coalesce(sum(referral_fee), 0),
    coalesce(sum(referral_fee_usd), 0), coalesce(sum(debitura_revenue_usd), 0)"""


def figures_now(pipeline: Pipeline) -> tuple[datetime, Figures]:
    """The newest sync's clock, and the figures of the live rows, whose stage is derived by other code than dbt's."""
    ((at,),) = pipeline.rows("SELECT max(as_of) FROM ops.syncs WHERE status = 'done'")
    ((mode,),) = pipeline.rows("SELECT invoicing_trigger_mode FROM raw.partner_history WHERE _valid_to IS NULL")
    sums = _SUMS.format(stage=stage_sql(mode))
    return at, _by_group(
        pipeline.rows(f"SELECT {sums} FROM raw.transactions WHERE _deleted_at IS NULL GROUP BY 1, 2, 3")
    )


def figures_of_mart(rows: Rows) -> Figures:
    return _by_group(rows(f"SELECT {_SUMS.format(stage='revenue_stage')} FROM marts.fct_transactions GROUP BY 1, 2, 3"))


def figures_as_of(rows: Rows, at: datetime) -> Figures:
    """What the warehouse says now of that instant."""
    asked = f"marts.transactions_as_of('{at.isoformat()}')"
    return _by_group(rows(f"SELECT {_SUMS.format(stage='revenue_stage')} FROM {asked} GROUP BY 1, 2, 3"))


def _by_group(rows: list[tuple[Any, ...]]) -> Figures:
    return {row[:3]: row[3:] for row in rows}
