"""Seeded histories over real HTTP: lost, late and repeated answers, crashes between any two steps, changes of the source.

`python -m tests.submission.histories --seeds 200` plays 200 worlds of ten claims each (`make simulate-submissions`).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from debitura_pipeline.submission.apply import Submitter
from debitura_pipeline.submission.states import CONFLICT, HUMAN, REFUSED, SENT, WITH_CASE
from tests.submission.partner import Claims, claim, fault
from tests.support.postgres import PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

CLAIMS = 10
ROUNDS = 6
FINAL_ROUNDS = 5
HOUR = 3600.0
# What holds, and how far the rest fails: each needs only one sufficient set of assumptions.
WORLDS: dict[str, dict[str, Any]] = {
    "A1": {"key_life_s": 24 * HOUR, "refuses_duplicates": False, "lookup_delay_s": 5 * HOUR},
    "A2+A3": {"key_life_s": 0.0, "refuses_duplicates": False, "lookup_delay_s": 600.0},
    "A4": {"key_life_s": 0.0, "refuses_duplicates": True, "duplicates_seen_late": False, "lookup_delay_s": 5 * HOUR},
}
LATE_S = {"A1": 4 * HOUR, "A2+A3": 240.0, "A4": 4 * HOUR}


class Crash(BaseException):
    """The process died here."""


class Mortal:
    """Lets a Submitter die before or after its n-th action."""

    def __init__(self) -> None:
        self.left, self.is_after = -1, False
        self._act = Submitter._act

    def install(self) -> None:
        mortal, act = self, self._act

        async def acting(self: Submitter, action: Any, *rest: Any) -> Any:
            mortal.left -= 1
            if mortal.left == 0 and not mortal.is_after:
                raise Crash
            reply = await act(self, action, *rest)
            if mortal.left == 0:
                raise Crash
            return reply

        Submitter._act = acting  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        Submitter._act = self._act  # type: ignore[method-assign]


def play(seed: int, folder: Path, sandbox: RunningSandbox, tenant: str, **env: str) -> Counter[str]:
    """One world of ten claims, to its end; how the claims ended. Raises AssertionError."""
    rng = random.Random(seed)
    holds = rng.choice(sorted(WORLDS))
    sandbox.faults()
    sandbox.admin("ledger", method="DELETE")
    sandbox.undocumented(**WORLDS[holds], replays_refusals=rng.random() < 0.5)
    partner = Claims(folder, sandbox, **env)
    rows = [claim(tenant, seed * 1000 + number) for number in range(CLAIMS)]
    mortal = Mortal()
    mortal.install()
    try:
        for _ in range(ROUNDS):
            _disturb(rng, sandbox, LATE_S[holds])
            shown = [row if rng.random() < 0.95 else {**row, "comments": "changed"} for row in rows]
            partner.wants(*(row for row in shown if rng.random() < 0.95))
            mortal.left, mortal.is_after = rng.choice([-1, rng.randrange(1, 60)]), rng.random() < 0.5
            with contextlib.suppress(Crash):
                partner.apply()
            partner.later(minutes=rng.choice([0, 1, 16, 16, 60, 60 * 13]))
        mortal.left = -1
        sandbox.faults()
        for number in range(FINAL_ROUNDS):
            partner.wants(*rows)
            if number in (2, 4):  # nights
                partner.sync("clients", "cases")
            partner.apply()
            partner.later(hours=(12.5, 0.3, 12.5, 0.3, 1)[number])
    finally:
        mortal.remove()
    return _judge(partner, rows, f"seed {seed}, {holds} holds")


def _disturb(rng: random.Random, sandbox: RunningSandbox, late_s: float) -> None:
    """What comes of the next requests, in order."""
    sandbox.faults()
    kinds = [
        fault("slow", delay_s=0.0),
        fault("status", status=500),
        fault("status", status=503, effect="now"),
        fault("reset"),
        fault("close", effect="none"),
        fault("status", status=504, effect="late", effect_delay_s=rng.uniform(1, late_s)),
        fault("rate_limited", retry_after=0.01),
        fault("status", status=401),
        fault("status", status=422),
        fault("html"),
    ]
    weights = [8, 1, 1, 1, 1, 2, 1, 1, 0.5, 1]
    sandbox.faults(*(dict(one) for one in rng.choices(kinds, weights, k=CLAIMS)))


def _judge(partner: Claims, rows: list[dict[str, str]], where: str) -> Counter[str]:
    """Exactly one case for each claim, or a claim that says why a human is needed; one body per key, and no two keys at once."""
    cases = Counter(case["creditorReference"] for case in partner.sandbox.truth("cases"))
    records, ended = partner.records(), Counter[str]()
    for row in rows:
        reference = row["creditor_reference"]
        record = records[reference]
        assert cases[reference] <= 1, f"{where}: {cases[reference]} cases for {reference}"
        if record.state in WITH_CASE:
            assert cases[reference] == 1, f"{where}: {reference} is {record.state} and has no case"
        else:
            is_told = record.state in (CONFLICT, REFUSED) or (record.message or "").startswith(HUMAN)
            assert is_told or record.state == SENT, f"{where}: {reference} is {record.state}: {record.message}"
            assert record.state != SENT or is_told, f"{where}: {reference} is in doubt: {record.message}"
        ended[record.state] += 1
    bodies: dict[str, set[str]] = {}
    for entry in partner.posts():
        bodies.setdefault(entry["key"], set()).add(entry["body_hash"])
    assert all(len(found) == 1 for found in bodies.values()), f"{where}: a key with two bodies"
    return ended


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--engine", choices=("duckdb", "postgresql"), default="duckdb")
    options = parser.parse_args()
    ended, began = Counter[str](), time.monotonic()
    sandbox = start_sandbox(clients=3, cases=3, transactions=1, seed=5, no_rate_limit=True)
    server = PostgresServer() if options.engine == "postgresql" else None
    try:
        tenant = signed_tenant(sandbox)
        for seed in range(options.first, options.first + options.seeds):
            with tempfile.TemporaryDirectory() as folder, _warehouse(server) as env:
                ended += play(seed, Path(folder), sandbox, tenant, **env)
            if seed % 10 == 0:
                took = f"{time.monotonic() - began:.0f} s"
                sys.stdout.write(f"seed {seed}, {sum(ended.values())} claims, {took}: {dict(ended)}\n")
                sys.stdout.flush()
    finally:
        sandbox.stop()
        if server is not None:
            server.remove()
    sys.stdout.write(f"{sum(ended.values())} claims ended well: {dict(ended)}\n")


@contextlib.contextmanager
def _warehouse(server: PostgresServer | None) -> Iterator[dict[str, str]]:
    """Settings of an empty warehouse: a DuckDB file, or a database of that server."""
    if server is None:
        yield {}
        return
    with server.database() as database:
        yield {"DEBITURA_WAREHOUSE": database.url}


def signed_tenant(sandbox: RunningSandbox) -> str:
    """A client that has signed everything."""
    return str(sandbox.get("/clients", {"PageSize": 100, "OnboardingDone": "true"})["clients"][0]["externalTenantId"])


if __name__ == "__main__":
    main()
