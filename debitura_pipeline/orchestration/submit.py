"""Execute the submission step of a run of job `outbound`, and describe it in Dagster's metadata: counts, sums and states only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.outbound_fault import outbound_noted
from debitura_pipeline.orchestration.keys import SUBMISSION
from debitura_pipeline.orchestration.register import plan_metadata
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.wanted import (
    AGAIN_AFTER,
    handled_state,
    look_again,
    wanted_parts,
    wanted_state,
)
from debitura_pipeline.outbound.permission import CASES
from debitura_pipeline.outbound.plan_document import PlanDocument, PlanRow
from debitura_pipeline.source import CLAIMS
from debitura_pipeline.submission import AppliedClaims, apply_claims, plan_claims
from debitura_pipeline.submission.plan import UNANSWERED
from debitura_pipeline.submission.states import HUMAN, PLANNED, SENT, WAITING

# Papers that a client signs change nothing that the sensor sees; each look costs two requests a claim.
WAITING_PAUSE = timedelta(hours=6)


class SubmissionStopped(DebituraError):
    """An apply ended before every planned claim was tried."""


def submit_claims(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    """Plan, and apply if DEBITURA_WRITES allows it. Yields nothing without a source of claims.

    Raises SubmissionStopped after the results, and what the plan raises.
    """
    with outbound_noted(debitura.settings, CLAIMS.name):
        yield from _submit_claims(context, debitura)


def _submit_claims(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    settings = debitura.settings
    part = next((part for part in wanted_parts(settings) if part.plan == SUBMISSION["plan"]), None)
    if part is None:
        context.log.info("DEBITURA_CLAIMS is not set, so there is nothing to submit")
        return
    state, before = (
        wanted_state(settings, context.instance, part, datetime.now(UTC)),
        handled_state(context.instance, part),
    )
    applied: AppliedClaims | None = None
    with debitura.endpoint() as endpoint:
        if CASES in settings.outbound.writes:
            applied = apply_claims(settings, endpoint)
            planned = applied.planned
        else:
            planned = plan_claims(settings, endpoint).document
    again = look_again(state, before, datetime.now(UTC), None if applied is None else first_pause(applied))
    yield dg.MaterializeResult(SUBMISSION["plan"], metadata={**_metadata(planned), **state, **again})
    if applied is None:
        return
    yield dg.MaterializeResult(SUBMISSION["cases"], metadata={**_metadata(applied.document), "sent": applied.sent})
    if applied.stopped:
        raise SubmissionStopped(applied.stopped)


def _metadata(document: PlanDocument) -> dict[str, Any]:
    amounts = {f"amount_{currency}": f"{amount:f}" for currency, amount in sorted(document.sums.items())}
    return {**plan_metadata(document), **amounts}


def first_pause(applied: AppliedClaims) -> timedelta | None:
    """When to look again, if anything may continue without a change of a row. Refused claims wait for a changed row, and those
    that need a human for the next day."""
    if applied.stopped is not None or any(_goes_on(row) for row in applied.document.rows):
        return AGAIN_AFTER
    return WAITING_PAUSE if WAITING in applied.document.summary else None


def _goes_on(row: PlanRow) -> bool:
    if any(reason.startswith(UNANSWERED) for reason in row.reasons):
        return True
    return row.state in (PLANNED, SENT) and not any(reason.startswith(HUMAN) for reason in row.reasons)
