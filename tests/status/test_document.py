"""What `debitura status` holds against the nights, the published copy, the syncs and the queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api.rate_limit_state import RateLimitFile, RateLimitState
from debitura_pipeline.orchestration.nights import COMMAND, note_end, note_start
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.status import document
from debitura_pipeline.status.document import read_status_document
from debitura_pipeline.status.times import format_age, format_ago, format_duration
from debitura_pipeline.sync import read_status
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.publish import publish
from debitura_pipeline.warehouse.published_folder import NIGHT_FILE, current_night
from debitura_pipeline.warehouse.run_lock import exclusive_run

NOW = datetime.now(UTC)
PRODUCTION = {"DEBITURA_ENVIRONMENT": "production", "DEBITURA_API_KEY": "k"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), **PRODUCTION})


def insert(settings: Settings, table: str, *rows: dict[str, object]) -> None:
    with exclusive_run(settings), open_warehouse(settings) as warehouse:
        for row in rows:
            places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
            warehouse.execute(f"INSERT INTO ops.{table} ({', '.join(row)}) VALUES ({places})", tuple(row.values()))


def synced(settings: Settings, at: datetime, mode: str = "small", status: str = "done", **more: Any) -> None:
    row: dict[str, Any] = dict.fromkeys(("as_of", "started_at", "finished_at", "upper_bound"), at)
    row |= {"mode": mode, "status": status, "is_proven": True, **more}
    names = ("clients", "cases", "transactions")
    insert(settings, "syncs", *(row | {"sync_id": f"{name}-{at:%d%H}-{mode}", "resource": name} for name in names))


def published(settings: Settings, at: datetime, as_of: datetime | None) -> None:
    with exclusive_run(settings), open_warehouse(settings):
        pass
    night = publish(settings, now=lambda: at).night
    facts = {"published_at": at.isoformat(), "as_of": as_of and as_of.isoformat()}
    (night.path / NIGHT_FILE).write_text(json.dumps(facts))
    assert current_night(settings.published_dir) is not None


def test_a_failed_night_is_told_where_there_is_no_warehouse_yet(settings: Settings) -> None:
    note_start(settings, "r", COMMAND)
    note_end(settings, "r", is_proven=None, reason="HTTP 401 on GET /me", has_failed=True)
    found = read_status_document(settings, datetime.now(UTC))
    assert [night["reason"] for night in found["nights"]] == ["HTTP 401 on GET /me"]
    assert any(problem.endswith("failed: HTTP 401 on GET /me") for problem in found["problems"])
    note_start(settings, "s", COMMAND)
    note_end(settings, "s", is_proven=True, reason=None, has_failed=False)
    assert not [problem for problem in read_status_document(settings, NOW)["problems"] if "nightly run" in problem], (
        "made up for"
    )
    note_start(settings, "t", COMMAND)
    assert any("was killed" in problem for problem in read_status_document(settings, NOW)["problems"])


def test_what_is_published_may_be_a_day_old(settings: Settings) -> None:
    published(settings, NOW, as_of=NOW - timedelta(hours=23))
    assert not [problem for problem in read_status_document(settings, NOW)["problems"] if "published" in problem]
    later = NOW + timedelta(hours=1, minutes=5)
    assert [
        problem for problem in read_status_document(settings, later)["problems"] if "older than a day: 24 h" in problem
    ]
    with exclusive_run(settings):
        note_start(settings, "r", COMMAND)
        assert not [
            problem for problem in read_status_document(settings, later)["problems"] if "published" in problem
        ], "a night that is on will replace it"


def test_the_calendar_of_a_simulated_world_makes_nothing_old(tmp_path: Path) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})
    published(settings, NOW, as_of=datetime(2026, 1, 5, tzinfo=UTC))
    found = read_status_document(settings, NOW)
    assert found["published"]["age_s"] == 0
    assert not [problem for problem in found["problems"] if "published" in problem]
    late = read_status_document(settings, NOW + timedelta(days=3))
    assert [problem for problem in late["problems"] if "older than a day: 3 days" in problem]


def test_a_clients_own_sync_is_no_night(settings: Settings) -> None:
    """Onboarding at noon would make yesterday's figures look like today's."""
    synced(settings, NOW - timedelta(hours=30))
    synced(settings, NOW, mode="client")
    resources = read_status(settings)["resources"]
    assert {facts["as_of"] for facts in resources.values()} == {(NOW - timedelta(hours=30)).isoformat()}
    assert {facts["mode"] for facts in resources.values()} == {"small"}
    synced(settings, NOW + timedelta(hours=1), mode="client", status="failed", message="HTTP 503")
    problems = read_status(settings)["problems"]
    assert "last sync of one client's cases failed: HTTP 503" in problems
    assert not [problem for problem in problems if problem.startswith("last sync of cases")]


def test_who_waits_to_sign_is_counted_and_the_longest_named(settings: Settings) -> None:
    states = (
        ("new", 1, "waiting_for_signature"),
        ("old", 9, "waiting_for_signature"),
        ("x", 20, "loaded"),
        ("y", 30, "must_sign_again"),
    )
    names = ("partition_key", "external_tenant_id", "state", "first_seen_at")
    rows = [(tenant, tenant, state, NOW - timedelta(days=days)) for tenant, days, state in states]
    insert(settings, "onboarding", *(dict(zip(names, row, strict=True)) for row in rows))
    document = read_status_document(settings, NOW)
    waiting = document["waiting_to_sign"]
    assert document["must_sign_again"] == ["y"]
    assert (waiting["count"], waiting["longest_tenant_id"]) == (2, "old")
    assert waiting["longest_since"] == (NOW - timedelta(days=9)).isoformat()


def test_the_budget_is_that_of_the_book(settings: Settings) -> None:
    assert read_status_document(settings, NOW)["budget"] is None
    file = RateLimitFile(settings.data_dir / "budget-referral-api.debitura.com.json")
    for _ in range(7):
        file.record(NOW.timestamp())
    file.merge(RateLimitState(), NOW.timestamp(), reserve=0)
    assert read_status_document(settings, NOW)["budget"] == {
        "in_hour": 7, "in_day": 7, "per_hour": 20_000, "per_day": 100_000,
    }  # fmt: skip
    assert read_status_document(settings, NOW + timedelta(hours=2))["budget"]["in_hour"] == 0


def test_while_a_run_holds_the_file_the_published_copy_tells_of_syncs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "WAIT_S", 0.1)
    synced(settings, NOW - timedelta(hours=2))
    published(settings, NOW, as_of=NOW)
    with (
        exclusive_run(settings),
        open_warehouse(settings),
    ):  # another configuration of the same file, as of another process
        found = read_status_document(settings, NOW)
    assert "published copy" in str(found["note"])
    assert {facts["as_of"] for facts in found["resources"].values()} == {(NOW - timedelta(hours=2)).isoformat()}
    assert found["run"]["what"] == "run"


def test_a_warehouse_that_cannot_be_read_is_a_problem_and_hides_no_night(settings: Settings) -> None:
    note_start(settings, "r", COMMAND)
    note_end(settings, "r", is_proven=True, reason=None, has_failed=False)
    path = settings.warehouse.path
    assert path is not None
    path.write_bytes(b"not a database" * 1_000)
    found = read_status_document(settings, NOW)
    assert len(found["nights"]) == 1
    assert any(problem.startswith("the warehouse cannot be read") for problem in found["problems"])


def test_times_are_said_as_people_say_them() -> None:
    now = datetime(2026, 11, 22, 8, 4, tzinfo=UTC)
    assert format_age(datetime(2026, 11, 22, 2, tzinfo=UTC), now) == "02:00 UTC, 6 h ago"
    assert format_age(datetime(2026, 11, 21, 2, tzinfo=UTC), now) == "2026-11-21 02:00 UTC, 30 h ago"
    assert format_ago(now - timedelta(seconds=20), now) == format_ago(now + timedelta(seconds=20), now) == "just now"
    assert format_ago(now + timedelta(minutes=5), now) == "in 5 min"
    spans = [format_duration(timedelta(seconds=seconds)) for seconds in (40, 95, 5400, 86_400, 3 * 86_400)]
    assert spans == ["40 s", "1 min", "1 h", "24 h", "3 days"]


def test_clients_that_need_a_human_are_problems(settings: Settings) -> None:
    synced(settings, NOW)
    states = {"a": "refused", "b": "sent", "c": "needs_linking", "d": "needs_linking", "e": "registered"}
    for tenant, state in states.items():
        at = NOW - timedelta(days=15 if tenant == "c" else 1)
        insert(settings, "registrations", {"external_tenant_id": tenant, "state": state, "outcome_at": at})
    found = read_status_document(settings, NOW)
    assert found["registrations"] == {"needs_linking": 2, "refused": 1, "registered": 1, "sent": 1}
    assert [problem for problem in found["problems"] if "client" in problem and "(" in problem] == [
        "1 client (a) refused by Debitura: correct the row in the roster (`debitura clients status`)",
        "1 client (b) sent without a known outcome: run `debitura clients apply`",
        "1 client (c) not linked for more than 14 days: pass on the link of `debitura clients links`",
    ]


def test_claims_that_need_a_human_are_problems(settings: Settings) -> None:
    synced(settings, NOW)
    states = {"A": ("conflict", "needs a human: it differs"), "B": ("sent", "needs a human: the row changed")}
    states |= {"C": ("sent", "a request is unanswered"), "D": ("refused", ""), "E": ("submitted", "")}
    rows: list[dict[str, object]] = [
        {"external_tenant_id": "t", "creditor_reference": reference, "state": state, "message": message}
        for reference, (state, message) in states.items()
    ]
    insert(settings, "submissions", *rows)
    found = read_status_document(settings, NOW)
    assert found["claims"] == {"conflict": 1, "refused": 1, "sent": 2, "submitted": 1}
    assert [problem for problem in found["problems"] if "claim" in problem] == [
        "2 claims (t A, t B) to be decided by a person: `debitura cases status` says what to do",
        "1 claim (t D) refused by Debitura: correct the row (`debitura cases status`)",
        "1 claim (t C) sent without a known outcome: run `debitura cases apply`",
    ]
