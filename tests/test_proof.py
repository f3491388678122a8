"""What is not proven is said in the same words everywhere: warehouse, `status`, closing lines; and the exit status fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.sync import read_status
from tests.support.altering import Alter, altering
from tests.support.command import Said, debitura
from tests.support.odd_rows import without_odd_rows
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

SYNCS = "SELECT resource, status, is_proven, message FROM ops.syncs ORDER BY started_at"


@pytest.fixture
def sandbox(sandbox_factory: Callable[..., RunningSandbox]) -> RunningSandbox:
    return sandbox_factory(clients=6, cases=60, transactions=90)


def behind(tmp_path: Path, sandbox: RunningSandbox, url: str) -> Pipeline:
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.env["DEBITURA_API_URL"] = url
    return pipeline


def paid_more(usd: str) -> Alter:
    def alter(path: str, document: Any) -> Any:
        if path.startswith("/reporting/transactions"):
            revenue = document["summary"]["revenue"]
            revenue["paidReferralFeeUsd"] += Decimal(usd)
        return document

    return alter


def status_of(pipeline: Pipeline) -> dict[str, Any]:
    return read_status(pipeline.settings)


def said_alike(pipeline: Pipeline, said: Said, resource: str, words: str) -> None:
    """Closing line, `ops.syncs`, `status` as text and as JSON give one reason."""
    (message,) = (row[3] for row in pipeline.rows(SYNCS) if row[0] == resource)
    assert words in message
    assert f"{resource}: {message}" in said.out
    status = status_of(pipeline)
    assert f"{resource} are not proven: {message}" in status["problems"]
    assert status["resources"][resource]["is_proven"] is False


def test_a_proven_sync_says_so_everywhere(sandbox: RunningSandbox, tmp_path: Path) -> None:
    without_odd_rows(sandbox)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    said = debitura("sync", env=pipeline.env)
    assert said.status == 0
    assert "not proven" not in said.out + said.err
    assert [row[2:] for row in pipeline.rows(SYNCS)] == [(True, None)] * 3
    assert status_of(pipeline)["problems"] == []


@pytest.mark.parametrize("usd", ["0.0051", "0.0001"])
def test_a_total_that_differs_after_the_merge_ends_with_status_1(
    sandbox: RunningSandbox, tmp_path: Path, usd: str
) -> None:
    """0.0051 USD once passed `reconcile`, and a sync called everything proven."""
    with altering(sandbox, paid_more(usd)) as url:
        pipeline = behind(tmp_path, sandbox, url)
        said = debitura("sync", env=pipeline.env)
        assert said.status == 1
        assert (
            "proof contradicted: transactions: 1 of the API's totals differ from the warehouse: Paid (usd)" in said.out
        )
        assert "rows are merged" in said.out
        assert pipeline.rows("SELECT count(*) > 0 FROM raw.transactions") == [(True,)]
        said_alike(pipeline, said, "transactions", "Paid (usd)")
        as_json = debitura("status", "--json", env=pipeline.env)
        assert (as_json.status, json.loads(as_json.out)["problems"]) == (0, status_of(pipeline)["problems"])
        assert "open: transactions are not proven: 1 of the API's totals" in debitura("status", env=pipeline.env).out
        assert debitura("reconcile", env=pipeline.env).status == 3


def test_a_client_s_own_figures_that_differ_are_a_line_of_their_own(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """The table of the sync said `proven` and `differs` of one resource, which was not the one that differed."""
    without_odd_rows(sandbox)

    def one_case_more(path: str, document: Any) -> Any:
        if path.startswith("/clients"):
            document["clients"][0]["caseStats"]["casesTotal"] += 1
        return document

    with altering(sandbox, one_case_more) as url:
        said = debitura("sync", env=behind(tmp_path, sandbox, url).env)
    assert said.status == 0
    assert "1 client with other figures in the client's own record than in the rows" in said.out
    assert "differs" not in said.out


def test_totals_that_could_not_be_compared_end_with_status_0_and_a_plain_line(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    without_odd_rows(sandbox)
    for path in ("/cases", "/reporting/transactions"):
        sandbox.faults({"kind": "no_summary", "path": path, "times": 0})
        pipeline = Pipeline(tmp_path / path.replace("/", "-"), sandbox)
        resource = path.rpartition("/")[2]
        said = debitura("sync", "--only", resource, env=pipeline.env)
        assert said.status == 0
        assert f"not proven: {resource}: the API stated no summary" in said.out
        said_alike(pipeline, said, resource, "totals could not be compared")


def test_rows_in_quarantine_and_in_no_stage_are_reasons(sandbox: RunningSandbox, tmp_path: Path) -> None:
    row = {"resource": "transactions", "op": "row", "action": "set", "row": 3, "column": "platform", "value": 3}
    sandbox.admin("change", row)
    sandbox.admin("change", {**row, "column": "referral", "value": 0})
    sandbox.faults({"kind": "bad_row", "path": "/cases", "how": "bad_amount", "row": 2, "times": 0})
    pipeline = Pipeline(tmp_path / "data", sandbox)
    said = debitura("sync", env=pipeline.env)
    assert said.status == 0
    said_alike(pipeline, said, "cases", "1 row in quarantine is not counted")
    said_alike(pipeline, said, "transactions", "row in none of the API's stages")


def test_a_failed_attempt_is_a_problem_beside_the_last_good_one(sandbox: RunningSandbox, tmp_path: Path) -> None:
    without_odd_rows(sandbox)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    assert debitura("sync", env=pipeline.env).status == 0
    sandbox.faults({"kind": "status", "status": 403, "path": "/cases", "times": 0})
    assert debitura("sync", "--only", "cases", env=pipeline.env).status == 1
    status = status_of(pipeline)
    assert [problem for problem in status["problems"] if "cases failed" in problem and "403" in problem]
    assert status["resources"]["cases"]["is_proven"] is True, "the figures are still those of the good one"


def test_an_api_of_empty_lists_empties_no_small_partners_tables(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """18 clients and 18 transactions were once all marked deleted in one night, with equal totals."""
    sandbox = sandbox_factory(clients=4, cases=14, transactions=10)
    empty = False

    def alter(path: str, document: Any) -> Any:
        for name in ("clients", "cases", "data"):
            if empty and isinstance(document.get(name), list):
                document[name] = []
                document["page"] |= {"totalResults": 0, "responseCount": 0, "totalPages": 0}
                document["summary"] = None
        return document

    with altering(sandbox, alter) as url:
        pipeline = behind(tmp_path, sandbox, url)
        assert debitura("sync", env=pipeline.env).status == 0
        live = {name: len(pipeline.records(name)) for name in ("clients", "cases", "transactions")}
        empty = True
        for resource, rows in live.items():
            said = debitura("sync", "--only", resource, env=pipeline.env)
            assert said.status == 1
            assert f"Merging {resource} was refused: {rows} of {rows} live rows" in said.error_line
        assert {name: len(pipeline.records(name)) for name in live} == live
        problems = " ".join(status_of(pipeline)["problems"])
        assert all(f"last sync of {resource} failed: Merging {resource} was refused" in problems for resource in live)
        failed = pipeline.rows("SELECT DISTINCT resource FROM ops.syncs WHERE status = 'failed' ORDER BY 1")
        assert failed == [("cases",), ("clients",), ("transactions",)]
