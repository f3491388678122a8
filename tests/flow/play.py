"""The whole flow with `debitura dev`, the receiver and a sandbox: from a row in the roster file to a fee in the published report.

Nobody starts a run: sensors and events do. What a partner, a client and a debtor would do is done through files and the
sandbox's admin API.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.supervision.programs import free_port
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_sandbox.demo.files import write_claims, write_roster
from debitura_sandbox.demo.roster import demo_tenant
from tests.orchestration.test_dev_end_to_end import dev
from tests.support.command import debitura
from tests.support.sandbox import RunningSandbox, start_sandbox

T = TypeVar("T")
PATIENCE_S = 300.0
TENANT = demo_tenant(0)
EVENTS = ("client.linked", "client.onboarding.contract_signed", "case.created", "case.updated", "case.closed")
FEES = """SELECT sum(t.referral_fee_usd) FROM {schema}.{table} AS t
    JOIN ops.submissions AS s ON s.case_id = t.case_id WHERE s.external_tenant_id = 'demo-001'"""


LOADED = "SELECT 1 FROM ops.onboarding WHERE state = 'loaded' AND external_tenant_id = 'demo-001'"


@dataclass
class Flow:
    """One play in `folder`. `seconds`: how long each step took; `fee_usd`: the fee in the published report at the end."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    fee_usd: Any = None

    def play(self, say: Callable[[str], None]) -> None:
        """Play it; raises AssertionError if a step does not come."""
        self.say, self.log = say, self.folder / "dev.log"
        sandbox = start_sandbox(clients=1, cases=10, transactions=10, no_rate_limit=True)
        try:
            self._play(sandbox)
        finally:
            sandbox.stop()

    def _play(self, sandbox: RunningSandbox) -> None:
        hook = subscribed(sandbox)
        env = self._environment(sandbox, hook["secret"])
        self.settings = load_settings(env)
        write_claims(self.folder / "claims.csv", 1, [TENANT])
        (self.folder / "roster.csv").write_text(ROSTER_HEADER)
        said = debitura("nightly", env=env)
        assert said.status == 0, said.err
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            with dev(free_port(), self.log) as process:
                self._steps(sandbox, hook["id"], lambda: process.poll() is None)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def _steps(self, sandbox: RunningSandbox, hook: str, is_alive: Callable[[], bool]) -> None:
        self.is_alive = is_alive
        receiver = self.wait("receiver started", lambda: re.search(r"received at (http://\S+)", self.log_text()))
        assert sandbox.send("PUT", f"/v1/Webhooks/{hook}", {"url": receiver[1], "events": list(EVENTS)})[0] == 200
        (self.folder / "roster.csv").unlink()
        write_roster(self.folder / "roster.csv", 1)
        self.wait("registered", lambda: self.rows("SELECT 1 FROM ops.registrations WHERE state = 'pending_signature'"))
        sandbox.admin("sign", {"tenant": TENANT})
        self.wait(
            "signed and loaded",
            lambda: self.rows(
                "SELECT 1 FROM ops.onboarding WHERE state = 'loaded' AND external_tenant_id = 'demo-001'"
            ),
        )
        found = self.wait(
            "claim submitted", lambda: self.rows("SELECT case_id FROM ops.submissions WHERE state = 'submitted'")
        )
        sandbox.admin("collect", {"caseId": found[0][0], "to": "Closed:Paid"})
        self.wait("event received", lambda: self.rows("SELECT 1 FROM ops.webhook_events WHERE event = 'case.closed'"))
        self.wait("fee in the warehouse", lambda: self.fee(self.rows(FEES.format(schema="raw", table="transactions"))))
        self.fee_usd = self.wait("fee published", self.published_fee)

    def wait(self, what: str, look: Callable[[], T | None]) -> T:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            if found := look():
                self.seconds[what] = time.monotonic() - began
                self.say(f"{what:<24}{self.seconds[what]:6.1f} s")
                return found
            assert self.is_alive(), self.log_text()[-4000:]
            time.sleep(1)
        raise AssertionError(f"not {what} within {PATIENCE_S:.0f} s:\n{self.log_text()[-4000:]}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            with open_warehouse(self.settings, read_only=True) as warehouse:
                return warehouse.rows(sql)
        except WarehouseError:  # busy for a moment
            return []

    @staticmethod
    def fee(rows: list[tuple[Any, ...]]) -> Any:
        return rows[0][0] if rows else None

    def published_fee(self) -> Any:
        with duckdb.connect(str(self.settings.published_dir / "warehouse.duckdb"), read_only=True) as published:
            if not published.execute(
                "SELECT 1 FROM information_schema.tables WHERE table_name = 'submissions'"
            ).fetchall():
                return None
            return self.fee(published.execute(FEES.format(schema="marts", table="fct_transactions")).fetchall())

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def _environment(self, sandbox: RunningSandbox, secret: str) -> dict[str, str]:
        return {
            "DEBITURA_ENVIRONMENT": "sandbox",
            "DEBITURA_API_URL": sandbox.url,
            "DEBITURA_API_KEY": sandbox.key,
            "DEBITURA_CUSTOMER_API_URL": sandbox.customer_url,
            "DEBITURA_DATA_DIR": str(self.folder / "data"),
            "DEBITURA_ROSTER": str(self.folder / "roster.csv"),
            "DEBITURA_CLAIMS": str(self.folder / "claims.csv"),
            "DEBITURA_WRITES": "clients,cases",
            "DEBITURA_WEBHOOK_SECRETS": secret,
        }


ROSTER_HEADER = "external_tenant_id,company_name,country,support_email,user_name,user_email\n"


def subscribed(sandbox: RunningSandbox) -> dict[str, Any]:
    """A new subscription, with its secret; its address is set once the receiver has one."""
    wanted = {"url": "http://127.0.0.1:9/none", "events": list(EVENTS)}
    status, body = sandbox.send("POST", "/v1/Webhooks", wanted)
    assert status in (200, 201), body
    return dict(json.loads(body))
