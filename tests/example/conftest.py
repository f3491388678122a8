"""The example in a DuckDB file and in Postgres, merged and built once for all that look at it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.orchestration.dbt import incremental_models
from debitura_pipeline.orchestration.manifest import DBT_PROJECT, QUIET, dbt_environment, dbt_executable
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from tests.example.nights import merge_nights
from tests.support.postgres import PostgresServer

WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")


@pytest.fixture(scope="module")
def warehouses(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[dict[str, Settings]]:
    """Settings of both warehouses by engine."""
    with postgres_server.database() as database:
        found = {}
        for engine, env in (("duckdb", {}), ("postgres", {"DEBITURA_WAREHOUSE": database.url})):
            folder = tmp_path_factory.mktemp(engine)
            settings = found[engine] = load_settings({"DEBITURA_DATA_DIR": str(folder), **env}, root=folder)
            merge_nights(settings, folder / "landed")
            build(settings, folder / "target")
        yield found


def build(settings: Settings, target: Path) -> None:
    """All seeds and models, without dbt's tests."""
    warehouse, more = settings.warehouse, list[str]()
    if warehouse.dsn is not None:
        create_next_schemas(warehouse, incremental_models())
        more = ["--vars", '{"schema_suffix": "__next"}']
    subprocess.run(
        [dbt_executable(), "--quiet", "build", *WITHOUT_TESTS, "--target-path", target, "--log-path", target, *more],
        cwd=DBT_PROJECT,
        env={**os.environ, **QUIET, **dbt_environment(settings)},
        check=True,
    )
    if warehouse.dsn is not None:
        swap_schemas(warehouse)
