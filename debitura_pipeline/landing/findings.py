"""What landing finds wrong or new in the rows: rows that do not fit the contract, fields and values never seen.

Belongs here: the two shapes, shared by the shaper, which makes them, and the warehouse, which keeps them in
`ops.quarantine` and `ops.schema_drift`. Does not: finding them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BadRow:
    """A row that does not fit the contract. `payload`: its redacted JSON text; `row_key`: its id, where it has one."""

    payload_sha256: str
    row_key: str | None
    reason: str
    payload: str


@dataclass(frozen=True)
class Drift:
    """A field, or a value of an enum, that the contract does not name. `kind` is `field` or `value`."""

    kind: str
    field: str
    value: str | None
