"""Old runs go from Dagster's storage; what is on, what is newest, and which clients are done stay known."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.orchestration import retention
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING, PARTNER_TAG, RAW
from debitura_pipeline.orchestration.progress import read_progress
from debitura_pipeline.orchestration.retention import purge_old_runs
from debitura_pipeline.settings import Settings, load_settings
from tests.support.postgres import Database

LATER = datetime.now(UTC) + timedelta(days=91)


@pytest.fixture(params=["files", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    values = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    if request.param == "postgres":
        database: Database = request.getfixturevalue("postgres")
        values["DAGSTER_POSTGRES_URL"] = database.url
    return load_settings(values)


@dg.job
def empty() -> None:
    pass


@dg.asset(key=RAW["cases"])
def cases() -> None:
    pass


@dg.asset(key=ONBOARDING["history"], partitions_def=CLIENTS)
def history() -> None:
    pass


def run_ids(instance: dg.DagsterInstance) -> set[str]:
    return {record.dagster_run.run_id for record in instance.get_run_records()}


def done(instance: dg.DagsterInstance) -> set[str]:
    return {key for key, found in read_progress(instance, LATER).items() if found.is_done}


def test_old_runs_go_and_nothing_that_still_counts_goes_with_them(storage: Settings) -> None:
    with open_instance(storage) as instance:
        instance.add_dynamic_partitions(str(CLIENTS.name), ["a@1", "b@2"])
        loaded = [dg.materialize([history], instance=instance, partition_key=key) for key in ("a@1", "b@2")]
        nights = [dg.materialize([cases], instance=instance) for _ in range(2)]
        going_on = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED).run_id
        failed = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.FAILURE).run_id
        output = storage.dagster_home / "storage" / failed
        output.mkdir(parents=True)

        assert purge_old_runs(instance, storage, datetime.now(UTC)) == 0
        assert purge_old_runs(instance, dataclasses.replace(storage, keep_run_days=0), LATER) == 0
        assert purge_old_runs(instance, storage, LATER) == 3
        assert run_ids(instance) == {loaded[1].run_id, nights[1].run_id, going_on}
        assert not output.exists()
        assert not list(storage.dagster_home.rglob(f"{failed}*"))
        assert done(instance) == {"a@1", "b@2"}
        latest = instance.get_latest_materialization_event(RAW["cases"])
        assert latest is not None
        assert latest.run_id == nights[1].run_id
        assert purge_old_runs(instance, storage, LATER) == 1
        assert run_ids(instance) == {nights[1].run_id, going_on}
        assert done(instance) == {"a@1", "b@2"}
        assert purge_old_runs(instance, storage, LATER) == 0


def test_a_backlog_is_worked_off_in_parts(storage: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night must not take an hour longer because somebody has set the number of days lower."""
    monkeypatch.setattr(retention, "MAX_DELETED", 2)
    with open_instance(storage) as instance:
        runs = [instance.create_run_for_job(empty, status=dg.DagsterRunStatus.SUCCESS).run_id for _ in range(3)]
        assert purge_old_runs(instance, storage, LATER) == 2
        assert run_ids(instance) == {runs[-1]}
        assert purge_old_runs(instance, storage, LATER) == 1


def test_runs_behind_many_that_are_kept_are_reached(storage: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many partners, each one's newest good runs collect at the front, and nothing would be deleted any more."""
    for name, number in {"MAX_DELETED": 2, "PAGE": 2, "MAX_PAGES": 2}.items():
        monkeypatch.setattr(retention, name, number)
    partners = tuple("abcde")
    everybody = dataclasses.replace(storage, serves=partners)
    with open_instance(storage) as instance:

        def a_run(partner: str, status: dg.DagsterRunStatus) -> str:
            return instance.create_run_for_job(empty, status=status, tags={PARTNER_TAG: partner}).run_id

        good = [a_run(partner, dg.DagsterRunStatus.SUCCESS) for partner in partners]
        for _ in range(3):
            a_run("a", dg.DagsterRunStatus.FAILURE)
        assert [purge_old_runs(instance, everybody, LATER) for _ in range(3)] == [0, 2, 1]
        assert run_ids(instance) == set(good)
        without_b = dataclasses.replace(storage, serves=("a", *partners[2:]))
        assert purge_old_runs(instance, without_b, LATER) == 1, (
            "starts again, and finds a partner that is not served any more"
        )
        instance.delete_run(good[-1])
        a_run("a", dg.DagsterRunStatus.FAILURE)
        assert sum(purge_old_runs(instance, without_b, LATER) for _ in range(3)) == 1
        assert run_ids(instance) == {good[0], *good[2:-1]}
