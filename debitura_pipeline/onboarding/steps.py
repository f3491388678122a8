"""The three steps of an onboarding run: who has signed, does their access work, are their histories loaded.

Belongs here: each step's body, for all clients of a run at once, which also writes `ops.onboarding`. Does not: when they run
(lifecycle.py decides, the sensor asks). Access tokens live for the length of one step and are written nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from debitura_pipeline.errors import ApiError
from debitura_pipeline.onboarding.access import Access, try_access
from debitura_pipeline.onboarding.coverage import rows_by_tenant
from debitura_pipeline.onboarding.lifecycle import GONE, LOADED, SIGNED, WAITING, Client, outstanding
from debitura_pipeline.onboarding.reading import Found, read_some
from debitura_pipeline.onboarding.record import News, record
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.warehouse.opening import open_warehouse

Facts: TypeAlias = dict[str, Any]
# Reads and merges the histories of clients, and says when that was and which tenants could not be read, and why.
Load: TypeAlias = Callable[[Sequence[Client]], tuple[datetime, Mapping[str, str]]]


@dataclass(frozen=True)
class Status:
    """Where a client stands: `state`, in words what is outstanding (None: nothing), time since the link was made; `client`
    where it is listed."""

    state: str
    outstanding: str | None
    client: Client | None = None
    waited: timedelta | None = None

    @property
    def kyc_status(self) -> str | None:
        return self.client.kyc_status if self.client else None

    def facts(self) -> Facts:
        facts: Facts = {"state": self.state, "kyc_status": self.kyc_status, "outstanding": self.outstanding}
        return facts | ({} if self.waited is None else {"waited_s": int(self.waited.total_seconds())})


def check_status(settings: Settings, endpoint: Endpoint, keys: Sequence[str]) -> dict[str, Status | ApiError]:
    """Ask the API which clients have signed, and write it down; an ApiError where a client could not be asked for.

    Raises ApiError where none could.
    """
    found = read_some(settings, endpoint, keys)
    statuses = {key: one if isinstance(one, ApiError) else _status(one) for key, one in found.items()}
    record(settings, (_status_news(key, found[key], status) for key, status in statuses.items()))
    return statuses


def _status(found: Found) -> Status:
    client = found.client
    if client is None:
        return Status(GONE, "the API no longer lists this client: withdrawn, archived or replaced")
    if client.is_signed:
        return Status(SIGNED, outstanding(None, client.kyc_status), client)
    waited = found.at - client.linked_at if client.linked_at else None
    return Status(WAITING, outstanding("signature of the agreement", client.kyc_status), client, waited)


def _status_news(key: str, found: Found | ApiError, status: Status | ApiError) -> News:
    if isinstance(found, ApiError) or isinstance(status, ApiError):
        return News(key, None, {"message": str(status)})
    values = {
        "state": status.state,
        "onboarding_done": found.client.is_signed if found.client else None,
        "kyc_status": status.kyc_status,
        "outstanding": status.outstanding,
        "message": None,
    }
    return News(key, found.at, values)


def check_access(settings: Settings, endpoint: Endpoint, keys: Sequence[str]) -> dict[str, Facts | ApiError]:
    """Mint a token for each client, try it on the Customer API, forget it; an ApiError where that does not work."""
    found = try_access(settings, endpoint, keys)
    record(settings, (_access_news(key, access) for key, access in found.items()))
    return {key: one if isinstance(one, ApiError) else _access_facts(one) for key, one in found.items()}


def _access_news(key: str, access: Access | ApiError) -> News:
    if isinstance(access, ApiError):
        # What may work the next time says nothing about the client: it counts as never tried.
        is_told = not access.is_retryable
        return News(key, None, ({"access_ok": False} if is_told else {}) | {"message": str(access)})
    return News(key, access.at, {"access_ok": True, "access_checked_at": access.at, "message": access.remark})


def _access_facts(access: Access) -> Facts:
    return {
        "is_working": True,
        "was_tried": access.was_tried,
        "expires_in_s": access.expires_in_s,
        "remark": access.remark,
    }


def load_histories(settings: Settings, clients: Iterable[Client], load: Load) -> dict[str, Facts | str]:
    """The clients' own rows, cases and transactions, whole and verified, merged by `load`; figures of each client, or why it
    could not be read. Raises what concerns all of them."""
    wanted = list(clients)
    read_at, failed = load(wanted)
    with open_warehouse(settings) as warehouse:
        cases, transactions = rows_by_tenant(warehouse, "cases"), rows_by_tenant(warehouse, "transactions")
    outcomes: dict[str, Facts | str] = {}
    for client in wanted:
        counts = {"cases": cases.get(client.tenant, 0), "transactions": transactions.get(client.tenant, 0)}
        outcomes[client.key] = failed.get(client.tenant) or {"state": LOADED, **counts}
    record(settings, (_history_news(key, read_at, outcome) for key, outcome in outcomes.items()))
    return outcomes


def _history_news(key: str, read_at: datetime, outcome: Facts | str) -> News:
    if isinstance(outcome, str):
        return News(key, None, {"message": outcome})
    values = {
        "state": LOADED,
        "history_loaded_at": read_at,
        "cases_loaded": outcome["cases"],
        "transactions_loaded": outcome["transactions"],
    }
    return News(key, read_at, values)
