"""Rows of `ops.onboarding` follow what syncs read: the times of the steps, and agreements that must be signed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.onboarding.coverage import record_covered
from debitura_pipeline.onboarding.milestones import loaded_values
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

ROW = (
    "SELECT state, onboarding_done, outstanding, history_loaded_at, registered_at, signed_at, first_case_at "
    "FROM ops.onboarding WHERE external_tenant_id = 'acme'"
)


@pytest.mark.parametrize(
    ("is_signed", "kyc", "is_listed", "state", "outstanding"),
    [
        (True, "Verified", True, "loaded", None),
        (True, "Pending", True, "loaded", "identity check (KYC)"),
        (False, "Verified", True, "must_sign_again", "signature of a new agreement"),
        (False, "Pending", True, "must_sign_again", "signature of a new agreement, identity check (KYC)"),
        (None, None, True, "loaded", None),  # the API does not say
        (False, "Pending", False, "loaded", None),  # archived
    ],
)
def test_loaded_client_must_sign_again_if_the_api_says_so(
    is_signed: bool | None, kyc: str, is_listed: bool, state: str, outstanding: str | None
) -> None:
    found = loaded_values(is_signed, kyc, is_listed=is_listed)
    assert (found["state"], found["outstanding"]) == (state, outstanding)


def test_client_that_must_sign_again_is_seen_and_is_loaded_again_without_a_run(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    sandbox = sandbox_factory(clients=1, cases=10, transactions=10)
    sandbox.admin("clients", {"tenant": "acme", "cases": 3, "transactions": 4})
    pipeline = Pipeline(tmp_path / "data", sandbox, **warehouse_env)
    pipeline.sync()
    state = record_covered(pipeline.settings)
    first = pipeline.rows(ROW)[0]
    assert first[:3] == ("loaded", True, None)
    linked, seen, created = pipeline.rows(
        "SELECT c.linked_at, c._first_seen_at, (SELECT min(created_at) FROM raw.cases WHERE creditor_id = c.creditor_id) "
        "FROM raw.clients AS c WHERE c.external_tenant_id = 'acme'"
    )[0]
    assert first[4:] == (linked, seen, created)

    sandbox.admin("change", {"op": "upgrade", "tenant": "acme"})
    pipeline.sync()
    found = record_covered(pipeline.settings)
    (key,) = found.unsigned
    assert key.startswith("acme@")
    assert (found.loaded, found.open) == (state.loaded, state.open), "no new run for it"
    row = pipeline.rows(ROW)[0]
    assert row[:3] == ("must_sign_again", False, "signature of a new agreement")
    assert row[3:] == first[3:]

    sandbox.admin("sign", {"tenant": "acme"})
    pipeline.sync()
    found = record_covered(pipeline.settings)
    assert (found.loaded, found.unsigned) == (state.loaded, ())
    assert pipeline.rows(ROW)[0] == first
