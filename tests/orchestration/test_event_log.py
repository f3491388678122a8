"""The event log that keeps its connections: Dagster reads what it wrote, nothing is left open, and errors do not stick."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from debitura_pipeline.orchestration.event_log import MAX_OPEN, OpenEventLog
from debitura_pipeline.orchestration.home import CONFIG, TEMPLATE
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.settings import Settings, load_settings


@dg.asset
def figures() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})


def test_dagsters_own_instance_reads_the_same_events(settings: Settings) -> None:
    home = settings.dagster_home
    with open_instance(settings) as instance:
        runs = [dg.materialize([figures], instance=instance).run_id for _ in range(MAX_OPEN + 1)]
        kept = {run: [entry.message for entry in instance.all_logs(run)] for run in runs}
        assert isinstance(instance.event_log_storage, OpenEventLog)
    assert not list(home.rglob("*.db-wal")), "the last connection to close writes the log back"
    with dg.DagsterInstance.from_config(str(home)) as plain:
        assert {run: [entry.message for entry in plain.all_logs(run)] for run in runs} == kept
        assert len(plain.fetch_materializations(figures.key, limit=10).records) == len(runs)


def test_storage_of_a_customised_file_is_left_alone(settings: Settings) -> None:
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / CONFIG).write_text(TEMPLATE + "# mine\n")
    with open_instance(settings) as instance:
        assert not isinstance(instance.event_log_storage, OpenEventLog)


def test_connection_that_failed_is_not_used_again(tmp_path: Path) -> None:
    log = OpenEventLog(str(tmp_path))
    with log.index_connection() as first:
        used = first.connection.dbapi_connection
    with pytest.raises(OperationalError), log.index_connection() as connection:
        connection.execute(text("INSERT INTO nothing VALUES (1)"))
    with log.index_connection() as after:
        assert after.connection.dbapi_connection is not used
        assert after.execute(text("PRAGMA synchronous")).scalar() == 1
    log.dispose()
