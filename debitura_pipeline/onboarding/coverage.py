"""Clients whose history is in the warehouse because everything was read, proven, since they were seen to have signed.

Belongs here: which clients these are, their rows in `ops.onboarding`, and the short list that sensors go by instead of opening
the warehouse. Does not: reading anything (`sync/`), Dagster's events (`orchestration/coverage.py`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from debitura_pipeline.contract.stages import UNCLASSIFIED
from debitura_pipeline.onboarding.lifecycle import LOADED, outstanding, partition_key, read_partition_key
from debitura_pipeline.onboarding.record import News, record_in
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

DIGEST_BYTES = 9  # twelve characters each; among 20,000 clients two share one with a chance of 1 to 10^13

# All cases and all transactions were read after the client was last seen to have signed. A night reads the clients first, so
# one that signs or is linked later is loaded on its own. Rows that fit no stage leave a sum unproven, but every row was read,
# and a reading of that client alone would prove no more.
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
    SELECT o.partition_key FROM ops.onboarding AS o
    JOIN raw.clients AS c ON c.creditor_id = o.creditor_id AND c.external_tenant_id = o.external_tenant_id
    WHERE o.state = '{LOADED}' AND o.access_ok IS NULL AND c._deleted_at IS NULL
    ORDER BY o.first_seen_at, o.partition_key"""


@dataclass(frozen=True)
class Coverage:
    """Digests of partition keys: small enough for an event, and enough to ask whether a client is among them."""

    digests: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, keys: Iterable[str]) -> Coverage:
        return cls(frozenset(map(_digest, keys)))

    @classmethod
    def from_text(cls, text: str) -> Coverage:
        """What `as_text` gave. Raises ValueError."""
        data = base64.b64decode(text, validate=True)
        return cls(frozenset(data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)))

    def as_text(self) -> str:
        return base64.b64encode(b"".join(sorted(self.digests))).decode()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _digest(key) in self.digests

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True)
class Standing:
    """Partition keys of the clients that are loaded, and of those that the warehouse lists and that are not."""

    loaded: tuple[str, ...]
    open: tuple[str, ...]


def note_covered(settings: Settings, *, is_proof_wanted: bool = True) -> Standing:
    """Who is loaded and who is not; covered clients that `ops.onboarding` does not call loaded yet are written there.

    Without `is_proof_wanted` a reading that could not be proven covers too: a client's own is taken as it is, proven or not.
    """
    with open_warehouse(settings) as warehouse:
        warehouse.prepare()
        covered = {
            partition_key(tenant, creditor): (kyc, at)
            for tenant, creditor, kyc, at in warehouse.rows(_COVERED, (not is_proof_wanted,))
        }
        loaded = {
            key for (key,) in warehouse.rows(f"SELECT partition_key FROM ops.onboarding WHERE state = '{LOADED}'")
        }
        new = {key: facts for key, facts in covered.items() if key not in loaded}
        if new:
            cases, transactions = rows_by_tenant(warehouse, "cases"), rows_by_tenant(warehouse, "transactions")
            record_in(warehouse, (_news(key, *facts, cases, transactions) for key, facts in new.items()))
        loaded |= covered.keys()
        listed = {partition_key(tenant, creditor) for tenant, creditor in warehouse.rows(_LISTED)}
        return Standing(tuple(sorted(loaded)), tuple(sorted(listed - loaded)))


def untried(settings: Settings, most: int) -> tuple[list[str], int]:
    """Loaded clients whose access was never tried, at most so many, those first that wait longest; and how many there are."""
    with open_warehouse(settings) as warehouse:
        found = [key for (key,) in warehouse.rows(_UNTRIED)]
    return found[:most], len(found)


def rows_by_tenant(warehouse: Warehouse, resource: str) -> dict[str, int]:
    """Live rows of `raw.<resource>` by tenant id."""
    return dict(
        warehouse.rows(
            f"SELECT external_tenant_id, count(*) FROM raw.{resource} "
            "WHERE _deleted_at IS NULL AND external_tenant_id IS NOT NULL GROUP BY external_tenant_id"
        )
    )


def _news(
    key: str,
    kyc_status: str | None,
    read_at: datetime,
    cases: Mapping[str, int],
    transactions: Mapping[str, int],
) -> News:
    at, (tenant, _) = read_at.astimezone(UTC), read_partition_key(key)
    values = {
        "state": LOADED,
        "onboarding_done": True,
        "kyc_status": kyc_status,
        "outstanding": outstanding(None, kyc_status),
        "history_loaded_at": at,
        "cases_loaded": cases.get(tenant, 0),
        "transactions_loaded": transactions.get(tenant, 0),
        "message": None,
    }
    return News(key, at, values)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).digest()
