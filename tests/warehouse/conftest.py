"""Each warehouse test runs once per engine, but for those of a file's own ways, which say so by `ENGINES`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.open import open_warehouse
from tests.warehouse.landings import Landings


@pytest.fixture(params=["duckdb", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def env(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a pipeline on that engine: an empty data directory, and for Postgres an empty database."""
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    if engine == "postgresql":
        env["DEBITURA_WAREHOUSE"] = request.getfixturevalue("postgres").url
    return env


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    return load_settings(env)


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[SqlWarehouse]:
    with open_warehouse(settings) as opened:
        yield opened


@pytest.fixture
def landings(tmp_path: Path) -> Landings:
    return Landings(tmp_path / "landing")
