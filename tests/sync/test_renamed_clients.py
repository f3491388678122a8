"""Clients that get another tenant id: their rows are read again, although no total of theirs has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from debitura_pipeline.sync import land
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

RESOURCES = ("cases", "transactions")


@pytest.fixture
def pipeline(
    sandbox_factory: Callable[..., RunningSandbox],
    tmp_path_factory: pytest.TempPathFactory,
    warehouse_env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pipeline]:
    monkeypatch.setattr(land, "MAX_INCREMENTAL_SHARE", 100)  # a small world is otherwise read whole
    monkeypatch.setattr(land, "ABORT_SHARE", 100)
    sandbox = sandbox_factory(clients=12, cases=400, transactions=900)
    yield Pipeline(tmp_path_factory.mktemp("renamed"), sandbox, **warehouse_env)


def rename(pipeline: Pipeline, client: int, tenant: str) -> None:
    change = {"op": "row", "resource": "clients", "action": "set", "row": client, "column": "tenant", "value": tenant}
    pipeline.sandbox.admin("change", change)


def stale(pipeline: Pipeline, resource: str) -> int:
    """Live rows that have another tenant id than the record of their client."""
    sql = f"""SELECT count(*) FROM raw.{resource} AS r JOIN raw.clients AS c USING (creditor_id)
        WHERE r._deleted_at IS NULL AND r.external_tenant_id IS DISTINCT FROM c.external_tenant_id"""
    return int(pipeline.rows(sql)[0][0])


def modes(pipeline: Pipeline) -> dict[str, str]:
    """How each resource was read last."""
    return {report.resource: report.mode for report in pipeline.sync(small_requests=1)}


def test_two_clients_that_exchange_tenant_ids_have_their_rows_read_again(pipeline: Pipeline) -> None:
    """Each client's numbers of cases, and every sum, are what they were: rows kept the tenant id of another company."""
    pipeline.sync()
    first, second = (pipeline.sandbox.truth("clients")[row]["externalTenantId"] for row in (1, 2))
    rename(pipeline, 1, second)
    rename(pipeline, 2, first)
    assert modes(pipeline) == {"clients": "small", "cases": "nightly", "transactions": "nightly"}
    assert [stale(pipeline, resource) for resource in RESOURCES] == [0, 0]


def test_one_client_with_a_new_tenant_id_has_its_rows_read_once(pipeline: Pipeline) -> None:
    pipeline.sync()
    usual = {report.resource: report.requests for report in pipeline.sync(small_requests=1)}
    rename(pipeline, 3, "tenant-renamed")
    assert modes(pipeline) == {"clients": "small", "cases": "nightly", "transactions": "nightly"}
    assert [stale(pipeline, resource) for resource in RESOURCES] == [0, 0]
    again = {report.resource: report.requests for report in pipeline.sync(small_requests=1)}
    assert all(again[resource] <= usual[resource] for resource in RESOURCES)
