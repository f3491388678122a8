"""The example in a DuckDB file and in Postgres, merged and built once for all that look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from debitura_pipeline.settings import Settings, load_settings
from tests.example.nights import merge_nights
from tests.support.dbt_build import build
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
