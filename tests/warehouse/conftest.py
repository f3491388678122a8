"""Each warehouse test runs once per engine, but for those of one engine's own ways: they have a fixture `engine` of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.prepared import lay_warehouse
from tests.warehouse.landings import Landings


@pytest.fixture
def env(warehouse_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a pipeline: an empty data directory, and for Postgres an empty database."""
    return {"DEBITURA_DATA_DIR": str(tmp_path / "data"), **warehouse_env}


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    return load_settings(env)


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[SqlWarehouse]:
    lay_warehouse(settings)
    with open_warehouse(settings) as opened:
        yield opened


@pytest.fixture
def landings(tmp_path: Path) -> Landings:
    return Landings(tmp_path / "landing")
