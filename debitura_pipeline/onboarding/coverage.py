"""Clients that need no onboarding run, because a full, proven sync since their signature has loaded their history.

Also the compact list of such clients that sensors use instead of opening the warehouse; `orchestration/coverage.py` passes it on
in a Dagster event.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from debitura_pipeline.contract.stages import UNCLASSIFIED
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.lifecycle import DONE, LOADED, MUST_SIGN_AGAIN
from debitura_pipeline.onboarding.milestones import loaded_values, update_from_raw
from debitura_pipeline.onboarding.record import RowUpdate, record_in
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

DIGEST_BYTES = 9  # 12 characters in base64; the chance of a collision among 20,000 clients is 1 in 10^13

# All cases and all transactions were read after the client was last seen to have signed. Clients are read first, so a client
# that signs or is linked later gets a run of its own. Rows that fit no stage leave a sum unproven although every row was read; a
# sync of that client alone would not prove more.
_COVERED = f"""
    WITH whole AS (
        SELECT s.resource, max(s.as_of) AS read_at FROM ops.syncs AS s
        WHERE s.status = 'done' AND s.mode IN ('full', 'small') AND s.resource IN ('cases', 'transactions')
            AND (CAST($1 AS BOOLEAN) OR s.is_proven OR s.message = (
                SELECT max(t.detail) FROM ops.control_totals AS t
                WHERE t.sync_id = s.sync_id AND t.resource = s.resource AND t.scope = 'all' AND t.bucket = '{UNCLASSIFIED}'))
        GROUP BY s.resource
    ), since AS (SELECT min(read_at) AS read_at FROM whole HAVING count(*) = 2)
    SELECT c.external_tenant_id, c.creditor_id, c.kyc_status, since.read_at
    FROM raw.clients AS c CROSS JOIN since
    WHERE c._deleted_at IS NULL AND c.onboarding_done AND c.external_tenant_id IS NOT NULL
        AND c._changed_at <= since.read_at AND (c.linked_at IS NULL OR c.linked_at <= since.read_at)
    ORDER BY c.external_tenant_id, c.creditor_id"""

_LISTED = """
    SELECT external_tenant_id, creditor_id FROM raw.clients
    WHERE _deleted_at IS NULL AND external_tenant_id IS NOT NULL"""

_UNTRIED = f"""
    SELECT o.external_tenant_id, o.creditor_id FROM ops.onboarding AS o
    JOIN raw.clients AS c ON c.creditor_id = o.creditor_id AND c.external_tenant_id = o.external_tenant_id
    WHERE o.state = '{LOADED}' AND o.access_ok IS NULL AND c._deleted_at IS NULL
    ORDER BY o.first_seen_at, o.partition_key"""


@dataclass(frozen=True)
class Coverage:
    """A set of partition keys, stored as digests to be small enough for an event. Supports `in` and `len`."""

    digests: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, keys: Iterable[str]) -> Coverage:
        """The set of these partition keys."""
        return cls(frozenset(map(_digest, keys)))

    @classmethod
    def from_text(cls, text: str) -> Coverage:
        """The inverse of `as_text`. Raises ValueError."""
        data = base64.b64decode(text, validate=True)
        return cls(frozenset(data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)))

    def as_text(self) -> str:
        """Base64 of the sorted digests."""
        return base64.b64encode(b"".join(sorted(self.digests))).decode()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _digest(key) in self.digests

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True)
class LoadState:
    """Partition keys, sorted: `loaded` clients, and `open` ones, which the warehouse lists but which are not loaded.

    `unsigned`: those of the loaded ones that must sign again.
    """

    loaded: tuple[str, ...]
    open: tuple[str, ...]
    unsigned: tuple[str, ...] = ()


def record_covered(settings: Settings, *, is_proof_wanted: bool = True) -> LoadState:
    """Write covered clients to `ops.onboarding` as loaded, and return which clients are loaded.

    `is_proof_wanted`: only a proven sync covers. Without it an unproven one does too, as for a client's own sync. Raises
    WarehouseError.
    """
    with open_warehouse(settings) as warehouse:
        warehouse.prepare()
        covered = {
            ClientRef(tenant, creditor): (kyc, at)
            for tenant, creditor, kyc, at in warehouse.rows(_COVERED, (not is_proof_wanted,))
        }
        loaded = _in_state(warehouse, *DONE)
        new = {ref: facts for ref, facts in covered.items() if ref.key not in loaded}
        if new:
            cases, transactions = rows_by_tenant(warehouse, "cases"), rows_by_tenant(warehouse, "transactions")
            record_in(warehouse, (_loaded(ref, *facts, cases, transactions) for ref, facts in new.items()))
        update_from_raw(warehouse)
        loaded |= {ref.key for ref in covered}
        listed = {ClientRef(tenant, creditor).key for tenant, creditor in warehouse.rows(_LISTED)}
        unsigned = _in_state(warehouse, MUST_SIGN_AGAIN)
        return LoadState(tuple(sorted(loaded)), tuple(sorted(listed - loaded)), tuple(sorted(unsigned)))


def _in_state(warehouse: Warehouse, *states: str) -> set[str]:
    named = ", ".join(f"'{state}'" for state in states)
    return {key for (key,) in warehouse.rows(f"SELECT partition_key FROM ops.onboarding WHERE state IN ({named})")}


def untried(settings: Settings, limit: int) -> tuple[list[ClientRef], int]:
    """Loaded clients whose access was never tried: the `limit` longest known ones, and the number of all.

    Raises WarehouseError.
    """
    with open_warehouse(settings) as warehouse:
        found = [ClientRef(tenant, creditor) for tenant, creditor in warehouse.rows(_UNTRIED)]
    return found[:limit], len(found)


def rows_by_tenant(warehouse: Warehouse, resource: str) -> dict[str, int]:
    """Number of live rows of `raw.<resource>` by tenant id. Raises WarehouseError."""
    return dict(
        warehouse.rows(
            f"SELECT external_tenant_id, count(*) FROM raw.{resource} "
            "WHERE _deleted_at IS NULL AND external_tenant_id IS NOT NULL GROUP BY external_tenant_id"
        )
    )


def _loaded(
    ref: ClientRef,
    kyc_status: str | None,
    read_at: datetime,
    cases: Mapping[str, int],
    transactions: Mapping[str, int],
) -> RowUpdate:
    at = read_at.astimezone(UTC)
    values = {
        **loaded_values(True, kyc_status),
        "history_loaded_at": at,
        "cases_loaded": cases.get(ref.tenant, 0),
        "transactions_loaded": transactions.get(ref.tenant, 0),
        "message": None,
    }
    return RowUpdate(ref, at, values)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).digest()
