"""A process whose environment points at a sandbox and a fresh data directory, and a Dagster instance that forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.settings import Settings, load_settings
from tests.orchestration.ticks import Ticks
from tests.support.sandbox import RunningSandbox

Pointed = Callable[[RunningSandbox], Settings]


@pytest.fixture
def point_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pointed:
    """`point_at(sandbox)` sets the environment as a user would, and gives the settings that follow from it."""

    def point(sandbox: RunningSandbox) -> Settings:
        values = {
            "DEBITURA_ENVIRONMENT": "sandbox",
            "DEBITURA_API_URL": sandbox.url,
            "DEBITURA_API_KEY": sandbox.key,
            "DEBITURA_CUSTOMER_API_URL": sandbox.customer_url,
            "DEBITURA_DATA_DIR": str(tmp_path / "data"),
            "DEBITURA_REQUESTS_PER_MINUTE": "1000000",
        }
        for name in ("DAGSTER_HOME", "DEBITURA_WAREHOUSE", "DEBITURA_PRIVACY", "DEBITURA_PRIVACY_KEY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return point


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def ticks(
    sandbox_factory: Callable[..., RunningSandbox],
    point_at: Pointed,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[RunningSandbox, Ticks]:
    sandbox = sandbox_factory(clients=1, cases=10, transactions=10)
    return sandbox, Ticks(instance, point_at(sandbox), monkeypatch)
