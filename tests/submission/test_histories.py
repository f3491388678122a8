"""A few seeded histories; `make simulate-submissions` plays 2,000 claims per engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.submission.histories import CLAIMS, play, signed_tenant
from tests.support.day import of_the_day
from tests.support.sandbox import RunningSandbox

SEEDS = (1, 2, 5, 11)  # each sufficient set of assumptions at least once


def test_each_claim_ends_as_one_case_or_says_why_not(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory(clients=3, cases=3, transactions=1)
    tenant = signed_tenant(sandbox)
    for seed in of_the_day(SEEDS, 2):
        ended = play(seed, tmp_path / str(seed), sandbox, tenant)
        assert sum(ended.values()) == CLAIMS and ended["submitted"] > CLAIMS // 2
