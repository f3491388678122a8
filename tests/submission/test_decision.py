"""What ends a conflict: a corrected row, or a case that turns out to be another row's; never an unanswered request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from debitura_pipeline.submission.decision import UNSEEN, VANISHED, Evidence, Send, Step, Stop, Wanted, next_step
from debitura_pipeline.submission.states import ClaimIdentity, Record

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CREDITOR, CASE = "6d5c1f9e-0000-4000-8000-000000000001", "7d5c1f9e-0000-4000-8000-000000000001"
CONFLICT = Record("tenant", "INV-1", CREDITOR, state="conflict", claim_hash="before", case_id=CASE)
LONG_AGO = NOW - timedelta(days=3)
REFUSED_BEFORE = {
    "http_status": 422,
    "error_types": "x",
    "attempts": 1,
    "intent_at": LONG_AGO,
    "last_attempt_at": LONG_AGO,
}
UNANSWERED = {"unanswered": 1, "attempts": 1, "intent_at": LONG_AGO, "last_attempt_at": LONG_AGO}


def step(record: Record, claim_hash: str, *of_others: str) -> Step:
    wanted = Wanted(ClaimIdentity("sandbox", CREDITOR, "INV-1"), claim_hash, "body")
    return next_step(record, wanted, Evidence(NOW, of_others=frozenset(of_others)), NOW)


def test_a_case_that_differed_and_is_no_longer_shown_keeps_the_claim_from_being_sent() -> None:
    assert step(CONFLICT, "before") == Stop(VANISHED)


@pytest.mark.parametrize(("claim_hash", "of_others"), [("corrected", ()), ("before", (CASE,)), ("corrected", (CASE,))])
def test_a_corrected_row_or_a_case_of_another_row_ends_a_conflict(claim_hash: str, of_others: tuple[str, ...]) -> None:
    assert step(CONFLICT, claim_hash, *of_others) == Send(0)
    assert step(CONFLICT.having(**REFUSED_BEFORE), claim_hash, *of_others) == Send(1), "the refused key is used up"


def test_a_created_case_that_differs_keeps_its_claim_from_a_new_key_until_a_person_says_that_it_is_gone() -> None:
    """The case was not shown yet; the corrected row went out at once, and there were two."""
    created = CONFLICT.having(**REFUSED_BEFORE).having(http_status=201, error_types=None, body_hash="body")
    for claim_hash in ("before", "corrected"):
        assert step(created, claim_hash) == Stop(UNSEEN)
        assert step(created, claim_hash, CASE) == Stop(UNSEEN)
    settled = created.having(state="planned", case_id=None)
    assert step(settled, "before") == Send(1), "the key would be answered with the deleted case"


def test_an_unanswered_request_outlasts_a_conflict() -> None:
    """It may have created the case that is no longer shown."""
    assert step(CONFLICT.having(**UNANSWERED), "corrected", CASE) == Stop(VANISHED)
