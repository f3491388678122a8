"""A kept plan binds: whatever has moved since, it is refused whole, in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.outbound.brake import LAST, Brake, Braked
from debitura_pipeline.outbound.plan_document import PlanDocument, PlanMoved, PlanRow, check_kept

AT = datetime(2026, 5, 1, 9, tzinfo=UTC)
ROWS = (
    PlanRow(1, "t-1", "planned", row_hash="a1", creditor_reference="I-1", success_fee_pct=Decimal("9.5")),
    PlanRow(2, "t-2", "registered", row_hash="a2"),
)
PLAN = PlanDocument("clients", "test", "the test API", "roster.csv", AT, ROWS, {"EUR": Decimal("10.50")})


def changed(number: int, **values: object) -> PlanDocument:
    rows = [replace(row, **values) if place == number else row for place, row in enumerate(ROWS, start=1)]  # type: ignore[arg-type]
    return replace(PLAN, rows=tuple(rows))


@pytest.mark.parametrize(
    "now",
    [
        PLAN,
        replace(PLAN, made_at=AT + timedelta(hours=23)),
        replace(PLAN, rows=tuple(reversed(ROWS))),
        changed(1, row=9, success_fee_pct=Decimal("9.50")),
    ],
)
def test_kept_plan_holds(tmp_path: Path, now: PlanDocument) -> None:
    PLAN.keep(tmp_path / "plan.json")
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600
    check_kept(tmp_path / "plan.json", now)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (replace(PLAN, made_at=AT + timedelta(hours=24)), "it was valid from 2026-05-01 09:00 to 2026-05-02 09:00 UTC"),
        (replace(PLAN, environment="production"), "its environment was test and is now production"),
        (replace(PLAN, source="other.csv"), "its source was roster.csv"),
        (replace(PLAN, sums={"EUR": Decimal("10.51")}), "its sums changed"),
        (changed(1, row_hash="b1"), r"1 row changed \(first: t-1 I-1, planned: its row, client or price differs\)"),
        (changed(2, state="withdrawn"), r"first: t-2, registered then, withdrawn now"),
        (changed(1, success_fee_pct=Decimal(10)), "1 row changed"),
        (replace(PLAN, rows=ROWS[:1]), r"1 row gone \(first: t-2, registered then, not there now\)"),
        (replace(PLAN, rows=(*ROWS, replace(ROWS[1], external_tenant_id="t-3"))), "1 row new"),
    ],
)
def test_kept_plan_that_moved_is_refused(tmp_path: Path, now: PlanDocument, words: str) -> None:
    PLAN.keep(tmp_path / "plan.json")
    with pytest.raises(PlanMoved, match=words) as raised:
        check_kept(tmp_path / "plan.json", now)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda path: path.write_text(path.read_text().replace("registered", "planned", 1)), PlanMoved),
        (lambda path: path.write_text("{"), SettingsError),
        (lambda path: path.write_text("[]"), SettingsError),
        (Path.unlink, SettingsError),
    ],
)
def test_plan_file_that_was_touched_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], error: type[Exception]
) -> None:
    PLAN.keep(tmp_path / "plan.json")
    spoil(tmp_path / "plan.json")
    with pytest.raises(error):
        check_kept(tmp_path / "plan.json", PLAN)


def test_document_has_the_documented_fields() -> None:
    facts = PLAN.facts()
    assert facts["summary"] == {"planned": 1, "registered": 1}
    assert facts["sums"] == {"EUR": "10.50"}
    assert facts["expires_at"] == "2026-05-02T09:00:00+00:00"
    json.dumps(facts)


def test_brake_stops_when_more_than_half_of_the_last_answers_are_bad() -> None:
    brake = Brake("clients")
    for number in range(LAST - 1):
        brake.note(is_bad=number % 2 == 0)
    brake.note(is_bad=False)
    brake.note(is_bad=True)
    with pytest.raises(Braked, match="11 of the last 20"):
        brake.note(is_bad=True)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [None]}, {"rows": [{"success_fee_pct": "much"}]}, {"made_at": None}, {"made_at": "2026-01-01"},
        {"expires_at": None, "made_at": None}, {"summary": None},
    ],
)  # fmt: skip
def test_file_with_a_right_hash_and_odd_parts_is_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    """As of a version that writes other parts."""
    facts = {name: value for name, value in {**PLAN.facts(), **change}.items() if name != "hash" and value is not None}
    content = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    (tmp_path / "plan.json").write_text(json.dumps({**facts, "hash": hashlib.sha256(content.encode()).hexdigest()}))
    with pytest.raises((SettingsError, PlanMoved), match=r"is not a plan|no longer holds"):
        check_kept(tmp_path / "plan.json", PLAN)
