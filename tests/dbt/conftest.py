"""A world that several files of this folder look at."""

from __future__ import annotations

import pytest

from tests.dbt.worlds import World


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The first night of a partner without clients: tables, and not one row."""
    world = World(tmp_path_factory.mktemp("empty") / "warehouse.duckdb")
    world.build("--exclude-resource-type", "unit_test")
    return world
