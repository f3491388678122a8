"""Whose history a reading of everything has brought, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.onboarding.coverage import LoadState, record_covered, untried
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_sandbox.world import codes
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

FORGET = "DELETE FROM ops.onboarding"


@pytest.fixture
def pipeline(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]) -> Pipeline:
    sandbox = sandbox_factory(clients=1, cases=10, transactions=10)
    sandbox.admin("clients", {"tenant": "a@b..c", "cases": 3, "transactions": 4})
    sandbox.admin("clients", {"tenant": "late", "cases": 3, "signed": False})
    return Pipeline(tmp_path / "data", sandbox, **warehouse_env)


def execute(pipeline: Pipeline, *statements: str) -> None:
    with open_warehouse(pipeline.settings) as warehouse:
        for sql in statements:
            warehouse.execute(sql)


def test_only_a_proven_reading_of_everything_covers_whoever_had_signed_before_it(pipeline: Pipeline) -> None:
    assert record_covered(pipeline.settings) == LoadState((), ()), "nothing was read"
    pipeline.sync()
    standing = record_covered(pipeline.settings)
    assert (len(standing.loaded), len(standing.open)) == (2, 1)
    assert standing.open[0].startswith("late@")
    assert record_covered(pipeline.settings) == standing
    found = pipeline.rows(
        "SELECT state, onboarding_done, access_ok, cases_loaded, transactions_loaded FROM ops.onboarding "
        "WHERE cases_loaded < 10"
    )
    assert found == [("loaded", True, None, 3, 4)]
    refs, count = untried(pipeline.settings, 1)
    assert ([ref.key for ref in refs], count) == (list(standing.loaded[:1]), 2)
    for spoil in (
        "UPDATE ops.syncs SET is_proven = false WHERE resource = 'transactions'",
        "UPDATE ops.syncs SET is_proven = true, mode = 'nightly' WHERE resource = 'transactions'",
        "UPDATE ops.syncs SET mode = 'full', status = 'failed' WHERE resource = 'transactions'",
        "UPDATE ops.syncs SET status = 'done', as_of = as_of - INTERVAL '1 day' WHERE resource = 'transactions'",
    ):
        execute(pipeline, FORGET, spoil)
        assert record_covered(pipeline.settings).loaded == (), spoil


def test_what_was_loaded_stays_so_when_later_nights_read_in_part(pipeline: Pipeline) -> None:
    """A client's row changes with each of its cases; that must not set it back among those to be loaded."""
    pipeline.sync()
    covered = record_covered(pipeline.settings)
    execute(pipeline, "UPDATE raw.clients SET _changed_at = _changed_at + INTERVAL '9 days'")
    assert record_covered(pipeline.settings) == covered


def test_statuses_that_fit_no_stage_hold_nobody_up(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """Some such rows are in every larger account: its nights would never have covered anybody."""
    sandbox = sandbox_factory(clients=2, cases=500, transactions=1_500)
    for column, value in (("referral", codes.REFERRAL_PENDING), ("platform", codes.INVOICE_CREDITED)):
        change = {"op": "row", "resource": "transactions", "action": "set", "row": 0, "column": column, "value": value}
        sandbox.admin("change", change)
    pipeline = Pipeline(tmp_path / "data", sandbox, **warehouse_env)
    pipeline.sync()
    (message,) = pipeline.rows("SELECT message FROM ops.syncs WHERE NOT is_proven")[0]
    assert message.endswith("row in none of the API's stages, so no total holds them")
    signed = pipeline.rows("SELECT count(*) FROM raw.clients WHERE onboarding_done")[0][0]
    assert len(record_covered(pipeline.settings).loaded) == signed > 0


def test_a_reading_that_is_not_proven_covers_only_whom_it_was_made_for(pipeline: Pipeline) -> None:
    """Were it read again for each fifty clients of thousands, it would not be proven any better."""
    pipeline.sync()
    execute(pipeline, "UPDATE ops.syncs SET is_proven = false, message = 'moved' WHERE resource = 'cases'")
    assert record_covered(pipeline.settings).loaded == ()
    assert len(record_covered(pipeline.settings, is_proof_wanted=False).loaded) == 2
    assert len(record_covered(pipeline.settings).loaded) == 2, "written down"
