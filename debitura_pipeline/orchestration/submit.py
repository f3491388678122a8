"""The submission step of a run of job `outbound`. Metadata has counts, sums and states only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.keys import SUBMISSION
from debitura_pipeline.orchestration.outbound import OutboundStep, execute, plan_metadata
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.wanted import AGAIN_AFTER
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.permission import CASES
from debitura_pipeline.outbound.plan_document import PlanDocument, PlanRow
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source.claims import CLAIMS
from debitura_pipeline.submission import apply_claims, plan_claims
from debitura_pipeline.submission.plan import UNANSWERED
from debitura_pipeline.submission.states import HUMAN, PLANNED, SENT, WAITING

# Papers that a client signs change nothing that the sensor sees; each look costs two requests a claim.
WAITING_PAUSE = timedelta(hours=6)


class SubmissionStopped(DebituraError):
    """A plan or an apply ended before every claim was looked up or tried."""


def submit_claims(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    """Plan, and apply if DEBITURA_WRITES allows it. Yields nothing without a source of claims.

    Raises SubmissionStopped after the results, and what the plan raises.
    """
    yield from execute(_STEP, context, debitura)


def _metadata(document: PlanDocument) -> dict[str, Any]:
    amounts = {f"amount_{currency}": f"{amount:f}" for currency, amount in sorted(document.sums.items())}
    return {**plan_metadata(document), **amounts}


def first_pause(applied: AppliedPlan) -> timedelta | None:
    """When to look again, if anything may continue without a change of a row. Refused claims wait for a changed row, and those
    that need a human for the next day."""
    if applied.stopped is not None or any(_goes_on(row) for row in applied.document.rows):
        return AGAIN_AFTER
    return WAITING_PAUSE if WAITING in applied.document.summary else None


def _goes_on(row: PlanRow) -> bool:
    if any(reason.startswith(UNANSWERED) for reason in row.reasons):
        return True
    return row.state in (PLANNED, SENT) and not any(reason.startswith(HUMAN) for reason in row.reasons)


def _whole_plan(settings: Settings, endpoint: Endpoint) -> PlanDocument:
    """The plan. Raises SubmissionStopped if the limit of requests did not suffice for all claims."""
    found = plan_claims(settings, endpoint)
    if found.stopped is not None:
        raise SubmissionStopped(f"Not every claim was looked up: {found.stopped}")
    return found.document


_STEP = OutboundStep(
    CLAIMS, CASES, SUBMISSION["plan"], SUBMISSION["cases"],
    plan=_whole_plan,
    apply=apply_claims, describe=_metadata, pause=first_pause, stopped=SubmissionStopped,
)  # fmt: skip
