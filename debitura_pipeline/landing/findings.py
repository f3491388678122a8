"""What a sync reports besides rows: bad rows, schema drift and control totals.

The warehouse stores them in `ops.quarantine`, `ops.schema_drift` and `ops.control_totals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class BadRow:
    """A row that does not fit the contract. `payload`: its redacted JSON text; `row_key`: its id, where it has one."""

    payload_sha256: str
    row_key: str | None
    reason: str
    payload: str


@dataclass(frozen=True)
class Drift:
    """What the contract does not foresee. `kind`: `field`, a new one; `value`, of an enum; `empty`, a text "" for null."""

    kind: str
    field: str
    value: str | None


@dataclass(frozen=True)
class ControlTotal:
    """The API's figure beside ours. `unit` is `count` or `usd`; `verdict` is `equal`, `differs` or `unproven`.

    `api_value` is None where the API did not state it. `is_floating`: unproven only because it holds estimates, whose USD
    moves with exchange rates from one answer to the next.
    """

    resource: str
    check_name: str
    scope: str  # 'all', or a creditor_id
    bucket: str
    unit: str
    api_value: Decimal | None
    warehouse_value: Decimal
    verdict: str
    detail: str | None = None
    is_floating: bool = False

    @property
    def difference(self) -> Decimal | None:
        """Ours less the API's."""
        return None if self.api_value is None else self.warehouse_value - self.api_value
