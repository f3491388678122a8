"""Submitting claims: each claim of the source becomes exactly one case at Debitura, or a row that says why not."""

from debitura_pipeline.submission.run import (
    apply_claims,
    claims_status,
    plan_claims,
    status_document,
)

__all__ = ["apply_claims", "claims_status", "plan_claims", "status_document"]
