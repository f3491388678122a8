"""Histories of several clients: one reading and one merge, each client by itself, or everything where that is cheaper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.errors import ApiError
from debitura_pipeline.sync import check_certificates, replay
from debitura_pipeline.sync.clients import WantedClient, clients_requests, sync_clients, whole_requests
from tests.support.day import engine_of_the_day
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

Sandboxes = Callable[..., RunningSandbox]


@pytest.fixture
def pipeline(sandbox_factory: Sandboxes, tmp_path: Path, warehouse_env: dict[str, str]) -> Pipeline:
    """A partner of whom nothing is loaded, with three small clients beside a large one."""
    sandbox = sandbox_factory(clients=1, cases=900, transactions=1_500)
    for number in range(3):
        sandbox.admin("clients", {"tenant": f"new-{number}", "cases": 2 + number, "transactions": 3 + number})
    return Pipeline(tmp_path / "data", sandbox, **warehouse_env)


def load(pipeline: Pipeline, *tenants: str, due: int | None = None) -> tuple[dict[str, int], dict[str, str], bool]:
    wanted = [WantedClient(tenant) for tenant in tenants]
    found = sync_clients(pipeline.settings, pipeline.endpoint, wanted, due)
    return {report.resource: report.rows_read for report in found.reports}, dict(found.failed), found.is_whole


def tenants_in(pipeline: Pipeline, resource: str) -> dict[str, int]:
    return dict(pipeline.rows(f"SELECT external_tenant_id, count(*) FROM raw.{resource} GROUP BY 1 ORDER BY 1"))


@engine_of_the_day("duckdb")
def test_several_clients_are_one_reading_and_one_merge_per_resource(pipeline: Pipeline) -> None:
    """Fifty merges take fifty times as long as one; and their certificates hold like any other."""
    rows, failed, is_whole = load(pipeline, "new-0", "new-1", "new-2")
    assert (rows, failed, is_whole) == ({"clients": 3, "cases": 9, "transactions": 12}, {}, False)
    assert pipeline.rows("SELECT resource, mode, status, is_proven FROM ops.syncs ORDER BY started_at, 1") == [
        (resource, "client", "done", True) for resource in ("cases", "transactions", "clients")
    ]
    assert tenants_in(pipeline, "cases") == {"new-0": 2, "new-1": 3, "new-2": 4}
    assert tenants_in(pipeline, "clients") == {"new-0": 1, "new-1": 1, "new-2": 1}
    assert not any(finding.faults for finding in check_certificates(pipeline.settings).findings)
    before = pipeline.state()
    assert replay(pipeline.settings) == {"clients": 3, "cases": 9, "transactions": 12}
    assert pipeline.state() == before
    load(pipeline, "new-0", "new-1", "new-2")
    assert pipeline.state() == before, "a second run changes nothing"


@engine_of_the_day("postgresql")
def test_rows_that_a_client_no_longer_has_are_marked_and_those_of_others_are_left_alone(pipeline: Pipeline) -> None:
    load(pipeline, "new-0", "new-1", "new-2")
    for row in (-6, -1):  # the newest transactions are those of new-2, five of them; before these, new-1's
        pipeline.sandbox.admin("change", {"op": "row", "resource": "transactions", "action": "delete", "row": row})
    load(pipeline, "new-0", "new-1")
    found = pipeline.rows("SELECT external_tenant_id FROM raw.transactions WHERE _deleted_at IS NOT NULL")
    assert found == [("new-1",)]


@engine_of_the_day("duckdb")
def test_a_client_that_cannot_be_read_holds_up_no_other(pipeline: Pipeline) -> None:
    pipeline.sandbox.faults({"kind": "status", "status": 403, "path": "/cases", "query": "new-1", "times": 0})
    rows, failed, _ = load(pipeline, "new-0", "new-1", "new-2")
    assert rows == {"clients": 2, "cases": 6, "transactions": 8}
    assert list(failed) == ["new-1"]
    assert "HTTP 403" in failed["new-1"]
    assert tenants_in(pipeline, "clients") == {"new-0": 1, "new-2": 1}, (
        "a client is shown with its history or not at all"
    )
    pipeline.sandbox.faults()
    assert load(pipeline, "new-1")[0] == {"clients": 1, "cases": 3, "transactions": 4}


def test_where_none_can_be_read_the_error_is_raised(pipeline: Pipeline) -> None:
    pipeline.sandbox.faults({"kind": "status", "status": 403, "path": "/cases", "times": 0})
    with pytest.raises(ApiError, match="HTTP 403"):
        load(pipeline, "new-0", "new-1")


@engine_of_the_day("postgresql")
def test_everything_is_read_where_that_takes_fewer_requests(pipeline: Pipeline) -> None:
    """The many that wait behind these are served by the same reading."""
    _, _, is_whole = load(pipeline, "new-0", "new-1", due=1_000)
    assert is_whole
    assert sum(tenants_in(pipeline, "cases").values()) == 909
    assert len(tenants_in(pipeline, "clients")) == 4
    assert {mode for (mode,) in pipeline.rows("SELECT DISTINCT mode FROM ops.syncs")} == {"full"}


def test_requests_are_estimated_from_what_is_known() -> None:
    counts = {"clients": 5_000, "cases": 15_000, "transactions": 20_000}
    assert whole_requests(counts) == 52 + 153 + 204
    small, large = WantedClient("a", 3), WantedClient("b", 990)
    assert clients_requests([small], 1, counts) == 3
    assert clients_requests([small], 5_000, counts) == 15_000
    assert clients_requests([large], 1, counts) == 1 + 11 + 15
    assert clients_requests([WantedClient("c")], 1, counts) == 3
