"""Demo rosters and claims: the project reads them, the sandbox accepts them, and rows are invalid on request only."""

from __future__ import annotations

import csv
import stat
from datetime import date
from decimal import Decimal

from debitura_pipeline.source.claims import CLAIMS
from debitura_pipeline.source.roster import ROSTER
from debitura_sandbox.demo import claims, roster
from debitura_sandbox.world.world import WorldOptions
from tests.sandbox.claims import Client
from tests.sandbox.local import LocalSandbox
from tests.support.command import debitura

START = date.fromisoformat(WorldOptions().start[:10])


def faults(table, row):
    return table.check({name: value for name, value in row.items() if value}, START)[1]


def register(sandbox, row):
    user = {"name": row["user_name"], "email": row["user_email"], "isOnboardingUser": True}
    client = {
        "name": row["company_name"], "country": row["country"], "supportEmail": row["support_email"], "city": row["city"],
        "address": row["address"], "zipCode": row["zip_code"], "registrationNumber": row["registration_number"],
    }  # fmt: skip
    body = {"externalTenantId": row["external_tenant_id"], "client": client, "users": [user]}
    return sandbox.call("POST", "/clients", body).status


def submit(client, row):
    debtor = {
        "type": {"person": "Private", "company": "Company"}[row["debtor_type"]], "name": row["debtor_name"],
        "countryAlpha2": row["debtor_country"], "stateAlpha2": row["debtor_state"], "contactPerson": row["debtor_contact_person"],
    }  # fmt: skip
    return client.submit(
        creditorReference=row["creditor_reference"], amountToRecover=float(Decimal(row["amount"])), debtor=debtor,
        currencyCode=row["currency"], date=row["invoice_date"], dueDate=row["due_date"],
    )[0]  # fmt: skip


def test_demo_clients_are_valid_and_accepted_and_so_are_their_claims():
    sandbox = LocalSandbox()
    clients = roster.roster_rows(20)
    wanted = claims.claim_rows([row["external_tenant_id"] for row in clients], 60, START)
    assert [fault for row in clients for fault in faults(ROSTER, row)] == []
    assert [fault for row in wanted for fault in faults(CLAIMS, row)] == []
    assert {register(sandbox, row) for row in clients} == {202}
    for row in clients:
        sandbox.app.change({"op": "sign", "tenant": row["external_tenant_id"]})
    by_tenant = {row["external_tenant_id"]: Client(sandbox, row["external_tenant_id"]) for row in clients}
    assert {submit(by_tenant[row["external_tenant_id"]], row) for row in wanted} == {200}
    assert clients == roster.roster_rows(20), "the same each time"


def test_conflicts_and_invalid_rows_come_on_request():
    sandbox = LocalSandbox()
    more = roster.roster_rows(3, with_conflicts=True)[3:]
    assert {row["external_tenant_id"]: register(sandbox, row) for row in more} == {
        "demo-known": 409, "demo-taken": 409, "demo-blocked": 422,
    }  # fmt: skip
    broken = roster.roster_rows(3, with_invalid=True)[3:]
    assert [bool(faults(ROSTER, row)) for row in broken] == [True] * 5 + [False] * 2, "two rows break the rule of keys"
    broken = claims.claim_rows(["demo-001"], 4, START, with_invalid=True)[4:]
    assert [bool(faults(CLAIMS, row)) for row in broken] == [True] * 9 + [False] * 2


def test_commands_write_private_files_and_replace_none(tmp_path):
    made, wanted = tmp_path / "roster.csv", tmp_path / "claims.csv"
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    assert debitura("sandbox", "demo-roster", str(made), "--count", "3", env=env).status == 0
    assert debitura("sandbox", "demo-claims", str(wanted), "--count", "7", "--roster", str(made), env=env).status == 0
    again = debitura("sandbox", "demo-roster", str(made), env=env)
    assert (again.status, "already exists" in again.error_line) == (2, True)
    with wanted.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == claims.COLUMNS
    assert {row["external_tenant_id"] for row in rows} == {"demo-001", "demo-002", "demo-003"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in (made, wanted)} == {0o600}
