"""When sensor `wanted` looks again at what could not be finished: soon, then less and less often, and each day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.orchestration import register
from debitura_pipeline.orchestration.submit import WAITING_PAUSE, first_pause
from debitura_pipeline.orchestration.wanted import AGAIN_AFTER, due_reason, look_again
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.plan_document import PlanDocument, PlanRow
from debitura_pipeline.registration.states import OPEN
from debitura_pipeline.submission.decision import CHANGED
from debitura_pipeline.submission.plan import PlannedClaim, sums
from debitura_pipeline.submission.states import Record

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
STATE = {"source": "a", "clients_ready": "b", "may_write": "yes", "day": "2026-05-04"}
QUARTER = timedelta(minutes=15)


def document(*rows: tuple[str, str]) -> PlanDocument:
    found = tuple(PlanRow(number, "t", state, (why,) if why else ()) for number, (state, why) in enumerate(rows, 1))
    return PlanDocument("cases", "test", "api", "claims", NOW, found)


def applied(*rows: tuple[str, str], stopped: str | None = None) -> AppliedPlan:
    return AppliedPlan(document(), document(*rows), 0, stopped, open_states=frozenset())


@pytest.mark.parametrize(
    ("rows", "pause"),
    [
        ([("submitted", ""), ("refused", ""), ("ineligible", ""), ("invalid", "")], None),
        ([("sent", CHANGED), ("conflict", "needs a human: it differs")], None),
        ([("sent", CHANGED), ("sent", "a request is unanswered")], AGAIN_AFTER),
        ([("planned", "not sent: a lookup was not answered")], AGAIN_AFTER),
        ([("conflict", "could not be looked up or previewed: HTTP 500")], AGAIN_AFTER),
        ([("sent", CHANGED), ("waiting_for_client", "")], WAITING_PAUSE),
    ],
)
def test_only_what_a_later_run_can_settle_is_looked_at_again(
    rows: list[tuple[str, str]], pause: timedelta | None
) -> None:
    assert first_pause(applied(*rows)) == pause
    assert first_pause(applied(*rows, stopped="brake")) == AGAIN_AFTER


def test_client_in_doubt_that_the_roster_no_longer_has_requests_no_run() -> None:
    after = document(("sent", "its outcome is unknown"))
    assert register.pause_after_registering(AppliedPlan(after, after, 1, open_states=OPEN)) == AGAIN_AFTER
    gone = PlanDocument("clients", "test", "api", "roster", NOW, (PlanRow(None, "t", "sent"),))
    assert register.pause_after_registering(AppliedPlan(gone, gone, 0, open_states=OPEN)) is None


def test_pauses_get_longer_until_something_else_changes() -> None:
    handled: dict[str, str] = {}
    pauses, now = [], NOW
    for _ in range(5):
        again = look_again(STATE, handled, now, AGAIN_AFTER)
        pauses.append(datetime.fromisoformat(again["again_at"]) - now)
        handled = {**STATE, **again}
        assert due_reason(STATE, handled, now, "claims") is None
        now += pauses[-1]
        assert due_reason(STATE, handled, now, "claims") == "rows of the claims are in doubt or were not sent"
    assert [pause / QUARTER for pause in pauses] == [1, 4, 24, 24, 24]
    changed = look_again({**STATE, "source": "other"}, handled, now, AGAIN_AFTER)
    assert datetime.fromisoformat(changed["again_at"]) - now == AGAIN_AFTER
    assert look_again(STATE, handled, now, None) == {}
    assert look_again(STATE, {**STATE, "again_after_s": "900"}, now, WAITING_PAUSE)["again_after_s"] == "21600"


def test_new_day_is_a_reason_for_a_run() -> None:
    tomorrow: dict[str, Any] = {**STATE, "day": "2026-05-05"}
    assert due_reason(STATE, STATE, NOW, "claims") is None
    assert due_reason(tomorrow, STATE, NOW, "claims") == "a new day began for the claims"


def test_sums_are_of_what_would_be_sent() -> None:
    record = Record("t", "INV-1", amount=Decimal(5), currency="EUR")
    assert sums([PlannedClaim(record, reasons=("could not be looked up or previewed: HTTP 500",))]) == {}
