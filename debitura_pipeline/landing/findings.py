"""What a sync reports besides rows: bad rows, schema drift and control totals.

The warehouse stores them in `ops.quarantine`, `ops.schema_drift` and `ops.control_totals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class BadRow:
    """A row that does not match the contract. `payload`: its redacted JSON; `row_key`: its id, if it has one."""

    payload_sha256: str
    row_key: str | None
    reason: str
    payload: str


@dataclass(frozen=True)
class Drift:
    """Something that is not in the contract. `kind`: `field` (a new one), `value` (of an enum) or `empty` (an empty text
    instead of null)."""

    kind: str
    field: str
    value: str | None


@dataclass(frozen=True)
class ControlTotal:
    """A figure of the API next to ours. `unit` is `count` or `usd`; `verdict` is `equal`, `differs` or `unproven`.

    `api_value` is None if the API did not state it. `is_floating`: unproven only because it includes estimates, whose USD
    value moves with exchange rates between responses.
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
        """Our value minus the API's."""
        return None if self.api_value is None else self.warehouse_value - self.api_value
