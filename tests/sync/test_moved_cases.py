"""Cases that moved to another client with their transactions, between two syncs or in the middle of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from debitura_pipeline.sync import has_moved_cases
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox


@pytest.fixture
def pipeline(
    sandbox_factory: Callable[..., RunningSandbox],
    tmp_path_factory: pytest.TempPathFactory,
    warehouse_env: dict[str, str],
) -> Iterator[Pipeline]:
    sandbox = sandbox_factory(clients=4, cases=40, transactions=60)
    yield Pipeline(tmp_path_factory.mktemp("moved"), sandbox, **warehouse_env)


def owner(pipeline: Pipeline, case_id: str) -> str:
    ((creditor,),) = pipeline.rows("SELECT creditor_id FROM raw.cases WHERE case_id = $1", (case_id,))
    return str(creditor)


def test_case_that_moves_between_the_readings_of_cases_and_transactions_is_known(pipeline: Pipeline) -> None:
    """The nightly run reads cases first: it called them proven, and the case stayed with its former client."""
    pipeline.sync()
    assert not has_moved_cases(pipeline.settings)
    cases = pipeline.sandbox.truth("cases")
    case_id = pipeline.rows("SELECT min(case_id) FROM raw.transactions WHERE _deleted_at IS NULL")[0][0]
    row = next(number for number, case in enumerate(cases) if case["id"] == case_id)
    before = owner(pipeline, case_id)
    other = next(
        number for number, one in enumerate(pipeline.sandbox.truth("clients")) if one["client"]["id"] != before
    )
    change = {"op": "row", "resource": "cases", "action": "set", "row": row, "column": "client", "value": other}
    pipeline.sandbox.admin("change", change)
    pipeline.sync("transactions")
    assert (owner(pipeline, case_id), has_moved_cases(pipeline.settings)) == (before, True)
    pipeline.sync("cases")
    assert owner(pipeline, case_id) != before
    assert not has_moved_cases(pipeline.settings)
