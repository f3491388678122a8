"""Execute a step of job `outbound`: plan, apply where DEBITURA_WRITES allows it, and describe both in Dagster's metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.outbound_fault import outbound_noted
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.wanted import handled_state, look_again, wanted_parts, wanted_state
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.plan_document import PlanDocument
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source.table import SourceTable


@dataclass(frozen=True)
class OutboundStep:
    """`permission`: the word of DEBITURA_WRITES. `pause`: when to look again at what an apply left, None: when something changes.
    `stopped`: the error of an apply that ended early. `after`: what follows an apply, before its result."""

    source: SourceTable[Any]
    permission: str
    plan_key: dg.AssetKey
    applied_key: dg.AssetKey
    plan: Callable[[Settings, Endpoint], PlanDocument]
    apply: Callable[[Settings, Endpoint], AppliedPlan]
    describe: Callable[[PlanDocument], Mapping[str, Any]]
    pause: Callable[[AppliedPlan], timedelta | None]
    stopped: type[DebituraError]
    after: Callable[[dg.AssetExecutionContext, Debitura], None] = lambda *_: None


def execute(
    step: OutboundStep, context: dg.AssetExecutionContext, debitura: Debitura
) -> Iterator[dg.MaterializeResult[Any]]:
    """Plan, and apply if DEBITURA_WRITES allows it. Yields nothing where the source is not set.

    Raises `step.stopped` after the results, and what the plan raises.
    """
    with outbound_noted(debitura.settings, step.source.name):
        yield from _execute(step, context, debitura)


def _execute(
    step: OutboundStep, context: dg.AssetExecutionContext, debitura: Debitura
) -> Iterator[dg.MaterializeResult[Any]]:
    settings = debitura.settings
    part = next((part for part in wanted_parts(settings) if part.plan == step.plan_key), None)
    if part is None:
        context.log.info(f"{step.source.variable} is not set, so there is nothing to do")
        return
    instance = debitura.state(context.instance)
    state = wanted_state(settings, instance, part, datetime.now(UTC))
    before = handled_state(instance, part.plan)
    applied: AppliedPlan | None = None
    with debitura.endpoint() as endpoint:
        if step.permission in settings.outbound.writes:
            applied = step.apply(settings, endpoint)
            planned = applied.planned
        else:
            planned = step.plan(settings, endpoint)
    again = look_again(state, before, datetime.now(UTC), None if applied is None else step.pause(applied))
    yield dg.MaterializeResult(step.plan_key, metadata={**step.describe(planned), **state, **again})
    if applied is None:
        return
    step.after(context, debitura)
    yield dg.MaterializeResult(step.applied_key, metadata={**step.describe(applied.document), "sent": applied.sent})
    if applied.stopped:
        raise step.stopped(applied.stopped)


def plan_metadata(document: PlanDocument) -> dict[str, Any]:
    """The number of rows, and of rows by state."""
    counts = {f"state_{state}": count for state, count in document.summary.items()}
    return {"rows": len(document.rows), "origin": document.source, **counts}
