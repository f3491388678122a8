"""A partner with claims, its own data directory and a sandbox, for tests of submission. Its clock is moved by hand, and the
sandbox's with it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as numbers
from pathlib import Path
from typing import Any

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.submission import apply_claims, plan_claims
from debitura_pipeline.submission.claims_plan import ClaimsPlan
from debitura_pipeline.submission.record import NAMES
from debitura_pipeline.submission.states import Record
from tests.source.rows import as_csv, claim_row, put
from tests.support.pipeline import Pipeline
from tests.support.prepared import lay_warehouse
from tests.support.sandbox import RunningSandbox

CASES = "/customer/cases"
_numbers = numbers(1)


async def nap(seconds: float) -> None:
    """Long waits are not worth the time here."""
    await asyncio.sleep(min(seconds, 0.01))


class Claims(Pipeline):
    """`wants` writes the claims."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, **env: str) -> None:
        self.source = folder / "claims.csv"
        self.offset = timedelta(0)
        self.runtime = Runtime(now=self.now, sleep=nap, timeouts=Timeouts(2.0, 2.0, 2.0), tries=2)
        super().__init__(
            folder / "data", sandbox, **{"DEBITURA_CLAIMS": str(self.source), "DEBITURA_WRITES": "cases", **env}
        )

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def later(self, **by: float) -> None:
        """Let time pass, here and at the API: in steps, since what is due there takes effect with the request after it."""
        left = timedelta(**by)
        self.offset += left
        moved = timedelta(0)
        while left:
            step = min(left, timedelta(minutes=5) if moved < timedelta(minutes=15) else timedelta(hours=1))
            self.sandbox.admin("clock", {"seconds": step.total_seconds()})
            left, moved = left - step, moved + step

    def wants(self, *rows: dict[str, str]) -> None:
        put(self.source, as_csv(list(rows)))

    def plan(self) -> ClaimsPlan:
        return plan_claims(self.settings, self.endpoint, runtime=self.runtime, allow_shrink=True)

    def apply(self, kept: Path | None = None, **runtime: Any) -> AppliedPlan:
        lay_warehouse(self.settings)
        return apply_claims(
            self.settings, self.endpoint, kept, runtime=replace(self.runtime, **runtime), allow_shrink=True
        )

    def all_records(self) -> list[Record]:
        """What `ops.submissions` says."""
        return [Record(*row) for row in self.rows(f"SELECT {', '.join(NAMES)} FROM ops.submissions")]

    def records(self) -> dict[str, Record]:  # type: ignore[override]  # of the claims, not of a listing
        """The same by reference."""
        return {record.creditor_reference: record for record in self.all_records()}

    def states(self) -> dict[str, str]:
        return {reference: record.state for reference, record in self.records().items()}

    def posts(self) -> list[dict[str, Any]]:
        """Every `POST /cases` that the sandbox received."""
        return [entry for entry in self.sandbox.ledger() if entry["path"] == CASES and entry["method"] == "POST"]

    def keys(self) -> dict[str, list[str]]:
        """The keys that each claim was sent with, in order."""
        found: dict[str, list[str]] = defaultdict(list)
        for entry in self.posts():
            found[entry["reference"]].append(entry["key"])
        return dict(found)

    def cases(self, reference: str) -> int:
        """How many cases have this reference."""
        return sum(case["creditorReference"] == reference for case in self.sandbox.truth("cases"))


def new_number() -> int:
    """A number that no other claim has."""
    return next(_numbers)


def claims(tenant: str, count: int = 1, **changes: str) -> list[dict[str, str]]:
    """Claims that no other test has."""
    return [claim(tenant, new_number(), **changes) for _ in range(count)]


def fault(kind: str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, "path": CASES, "method": "POST", **options}


def claim(tenant: str, number: int, **changes: str) -> dict[str, str]:
    return claim_row(number, external_tenant_id=tenant, invoice_date="", due_date="", **changes)
