"""`cases apply` against the sandbox over HTTP: each claim once, whatever gets lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.submission.partner import Claims, claim, fault
from tests.support.sandbox import RunningSandbox, start_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=4, cases=40, transactions=2, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture
def partner(tmp_path: Path, sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Claims:
    """On DuckDB, or on both engines for a test that asks for `warehouse_env`."""
    sandbox.faults()
    sandbox.undocumented()
    sandbox.admin("ledger", method="DELETE")
    env = request.getfixturevalue("warehouse_env") if "warehouse_env" in request.fixturenames else {}
    return Claims(tmp_path, sandbox, **env)


_next = iter(range(1, 10_000))


@pytest.fixture
def tenant(sandbox: RunningSandbox) -> str:
    """A client that has signed everything."""
    clients = sandbox.get("/clients", {"PageSize": 100, "OnboardingDone": "true"})["clients"]
    return str(clients[0]["externalTenantId"])


def claims(tenant: str, count: int = 1, **changes: str) -> list[dict[str, str]]:
    """Claims that no other test has."""
    return [claim(tenant, next(_next), **changes) for _ in range(count)]


@pytest.mark.usefixtures("warehouse_env")
def test_each_claim_is_sent_once_and_a_second_apply_sends_nothing(partner: Claims, tenant: str) -> None:
    wanted = claims(tenant, 3)
    partner.wants(*wanted, claim(tenant, 0, amount="none"), claim("nobody", 0))
    planned = partner.plan()
    assert [one.state for one in planned.claims] == ["planned"] * 3 + ["invalid", "waiting_for_client"]
    assert partner.posts() == []
    first = partner.apply()
    assert first.document.summary == {"invalid": 1, "submitted": 3, "waiting_for_client": 1} and not first.is_open
    second = partner.apply()
    assert (second.sent, second.document.summary) == (0, first.document.summary)
    assert len(partner.posts()) == 3
    assert all(partner.cases(row["creditor_reference"]) == 1 for row in wanted)
