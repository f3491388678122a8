"""Rows and bodies that are not quite what the contract says: put aside, noted or read all the same, never lost in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED
from debitura_pipeline.sync import read_status
from tests.support.day import of_the_day
from tests.support.mirror import assert_mirrors
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

PATHS = {"clients": "/clients", "cases": "/cases", "transactions": "/reporting/transactions"}
KEYS = {"clients": "creditor_id", "cases": "case_id", "transactions": "transaction_id"}
OPEN = (
    "SELECT row_key, reason, CAST(payload AS VARCHAR) FROM ops.quarantine WHERE resource = $1 AND resolved_at IS NULL"
)


@pytest.fixture
def pipeline(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "data", sandbox_factory(cases=230))


@pytest.fixture
def of_one_answer(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> Pipeline:
    """Lists that one answer shows whole, so that a fault by a row's place in it spoils one row."""
    return Pipeline(tmp_path / "data", sandbox_factory(cases=90, transactions=90))


# Each listing and each fault on each day.
@pytest.mark.parametrize(
    ("resource", "how"),
    of_the_day(
        [
            ("clients", "no_id"), ("clients", "bad_amount"), ("clients", "bad_date"),
            ("cases", "bad_amount"), ("cases", "bad_date"), ("cases", "no_id"),
            ("transactions", "bad_date"), ("transactions", "no_id"), ("transactions", "bad_amount"),
        ],
        3,
    ),
)  # fmt: skip
def test_a_bad_row_lands_in_quarantine_redacted_and_the_rest_loads(
    of_one_answer: Pipeline, resource: str, how: str
) -> None:
    pipeline, sandbox = of_one_answer, of_one_answer.sandbox
    sandbox.faults({"kind": "bad_row", "path": PATHS[resource], "how": how, "row": 3, "times": 0})
    report = pipeline.sync(resource)[0]
    assert report.quarantined == 1
    ((key, reason, payload),) = pipeline.rows(OPEN, (resource,))
    assert (key is None) == (how == "no_id")
    assert reason
    assert json.loads(payload), "what came, as far as it may be kept"
    assert not [text for text in sandbox.personal() if text in payload or text in reason]
    found = pipeline.records(resource)
    assert key not in found
    assert len(found) == len(sandbox.truth(resource)) - 1
    sandbox.faults()
    pipeline.sync(resource)
    assert pipeline.rows(OPEN, (resource,)) == [], "resolved by a complete reading that shows it no more"
    assert_mirrors(pipeline, resource)


@pytest.mark.parametrize("resource", of_the_day(list(PATHS)))
def test_a_row_that_was_good_yesterday_and_is_malformed_today_is_not_taken_for_deleted(
    pipeline: Pipeline, resource: str
) -> None:
    sandbox, table = pipeline.sandbox, f"raw.{resource}"
    pipeline.sync()
    key = min(pipeline.records(resource))
    row = f"SELECT * FROM {table} WHERE {KEYS[resource]} = $1"
    before = pipeline.rows(row, (key,))
    sandbox.faults({"kind": "bad_row", "path": PATHS[resource], "how": "bad_amount", "id": key, "times": 0})
    report = pipeline.sync(resource)[0]
    assert (report.deleted, report.quarantined) == (0, 1)
    assert [found[0] for found in pipeline.rows(OPEN, (resource,))] == [key]
    assert pipeline.rows(row, (key,)) == before, "as it was last read, and not claimed to be verified tonight"
    sandbox.faults()
    report = pipeline.sync(resource)[0]
    assert (report.inserted, report.changed) == (0, 0)
    assert_mirrors(pipeline, resource)


