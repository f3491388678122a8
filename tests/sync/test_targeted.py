"""Targeted reads: cases by id and some clients' rows, landed and proven as any sync, without weakening the others' proofs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.errors import ApiError
from debitura_pipeline.sync import Targets, check_certificates, replay, sync_targets
from debitura_pipeline.sync.targeted import TargetedSync
from tests.support.day import engine_of_the_day
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox
from tests.support.truth import expected

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def pipeline(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> Pipeline:
    found = Pipeline(tmp_path / "data", sandbox_factory(clients=3, cases=40, transactions=60))
    found.sync()
    return found


def target(pipeline: Pipeline, **named: tuple[str, ...]) -> TargetedSync:
    return sync_targets(pipeline.settings, pipeline.endpoint, Targets(**named))


def changed_cases(pipeline: Pipeline) -> set[str]:
    """Ids of cases of which `raw` is no longer the truth."""
    ours, now = pipeline.records("cases"), truth(pipeline, "cases")
    return {key for key in now if key in ours and now[key] != ours[key]}


def truth(pipeline: Pipeline, resource: str) -> dict[str, dict[str, object]]:
    return expected(resource, pipeline.sandbox.truth(resource), pipeline.settings.obtain_privacy_key())


@engine_of_the_day("duckdb")
def test_only_what_is_named_is_read_and_its_certificates_hold(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    pipeline = Pipeline(tmp_path / "data", sandbox_factory(clients=3, cases=40, transactions=60), **warehouse_env)
    pipeline.sync()
    pipeline.sandbox.admin("advance", {"days": 20})
    stale = sorted(changed_cases(pipeline))
    assert len(stale) > 3
    before = pipeline.records("cases")
    some = tuple(stale[:2])
    tenants = tuple(sorted({str(before[key]["external_tenant_id"]) for key in some}))
    pipeline.sandbox.admin("log", method="DELETE")
    found = target(pipeline, cases=(*some, UNKNOWN, some[0]), transactions=tenants[:1], clients=tenants)
    assert found.listed == set(some)
    assert (found.failed, found.refused, found.deferred) == ({}, {}, frozenset())
    assert {report.resource: (report.mode, report.deleted, report.is_proven) for report in found.reports} == {
        "cases": ("client", 0, True), "transactions": ("client", 0, True), "clients": ("client", 0, True),
    }  # fmt: skip
    assert sum(pipeline.sandbox.log().values()) <= 12
    after, now = pipeline.records("cases"), truth(pipeline, "cases")
    assert {key for key in after if after[key] != before[key]} == set(some)
    assert all(after[key] == now[key] for key in some)
    of_tenant = {
        key: row for key, row in truth(pipeline, "transactions").items() if row["external_tenant_id"] == tenants[0]
    }
    ours = {
        key: row for key, row in pipeline.records("transactions").items() if row["external_tenant_id"] == tenants[0]
    }
    assert ours == of_tenant
    assert not any(finding.faults for finding in check_certificates(pipeline.settings).findings)
    state = pipeline.state()
    replay(pipeline.settings)
    assert pipeline.state() == state
    target(pipeline, cases=some, clients=tenants)
    assert pipeline.state() == state, "a second time changes nothing"
    assert all(report.is_proven for report in pipeline.sync()), "the next sync is proven as ever"
    assert pipeline.records("cases") == truth(pipeline, "cases")
    assert not any(finding.faults for finding in check_certificates(pipeline.settings).findings)


def test_a_case_that_is_gone_is_left_to_a_sync_that_proves_it(pipeline: Pipeline) -> None:
    """A lookup that lags or fails must not mark a row deleted; only a complete reading does."""
    pipeline.sandbox.admin("change", {"op": "row", "resource": "cases", "action": "delete", "row": -1})
    (gone,) = set(pipeline.records("cases")) - set(truth(pipeline, "cases"))
    before = pipeline.rows("SELECT count(*) FROM ops.syncs")
    assert target(pipeline, cases=(gone,)) == TargetedSync()
    assert gone in pipeline.records("cases")
    assert pipeline.rows("SELECT count(*) FROM ops.syncs") == before
    assert not list(pipeline.settings.landing_dir.glob("cases/sync=*/000001.parquet"))[1:]


def test_refusals_and_interrupted_syncs(pipeline: Pipeline) -> None:
    """One refusal holds up nothing else. A merge between an interrupted sync and its resumption would make its rows
    outdated: hours of reading were read again for one event."""
    key, *others = sorted(pipeline.records("cases"))[:4]
    tenant = str(pipeline.records("cases")[key]["external_tenant_id"])
    pipeline.sandbox.faults({"kind": "status", "status": 422, "path": f"/cases/{key}", "times": 0})
    found = target(pipeline, cases=(key, *others), clients=(tenant,))
    assert not found.refused
    assert (set(found.refused_cases), set(found.listed)) == ({key}, set(others))
    assert [report.resource for report in found.reports] == ["cases", "clients"]
    folders = len(list(pipeline.settings.landing_dir.glob("cases/sync=*")))
    assert folders == 2, "what was refused leaves nothing to be resumed"
    pipeline.sandbox.faults({"kind": "status", "status": 403, "path": "/cases", "times": 0})
    with pytest.raises(ApiError):
        pipeline.sync("cases", full=True)
    pipeline.sandbox.faults()
    assert target(pipeline, cases=(key,)).deferred == {"cases"}


@pytest.mark.parametrize("status", [403, 422])
def test_an_api_that_refuses_all_cases_is_not_asked_for_each(pipeline: Pipeline, status: int) -> None:
    """Halving 500 of them took 1,000 attempts, each with a folder and a failed row."""
    keys = tuple(sorted(pipeline.records("cases")))
    before = pipeline.rows("SELECT count(*) FROM ops.syncs")[0][0]
    pipeline.sandbox.faults({"kind": "status", "status": status, "path": "/cases/*", "times": 0})
    pipeline.sandbox.admin("log", method="DELETE")
    found = target(pipeline, cases=keys, clients=("tenant-001",))
    assert f"HTTP {status}" in found.refused["cases"]
    assert not found.refused_cases
    assert [report.resource for report in found.reports] == ["clients"], "the rest is read"
    assert pipeline.sandbox.log()["fault status"] <= 12, "those in flight when it was clear, of 40"
    assert pipeline.rows("SELECT count(*) FROM ops.syncs WHERE status = 'failed'") == [(1,)]
    assert pipeline.rows("SELECT count(*) FROM ops.syncs")[0][0] == before + 2
    assert len(list(pipeline.settings.landing_dir.glob("cases/sync=*"))) == 1
