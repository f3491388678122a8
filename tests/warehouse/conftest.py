"""Each warehouse test runs once per engine; `engine` is where the next engine is added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.open import open_warehouse
from tests.warehouse.landings import Landings


@pytest.fixture(params=["duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(engine: str, tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[SqlWarehouse]:
    with open_warehouse(settings) as opened:
        yield opened


@pytest.fixture
def landings(tmp_path: Path) -> Landings:
    return Landings(tmp_path / "landing")
