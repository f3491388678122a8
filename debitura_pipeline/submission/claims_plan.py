"""A plan of claims, and its document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from debitura_pipeline.outbound.plan_document import PlanDocument
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import Claim, SourceRead
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.identity import api_name

KIND = "cases"


@dataclass(frozen=True)
class ClaimsPlan:
    """The plan: every wanted claim, and every claim in doubt that is no longer wanted. `unwanted`: the other records whose row is
    gone, as they are to be stored. `stopped`: why not every claim was looked up, None if they all were."""

    source: SourceRead[Claim]
    claims: tuple[PlannedClaim, ...]
    document: PlanDocument
    unwanted: tuple[Record, ...] = ()
    stopped: str | None = None


def document_of(settings: Settings, label: str, claims: Sequence[PlannedClaim], now: datetime) -> PlanDocument:
    """The plan as a document."""
    rows = tuple(one.as_plan_row() for one in claims)
    return PlanDocument(KIND, settings.environment, _apis(settings), label, now, rows, plan.sums(claims))


def _apis(settings: Settings) -> str:
    """Both APIs that a claim depends on: its client is looked up at one, its case created at the other."""
    customer = settings.customer_api_url
    return api_name(settings) if customer is None else f"{api_name(settings)}, {urlsplit(customer).netloc}"
