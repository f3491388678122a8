"""The three steps of one client's onboarding: is it signed, does its access work, is its history loaded.

Belongs here: each step's body, which also writes `ops.onboarding`. Does not: when they run (lifecycle.py decides, the
sensor asks). Called by assets/onboarding.py. The access token lives for the length of one step and is written nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from debitura_pipeline.errors import ApiError
from debitura_pipeline.onboarding.access import try_access
from debitura_pipeline.onboarding.lifecycle import GONE, LOADED, SIGNED, WAITING, read_partition_key
from debitura_pipeline.onboarding.reading import read_one
from debitura_pipeline.onboarding.record import record
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.warehouse.identity import check_identity


class Loaded(Protocol):
    """What one resource's sync tells of itself; `sync.SyncReport` is one."""

    @property
    def resource(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime: ...
    @property
    def requests(self) -> int: ...
    @property
    def rows_read(self) -> int: ...
    @property
    def windows(self) -> int: ...
    @property
    def is_proven(self) -> bool: ...


# Settings, endpoint, tenant id, creditor id -> reports: `sync.sync_client`, which stands on this room's own floor.
LoadClient = Callable[[Settings, Endpoint, str, str], Sequence[Loaded]]

KYC_SETTLED = {"notrequired", "verified"}


@dataclass(frozen=True)
class Status:
    """Where a client stands: `state`, in words what is outstanding (None: nothing), time since the link was made."""

    state: str
    kyc_status: str | None
    outstanding: str | None
    waited: timedelta | None = None

    @property
    def is_signed(self) -> bool:
        return self.state == SIGNED

    def facts(self) -> dict[str, Any]:
        facts = {"state": self.state, "kyc_status": self.kyc_status, "outstanding": self.outstanding}
        return facts | ({} if self.waited is None else {"waited_s": int(self.waited.total_seconds())})


def check_status(settings: Settings, endpoint: Endpoint, key: str) -> Status:
    """Ask the API whether the client has signed, and write it down."""
    check_identity(settings)
    tenant, creditor_id = read_partition_key(key)
    found = read_one(settings, endpoint, tenant, creditor_id)
    client = found.client
    if client is None:
        status = Status(GONE, None, "the API no longer lists this client: withdrawn, archived or replaced")
    elif not client.is_signed:
        waited = found.at - client.linked_at if client.linked_at else None
        outstanding = _outstanding("signature of the agreement", client.kyc_status)
        status = Status(WAITING, client.kyc_status, outstanding, waited)
    else:
        status = Status(SIGNED, client.kyc_status, _outstanding(None, client.kyc_status))
    record(
        settings, key, found.at,
        state=status.state, onboarding_done=client.is_signed if client else None,
        kyc_status=status.kyc_status, outstanding=status.outstanding, message=None,
    )  # fmt: skip
    return status


def check_access(settings: Settings, endpoint: Endpoint, key: str) -> dict[str, Any]:
    """Mint a token for the client, try it on the Customer API, forget it. Raises ApiError when it does not work."""
    tenant, creditor_id = read_partition_key(key)
    try:
        access = try_access(settings, endpoint, tenant, creditor_id)
    except ApiError as error:
        record(settings, key, None, access_ok=False, message=str(error))
        raise
    record(settings, key, access.at, access_ok=True, access_checked_at=access.at, message=access.remark)
    return {
        "is_working": True,
        "was_tried": access.was_tried,
        "expires_in_s": access.expires_in_s,
        "remark": access.remark,
    }


def load_history(settings: Settings, endpoint: Endpoint, key: str, load: LoadClient) -> dict[str, Any]:
    """That client's cases and transactions, whole and verified, merged by `load`; figures of both."""
    tenant, creditor_id = read_partition_key(key)
    reports = {report.resource: report for report in load(settings, endpoint, tenant, creditor_id)}
    cases, transactions = reports["cases"], reports["transactions"]
    record(
        settings, key, transactions.finished_at,
        state=LOADED, history_loaded_at=transactions.finished_at,
        cases_loaded=cases.rows_read, transactions_loaded=transactions.rows_read,
    )  # fmt: skip
    return {
        "state": LOADED,
        "cases": cases.rows_read,
        "transactions": transactions.rows_read,
        "requests": cases.requests + transactions.requests,
        "verified_windows": cases.windows + transactions.windows,
        "is_proven": cases.is_proven and transactions.is_proven,
        "duration_s": str((transactions.finished_at - cases.started_at).total_seconds()),
    }


def _outstanding(signature: str | None, kyc_status: str | None) -> str | None:
    settled = kyc_status is None or kyc_status.replace("_", "").lower() in KYC_SETTLED
    missing = [signature, None if settled else "identity check (KYC)"]
    return ", ".join(text for text in missing if text) or None
