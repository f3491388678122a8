"""SIGKILL during `cases apply`, at any of its steps: what follows ends as if nothing had happened.

`SUBMISSION_KILLS=50` kills more often; `make simulate-submissions` does.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.histories import signed_tenant
from tests.submission.partner import Claims, claim
from tests.support.command import debitura
from tests.support.day import engine_of_the_day
from tests.support.sandbox import RunningSandbox

KILLS = int(os.environ.get("SUBMISSION_KILLS", "4"))
STEPS = 7  # of a claim that is sent: turn, intent, request, outcome; one more for lookups that took too long
KILLED = -9
DIE = """
import os, signal
from debitura_pipeline.submission.apply import Submitter
act, left = Submitter._act, [{step}]
async def acting(self, action, *rest):
    left[0] -= 1
    if left[0] == 0 and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    reply = await act(self, action, *rest)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return reply
Submitter._act = acting
"""


@engine_of_the_day("postgresql")
def test_killed_apply_is_finished_by_the_next_ones(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    sandbox = sandbox_factory(clients=3, cases=3, transactions=1)
    partner = Claims(tmp_path, sandbox, **warehouse_env)
    wanted = [claim(signed_tenant(sandbox), number) for number in range(KILLS + 2)]
    partner.wants(*wanted)
    rng = random.Random(KILLS)
    killed = 0
    for _ in range(KILLS):
        dying = DIE.format(step=rng.randrange(1, STEPS), before=rng.random() < 0.5)
        killed += debitura("cases", "apply", env=partner.env, before=dying).status == KILLED
        _age(partner)
    assert killed > KILLS // 2
    last = debitura("cases", "apply", "--json", env=partner.env)
    assert last.status == 0, last.err
    assert set(partner.states().values()) == {"submitted"}
    for row in wanted:
        reference = row["creditor_reference"]
        assert partner.cases(reference) == 1
        assert len(set(partner.keys()[reference])) == 1
        assert len({post["body_hash"] for post in partner.posts() if post["reference"] == reference}) == 1


def _age(partner: Claims) -> None:
    """Sixteen minutes pass."""
    with open_warehouse(partner.settings) as warehouse:
        for column in ("intent_at", "last_attempt_at"):
            warehouse.execute(f"UPDATE ops.submissions SET {column} = {column} - INTERVAL '16 minutes'")
