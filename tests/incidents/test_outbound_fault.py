"""What stops registering and submitting is reported, and over once an apply was complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from debitura_pipeline.errors import RefusedError, SourceError, WarehouseBusy, WarehouseError
from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.facts import NightFact
from debitura_pipeline.incidents.findings import NIGHT
from debitura_pipeline.incidents.judge import judge
from debitura_pipeline.incidents.outbound_fault import clear_fault, note_fault, outbound_noted, read_faults
from debitura_pipeline.incidents.read_warehouse import read_warehouse_facts
from debitura_pipeline.orchestration import telling
from debitura_pipeline.orchestration.jobs import NIGHTLY, ONBOARD, OUTBOUND, REFRESH, REFRESH_REPORTS
from debitura_pipeline.orchestration.resources import TOLD_JOBS
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.incidents.planted import clean, good_night
from tests.source.rows import put, settings_for
from tests.support.command import debitura


def kinds_of(folder: Path) -> list[str]:
    return [fault.kind for fault in read_faults(folder / "data")]


def test_what_ends_an_apply_is_noted_until_one_is_complete(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    ends = ((SourceError("gone"), kinds.SOURCE_UNREADABLE), (WarehouseError("lost"), kinds.OUTBOUND_STOPPED))
    for error, kind in ends:
        with pytest.raises(type(error)), outbound_noted(settings, "claims"):
            raise error
        assert kinds_of(tmp_path) == [kind]
    with outbound_noted(settings, "claims") as note_stop:
        note_stop(None)
    assert kinds_of(tmp_path) == []
    with pytest.raises(WarehouseBusy), outbound_noted(settings, "claims"):
        raise WarehouseBusy("another run")
    assert kinds_of(tmp_path) == []
    with outbound_noted(settings, "claims") as note_stop:
        note_stop("11 of the last 20 claims were refused")
    assert kinds_of(tmp_path) == [kinds.OUTBOUND_STOPPED]


def test_key_that_an_apply_finds_refused_is_one_incident_with_a_night_that_does(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "claims.csv")
    for _ in range(2):
        with pytest.raises(RefusedError), outbound_noted(settings, "claims"):
            raise RefusedError("HTTP 401 on GET /clients: the key is refused", 401)
    facts = telling.gather(settings, datetime.now(UTC))
    nights = (good_night(facts.now),)
    told = replace(clean(facts.now, nights), outbound=facts.outbound)
    (found,) = judge(told).open_
    assert (found.kind, found.subject) == (causes.KEY_REFUSED, NIGHT)
    failing = NightFact(facts.now, facts.now, False, causes.KEY_REFUSED, "HTTP 401")
    assert [one.kind for one in judge(replace(told, nights=(*nights, failing))).open_] == [causes.KEY_REFUSED]
    later = facts.now + timedelta(hours=9)
    assert judge(replace(clean(later), outbound=facts.outbound)).open_ == (), "a night has used the key"


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_other_refusals_of_an_apply_do_not_blame_the_key(tmp_path: Path, status: int) -> None:
    with pytest.raises(RefusedError), outbound_noted(settings_for(tmp_path), "claims"):
        raise RefusedError(f"HTTP {status} on GET /clients", status)
    assert kinds_of(tmp_path) == [kinds.OUTBOUND_STOPPED]


def test_what_the_sensor_cannot_read_for_a_moment_is_not_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, DEBITURA_ROSTER=tmp_path / "roster.csv")
    note_fault(settings.data_dir, "roster", kinds.SOURCE_UNREADABLE, SourceError("gone"), is_passing=True)
    facts = telling.gather(settings, datetime.now(UTC))
    assert facts.outbound is not None
    told = replace(clean(facts.now), outbound=facts.outbound)
    assert judge(told).open_ == ()
    (later,) = judge(replace(clean(facts.now + timedelta(minutes=3)), outbound=facts.outbound)).open_
    assert (later.kind, later.what) == (kinds.SOURCE_UNREADABLE, "gone.")
    clear_fault(settings.data_dir, "roster", passing_only=True)
    assert kinds_of(tmp_path) == []
    note_fault(settings.data_dir, "roster", kinds.SOURCE_UNREADABLE, SourceError("lost rows"))
    clear_fault(settings.data_dir, "roster", passing_only=True)
    assert kinds_of(tmp_path) == [kinds.SOURCE_UNREADABLE], "that it can be read does not bring back its rows"
    assert telling.gather(settings_for(tmp_path), facts.now).outbound == (), "no roster is wanted any more"


def test_claim_that_a_lookup_cannot_decide_about_is_no_case_for_another_apply(tmp_path: Path) -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    with open_warehouse(settings_for(tmp_path)) as warehouse:
        unclear = [("a", "not answered"), ("b", "needs a human: its row changed")]
        Records(warehouse).store(Record("t", name, state="sent", message=why, intent_at=at) for name, why in unclear)
        stuck = read_warehouse_facts(warehouse, at, is_simulated=False).stuck
    commands = [kinds.KINDS[fact.kind].command for fact in stuck]
    assert commands == ["debitura cases apply", "debitura cases status"]


def test_apply_tells_incidents_at_its_end(tmp_path: Path) -> None:
    put(tmp_path / "roster.csv", "nothing\n")
    env = {
        "DEBITURA_DATA_DIR": str(tmp_path / "data"),
        "DEBITURA_ROSTER": str(tmp_path / "roster.csv"),
        "DEBITURA_WRITES": "clients",
    }
    (tmp_path / "data").mkdir()
    assert debitura("clients", "apply", env=env).status == 2
    assert kinds_of(tmp_path) == [kinds.SOURCE_UNREADABLE]
    assert '"source_unreadable"' in (tmp_path / "data" / "incidents" / "state.json").read_text()


def test_all_jobs_that_change_the_figures_or_the_api_are_told() -> None:
    assert {NIGHTLY, ONBOARD, OUTBOUND, REFRESH, REFRESH_REPORTS} == TOLD_JOBS
