"""A partner with a roster, its own data directory and a sandbox, for tests of registration."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.registration import apply_registrations, plan_registrations
from debitura_pipeline.registration.gather import ClientsPlan
from tests.source.rows import as_csv, put
from tests.support.pipeline import Pipeline
from tests.support.prepared import lay_warehouse
from tests.support.sandbox import RunningSandbox


async def nap(seconds: float) -> None:
    """Long waits are not worth the time here."""
    await asyncio.sleep(min(seconds, 0.1))


RUNTIME = Runtime(sleep=nap, timeouts=Timeouts(2.0, 2.0, 2.0))


class Partner(Pipeline):
    """`wants` writes the roster."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, **env: str) -> None:
        self.roster = folder / "roster.csv"
        super().__init__(
            folder / "data", sandbox, **{"DEBITURA_ROSTER": str(self.roster), "DEBITURA_WRITES": "clients", **env}
        )

    def wants(self, *rows: dict[str, str]) -> None:
        put(self.roster, as_csv(list(rows)))

    def plan(self) -> ClientsPlan:
        return plan_registrations(self.settings, self.endpoint, runtime=RUNTIME)

    def apply(self, kept: Path | None = None, **options: Any) -> AppliedPlan:
        lay_warehouse(self.settings)
        return apply_registrations(
            self.settings, self.endpoint, kept, runtime=options.pop("runtime", RUNTIME), **options
        )

    def states(self) -> dict[str, str]:
        """What `ops.registrations` says."""
        return dict(self.rows("SELECT external_tenant_id, state FROM ops.registrations"))

    def sent(self) -> list[str]:
        """The tenants of `POST /clients` that the sandbox received, in order."""
        return [entry["tenant"] for entry in self.sandbox.ledger() if entry["path"] == "/clients"]

    def bodies(self) -> dict[str, set[str]]:
        """The different bodies that the sandbox received, by tenant."""
        found: dict[str, set[str]] = {}
        for entry in self.sandbox.ledger():
            if entry["path"] == "/clients":
                found.setdefault(entry["tenant"], set()).add(entry["body_hash"])
        return found