def test_unknown_fields_and_values_are_kept_and_noted_once(pipeline: Pipeline) -> None:
    for path in PATHS.values():
        pipeline.sandbox.faults({"kind": "drift", "path": path, "times": 0})
    for _ in range(2):
        pipeline.sync()
    noted = pipeline.rows("SELECT resource, kind, field, value FROM ops.schema_drift ORDER BY ALL")
    assert noted == [
        ("cases", "field", "channelHint", None),
        ("cases", "value", "lifecycle", "Escalated To Ombudsman"),
        ("clients", "field", "channelHint", None),
        ("clients", "value", "kycStatus", "expired"),
        ("transactions", "field", "channelHint", None),
        ("transactions", "value", "status.platformInvoicingStatus", "WrittenOff"),
    ]
    for resource in PATHS:
        extras = pipeline.rows(f"SELECT DISTINCT CAST(extra AS VARCHAR) FROM raw.{resource}")
        assert [json.loads(extra) for (extra,) in extras] == [{"channelHint": {"source": "portal", "score": 0.75}}]
    assert pipeline.rows("SELECT DISTINCT lifecycle FROM raw.cases") == [("Escalated To Ombudsman",)]
    assert pipeline.rows("SELECT DISTINCT kyc_status FROM raw.clients") == [("expired",)]


@pytest.mark.parametrize("spelling", of_the_day(["pascal", "page_data"]))
def test_the_apis_other_spellings_give_the_same_rows(pipeline: Pipeline, spelling: str) -> None:
    pipeline.sandbox.faults(*({"kind": spelling, "path": path, "times": 0} for path in PATHS.values()))
    pipeline.sync()
    assert_mirrors(pipeline)
    assert pipeline.rows("SELECT count(*) FROM ops.schema_drift") == [(0,)]
    pipeline.sandbox.faults()
    reports = pipeline.sync()
    assert [(r.inserted, r.changed, r.deleted) for r in reports] == [(0, 0, 0)] * 3, "only the spelling was different"


def test_totals_left_out_are_unknown_and_not_zero(pipeline: Pipeline) -> None:
    pipeline.sandbox.faults({"kind": "no_summary", "path": PATHS["transactions"], "times": 0})
    report = pipeline.sync("transactions")[0]
    assert_mirrors(pipeline, "transactions")
    totals = [total for total in report.control_totals if total.scope == "all" and total.bucket != UNCLASSIFIED]
    assert [(t.check_name, t.verdict) for t in totals if t.api_value is not None] == [("rows", "equal")]
    assert {t.verdict for t in totals if t.api_value is None} == {"unproven"}
    assert len(totals) == 1 + 2 * len(STAGES) + 1, "every total of the contract is there"
    reason = f"the API stated no summary, so {len(totals) - 1} totals could not be compared"
    assert not report.is_proven
    assert reason in (report.message or "")
    assert pipeline.rows("SELECT is_proven, message FROM ops.syncs") == [(False, report.message)]
    verdicts = (
        "SELECT count(*) FROM ops.control_totals WHERE scope = 'all' AND verdict = 'unproven' AND api_value IS NULL"
    )
    assert pipeline.rows(f"{verdicts} AND bucket <> '{UNCLASSIFIED}'") == [(len(totals) - 1,)]
    status = read_status(pipeline.settings)
    assert status["resources"]["transactions"]["is_proven"] is False
    assert f"transactions are not proven: {report.message}" in status["problems"]


def test_a_client_whose_tenant_id_is_blank_holds_up_no_deletion(pipeline: Pipeline) -> None:
    """As a filter, a blank id is none to the API: every listing seemed to ignore it, night after night."""
    sandbox, change = pipeline.sandbox, {"op": "row", "row": 0}
    sandbox.admin("change", {**change, "resource": "clients", "action": "set", "column": "tenant", "value": ""})
    pipeline.sync()
    sql = "SELECT transaction_id FROM raw.transactions JOIN raw.clients AS c USING (creditor_id) WHERE c.external_tenant_id = ''"
    of_client = {key for (key,) in pipeline.rows(sql)}
    gone = {
        sandbox.admin("change", {**change, "resource": "transactions", "action": "delete", "row": row})["id"]
        for row in range(12)
    }
    assert gone & of_client and of_client - gone
    assert all(report.is_proven for report in pipeline.sync())
    assert_mirrors(pipeline)
