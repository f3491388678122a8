"""A data directory after one sync, and scenes for the cases to be played in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doctor.case import Scene
from tests.support.disk import can_mount
from tests.support.pipeline import Pipeline
from tests.support.postgres import PostgresServer
from tests.support.sandbox import RunningSandbox


@pytest.fixture(scope="session")
def synced(shared_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a privacy key of its own, made by the sync."""
    data = tmp_path_factory.mktemp("synced") / "data"
    Pipeline(data, shared_sandbox, DEBITURA_PRIVACY_KEY="").sync()
    return data


@pytest.fixture(scope="session")
def may_mount() -> bool:
    return can_mount()


@pytest.fixture
def scene(
    tmp_path: Path, shared_sandbox: RunningSandbox, synced: Path, postgres_server: PostgresServer
) -> Iterator[Scene]:
    with ExitStack() as stack:
        env = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
        yield Scene(tmp_path, shared_sandbox, synced, postgres_server, stack, env)
