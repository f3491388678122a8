"""The three steps of an onboarding run: check signatures, check access, load histories. Each writes `ops.onboarding`.

`lifecycle.py` decides which clients are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from debitura_pipeline.errors import ApiError
from debitura_pipeline.onboarding.access import AccessCheck, try_access
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.coverage import rows_by_tenant
from debitura_pipeline.onboarding.lifecycle import GONE, LOADED, SIGNED, WAITING, Client, outstanding
from debitura_pipeline.onboarding.milestones import update_from_raw
from debitura_pipeline.onboarding.reading import Found, read_some
from debitura_pipeline.onboarding.record import RowUpdate, record, record_in
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.warehouse.opening import open_warehouse

Facts: TypeAlias = dict[str, Any]
# Reads and merges the histories of clients; returns when, and the reasons of tenants that could not be read.
Load: TypeAlias = Callable[[Sequence[Client]], tuple[datetime, Mapping[str, str]]]


@dataclass(frozen=True)
class Status:
    """A client's onboarding status. `outstanding`: what it still has to do, None for nothing. `client`: None if it is not
    listed. `waited`: time since its link was created, None if it has signed."""

    state: str
    outstanding: str | None
    client: Client | None = None
    waited: timedelta | None = None

    @property
    def kyc_status(self) -> str | None:
        """The status of its identity check, as the API spells it."""
        return self.client.kyc_status if self.client else None

    def facts(self) -> Facts:
        """Values for Dagster metadata."""
        facts: Facts = {"state": self.state, "kyc_status": self.kyc_status, "outstanding": self.outstanding}
        return facts | ({} if self.waited is None else {"waited_s": int(self.waited.total_seconds())})


def check_status(
    settings: Settings, endpoint: Endpoint, refs: Sequence[ClientRef]
) -> dict[ClientRef, Status | ApiError]:
    """Read from the API which clients have signed, and record it. An ApiError for a client that could not be read.

    Raises ApiError if none could be read, WarehouseError if the result cannot be recorded.
    """
    found = read_some(settings, endpoint, refs)
    statuses = {ref: one if isinstance(one, ApiError) else _status(one) for ref, one in found.items()}
    record(settings, (_status_update(ref, found[ref], status) for ref, status in statuses.items()))
    return statuses


def _status(found: Found) -> Status:
    client = found.client
    if client is None:
        return Status(GONE, "the API no longer lists this client: withdrawn, archived or replaced")
    if client.is_signed:
        return Status(SIGNED, outstanding(None, client.kyc_status), client)
    waited = found.at - client.linked_at if client.linked_at else None
    return Status(WAITING, outstanding("signature of the agreement", client.kyc_status), client, waited)


def _status_update(ref: ClientRef, found: Found | ApiError, status: Status | ApiError) -> RowUpdate:
    if isinstance(found, ApiError) or isinstance(status, ApiError):
        return RowUpdate(ref, None, {"message": str(status)})
    values = {
        "state": status.state,
        "onboarding_done": found.client.is_signed if found.client else None,
        "kyc_status": status.kyc_status,
        "outstanding": status.outstanding,
        "registered_at": found.client.linked_at if found.client else None,
        "signed_at": found.at if status.state == SIGNED else None,
        "message": None,
    }
    return RowUpdate(ref, found.at, values)


def check_access(
    settings: Settings, endpoint: Endpoint, refs: Sequence[ClientRef]
) -> dict[ClientRef, Facts | ApiError]:
    """Issue a token for each client, try it on the Customer API, discard it, and record the result.

    An ApiError for a client whose access does not work. Raises BudgetSpent and WarehouseError.
    """
    found = try_access(settings, endpoint, refs)
    record(settings, (_access_update(ref, access) for ref, access in found.items()))
    return {ref: one if isinstance(one, ApiError) else _access_facts(one) for ref, one in found.items()}


def _access_update(ref: ClientRef, access: AccessCheck | ApiError) -> RowUpdate:
    if isinstance(access, ApiError):
        # A retryable error says nothing about the client, whose access then counts as never tried.
        is_final = not access.is_retryable
        return RowUpdate(ref, None, ({"access_ok": False} if is_final else {}) | {"message": str(access)})
    return RowUpdate(ref, access.at, {"access_ok": True, "access_checked_at": access.at, "message": access.remark})


def _access_facts(access: AccessCheck) -> Facts:
    return {
        "is_working": True,
        "was_tried": access.was_tried,
        "expires_in_s": access.expires_in_s,
        "remark": access.remark,
    }


def load_histories(settings: Settings, clients: Iterable[Client], load: Load) -> dict[ClientRef, Facts | str]:
    """Load the clients' own rows, cases and transactions through `load`, and record the result.

    Returns row counts per client, or the reason why a client could not be read. Raises what `load` raises, and WarehouseError.
    """
    wanted = list(clients)
    read_at, failed = load(wanted)
    with open_warehouse(settings) as warehouse:
        cases, transactions = rows_by_tenant(warehouse, "cases"), rows_by_tenant(warehouse, "transactions")
    outcomes: dict[ClientRef, Facts | str] = {}
    for client in wanted:
        counts = {"cases": cases.get(client.tenant, 0), "transactions": transactions.get(client.tenant, 0)}
        outcomes[client.ref] = failed.get(client.tenant) or {"state": LOADED, **counts}
    with open_warehouse(settings) as warehouse:
        record_in(warehouse, (_history_update(ref, read_at, outcome) for ref, outcome in outcomes.items()))
        update_from_raw(warehouse)
    return outcomes


def _history_update(ref: ClientRef, read_at: datetime, outcome: Facts | str) -> RowUpdate:
    if isinstance(outcome, str):
        return RowUpdate(ref, None, {"message": outcome})
    values = {
        "state": LOADED,
        "history_loaded_at": read_at,
        "cases_loaded": outcome["cases"],
        "transactions_loaded": outcome["transactions"],
    }
    return RowUpdate(ref, read_at, values)
