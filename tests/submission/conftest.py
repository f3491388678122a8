"""A sandbox for the tests of one file, and a partner with claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.submission.partner import Claims
from tests.support.sandbox import RunningSandbox, start_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=4, cases=40, transactions=2, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture
def tenant(sandbox: RunningSandbox) -> str:
    """A client that has signed everything."""
    clients = sandbox.get("/clients", {"PageSize": 100, "OnboardingDone": "true"})["clients"]
    return str(clients[0]["externalTenantId"])


@pytest.fixture
def partner(tmp_path: Path, sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Claims:
    """On DuckDB, or on both engines for a test that asks for `warehouse_env`."""
    sandbox.faults()
    sandbox.undocumented()
    sandbox.admin("ledger", method="DELETE")
    env = request.getfixturevalue("warehouse_env") if "warehouse_env" in request.fixturenames else {}
    return Claims(tmp_path, sandbox, **env)
