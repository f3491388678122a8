"""`ops.registrations`: read and write one row per wanted client. What is written is committed before the call returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime

from debitura_pipeline.registration.states import SENT
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.tables import OPS

EXPIRED, DECLINED = "client.link_expired", "client.link_declined"


@dataclass(frozen=True, slots=True)
class Registration:
    """A row. `tenant`: as stored. `row_hash`: of the roster's row that was sent last, or seen last if none was.

    `error_types`: codes and field names, comma-separated. `intent_at`, `outcome_at`: this machine's clock, aware UTC.
    """

    tenant: str
    row_hash: str | None
    state: str
    http_status: int | None = None
    error_types: str | None = None
    attempts: int = 0
    intent_at: datetime | None = None
    outcome_at: datetime | None = None
    creditor_id: str | None = None
    message: str | None = None

    @property
    def is_in_doubt(self) -> bool:
        """Whether it was sent and its outcome is unknown."""
        return self.state == SENT


_COLUMNS = [name for name, _ in OPS["registrations"]]
_NAMES = ", ".join(_COLUMNS)
assert len(_COLUMNS) == len(fields(Registration))


def read_registrations(warehouse: SqlWarehouse) -> dict[str, Registration]:
    """All rows by stored tenant; none if the warehouse is older than the table, null for columns that it does not have yet.

    Raises WarehouseError.
    """
    there = set(warehouse.columns("ops", "registrations"))
    if not there:
        return {}
    names = ", ".join(name if name in there else "NULL" for name in _COLUMNS)
    found = [Registration(*row) for row in warehouse.rows(f"SELECT {names} FROM ops.registrations")]
    return {one.tenant: one for one in found}


def write_registrations(warehouse: SqlWarehouse, registrations: Sequence[Registration]) -> None:
    """Insert or replace these rows in one durable transaction. Raises WarehouseError; nothing is written then."""
    if not registrations:
        return
    with warehouse.transaction(is_durable=True):
        if len(registrations) == 1:
            marks = ", ".join(f"${place}" for place in range(1, len(_COLUMNS) + 1))
            warehouse.run("DELETE FROM ops.registrations WHERE external_tenant_id = $1", (registrations[0].tenant,))
            warehouse.run(f"INSERT INTO ops.registrations ({_NAMES}) VALUES ({marks})", astuple(registrations[0]))
            return
        warehouse.stage_rows("staged_registrations", OPS["registrations"], [astuple(one) for one in registrations])
        known = "SELECT external_tenant_id FROM staged_registrations"
        warehouse.run(f"DELETE FROM ops.registrations WHERE external_tenant_id IN ({known})")
        warehouse.run(f"INSERT INTO ops.registrations ({_NAMES}) SELECT {_NAMES} FROM staged_registrations")


def formerly_linked(warehouse: SqlWarehouse) -> set[str]:
    """Stored tenants that a sync has seen linked, now or earlier. Raises WarehouseError."""
    if not warehouse.columns("raw", "clients"):
        return set()
    return {tenant for (tenant,) in warehouse.rows("SELECT DISTINCT external_tenant_id FROM raw.clients") if tenant}


def link_events(warehouse: SqlWarehouse) -> dict[str, tuple[str, datetime]]:
    """The last event about each tenant's approval link, EXPIRED or DECLINED, and when it was received, by stored tenant.

    Raises WarehouseError.
    """
    if not warehouse.columns("ops", "webhook_events"):
        return {}
    found = warehouse.rows(
        "SELECT external_tenant_id, event, received_at FROM ops.webhook_events WHERE event IN ($1, $2) "
        "AND received_at IS NOT NULL ORDER BY received_at",
        (EXPIRED, DECLINED),
    )
    return {tenant: (event, at) for tenant, event, at in found if tenant}
