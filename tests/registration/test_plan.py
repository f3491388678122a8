"""What is decided for each wanted client."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from debitura_pipeline.registration.listed import ListedClient
from debitura_pipeline.registration.plan import PlannedClient, Situation, plan_clients, recorded_clients
from debitura_pipeline.registration.record import Registration
from debitura_pipeline.registration.settle import settled
from debitura_pipeline.registration.states import NO_ROW
from debitura_pipeline.source import RosterClient, SourceRow, read_roster
from tests.source.rows import as_csv, client_row, put, settings_for

NOW = datetime(2026, 5, 1, 9, tzinfo=UTC)
ID = "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77"
ALL_DIFFER = "differs: company_name, country, registration_number"


@pytest.fixture
def row(tmp_path: Path) -> SourceRow[RosterClient]:
    path = tmp_path / "roster.csv"
    put(path, as_csv([client_row(1)]))
    return read_roster(settings_for(tmp_path, DEBITURA_ROSTER=path), NOW.date()).rows[0]


def known(state: str, row: SourceRow[RosterClient], *, changed: bool = False, **values: object) -> Registration:
    row_hash = "another" if changed else row.row_hash
    intent = NOW - timedelta(minutes=1)
    return replace(Registration("tenant-1", row_hash, state, intent_at=intent, attempts=1), **values)  # type: ignore[arg-type]


def decide(row: SourceRow[RosterClient], *registrations: Registration, **values: object) -> PlannedClient:
    situation = Situation(NOW, registrations={one.tenant: one for one in registrations}, **values)  # type: ignore[arg-type]
    return plan_clients([row], situation)[0]


@pytest.mark.parametrize(
    ("state", "changed", "becomes", "is_sent"),
    [
        ("planned", False, "planned", True),
        ("invalid", False, "planned", True),
        ("sent", False, "sent", True),
        ("sent", True, "sent", False),
        ("refused", False, "refused", False),
        ("refused", True, "planned", True),
        ("linked_elsewhere", False, "linked_elsewhere", False),
        ("linked_elsewhere", True, "planned", True),
        ("needs_linking", False, "needs_linking", False),
        ("needs_linking", True, "needs_linking", False),
        ("registered", False, "withdrawn", False),
        ("pending_signature", True, "withdrawn", False),
        ("withdrawn", True, "withdrawn", False),
    ],
)
def test_client_that_is_not_listed(
    row: SourceRow[RosterClient], state: str, changed: bool, becomes: str, is_sent: bool
) -> None:
    found = decide(row, known(state, row, changed=changed))
    assert (found.state, found.is_sent) == (becomes, is_sent)


def test_row_that_changed_while_in_doubt_is_sent_after_a_quarter_of_an_hour(row: SourceRow[RosterClient]) -> None:
    old = known("sent", row, changed=True, intent_at=NOW - timedelta(minutes=15))
    assert decide(row, old).is_sent


def test_client_never_seen_is_planned_and_one_that_a_sync_saw_is_withdrawn(row: SourceRow[RosterClient]) -> None:
    assert decide(row).is_sent
    assert decide(row, formerly_linked={"tenant-1"}).state == "withdrawn"


@pytest.mark.parametrize(
    ("event", "days_ago", "is_sent", "words"),
    [
        ("client.link_expired", 1, True, "its approval link has expired"),
        ("client.link_expired", 9, False, "has to approve"),
        ("client.link_declined", 1, False, "has declined"),
    ],
)
def test_events_about_an_approval_link(
    row: SourceRow[RosterClient], event: str, days_ago: int, is_sent: bool, words: str
) -> None:
    waiting = known("needs_linking", row, outcome_at=NOW - timedelta(days=8))
    found = decide(row, waiting, link_events={"tenant-1": (event, NOW - timedelta(days=days_ago))})
    assert found.is_sent == is_sent and words in found.reasons[0]


@pytest.mark.parametrize("state", ["registered", "withdrawn"])
def test_withdrawn_client_is_registered_again_only_if_a_person_says_so(
    row: SourceRow[RosterClient], state: str
) -> None:
    assert decide(row, known(state, row), again={"tenant-2"}).state == "withdrawn"
    assert decide(row, known(state, row), again={"tenant-1"}).is_sent
    assert decide(row, formerly_linked={"tenant-1"}, again={"tenant-1"}).is_sent


@pytest.mark.parametrize(
    ("state", "minutes", "words"),
    [
        ("pending_signature", 14, "it may be too new to be"),
        ("pending_signature", 15, "was linked, is no longer listed"),
        ("withdrawn", 1, "was linked, is no longer listed"),
    ],
)
def test_client_that_was_registered_just_now_may_not_be_listed_yet(
    row: SourceRow[RosterClient], state: str, minutes: int, words: str
) -> None:
    found = decide(row, known(state, row, outcome_at=NOW - timedelta(minutes=minutes)))
    assert found.state == "withdrawn" and words in found.reasons[0]


@pytest.mark.parametrize(
    ("listed", "state", "reasons"),
    [
        (ListedClient("tenant-1", ID, True, " HARBOUR supplies 1 aps ", "Denmark", "10001"), "registered", ()),
        (ListedClient("tenant-1", ID, False, None, None, None), "pending_signature", ()),
        (ListedClient("tenant-1", ID, True, "Other", "Sweden", "9"), "registered", (ALL_DIFFER,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [None, "sent", "refused", "needs_linking", "withdrawn"])
def test_listed_client_is_never_sent(
    row: SourceRow[RosterClient], listed: ListedClient, state: str, reasons: tuple[str, ...], before: str | None
) -> None:
    found = decide(row, *([known(before, row)] if before else []), listed={"tenant-1": listed})
    assert (found.state, found.reasons, found.is_sent) == (state, reasons, False)
    (recorded,) = settled((found,), Situation(NOW))
    assert (recorded.state, recorded.creditor_id) == (state, ID)


def test_client_in_doubt_that_left_the_roster_is_told_until_it_is_listed(row: SourceRow[RosterClient]) -> None:
    doubt = Registration("tenant-9", "x", "sent", intent_at=NOW)
    situation = Situation(NOW, registrations={"tenant-9": doubt})
    assert [(one.tenant, one.state, one.is_sent) for one in plan_clients([row], situation)] == [
        ("tenant-1", "planned", True),
        ("tenant-9", "sent", False),
    ]
    listed = replace(situation, listed={"tenant-9": ListedClient("tenant-9", ID, True)})
    plan = tuple(plan_clients([row], listed))
    assert [one.tenant for one in plan] == ["tenant-1"]
    assert {(one.tenant, one.state) for one in settled(plan, listed)} == {
        ("tenant-1", "planned"),
        ("tenant-9", "registered"),
    }


def test_invalid_row_does_not_forget_a_client_in_doubt(tmp_path: Path, row: SourceRow[RosterClient]) -> None:
    put(tmp_path / "bad.csv", as_csv([client_row(1, support_email="none")]))
    bad = read_roster(settings_for(tmp_path, DEBITURA_ROSTER=tmp_path / "bad.csv"), NOW.date()).rows[0]
    assert decide(bad).state == "invalid"
    for state in ("sent", "registered"):
        found = decide(bad, known(state, row))
        assert not found.is_sent
        assert not list(settled((found,), Situation(NOW)))
    assert decide(bad, known("sent", row)).state == "sent"


@pytest.mark.parametrize("state", ["registered", "sent", "needs_linking", "withdrawn", "refused"])
def test_status_shows_what_is_recorded(row: SourceRow[RosterClient], state: str) -> None:
    situation = Situation(NOW, registrations={"tenant-1": known(state, row)})
    assert [one.state for one in recorded_clients([row], situation)] == [state]
    assert [one.state for one in recorded_clients([], situation)] == [state]


@pytest.mark.parametrize("state", ["refused", "linked_elsewhere", "needs_linking", "invalid", "planned"])
def test_client_whose_row_is_gone_is_told_as_that_until_it_is_back(row: SourceRow[RosterClient], state: str) -> None:
    """It was told as refused for ever, with the advice to correct a row that was not there."""
    situation = Situation(NOW, registrations={"tenant-1": known(state, row)})
    (gone,) = settled((), situation)
    assert (gone.state, gone.message) == (state, NO_ROW)
    back = replace(situation, registrations={"tenant-1": gone})
    plan = tuple(plan_clients([row], back))
    assert NO_ROW not in plan[0].reasons
    (recorded,) = settled(plan, back)
    assert recorded.message != NO_ROW
