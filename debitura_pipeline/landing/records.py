"""What the shaper reports beside the rows: rows that do not fit, and what the API sent that the contract does not know.

Belongs here: the two records, free of personal data by construction of their makers (`redact.py`). Used by landing,
the warehouse and the asset checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BadRow:
    """A row for quarantine. `row_key` is its id where it has a usable one; `payload` is redacted JSON.

    `payload_sha256` tells one bad row from another: HMAC-SHA256, under the privacy key, of the row as it came, so
    that nobody can confirm a guess at what was withheld.
    """

    payload_sha256: str
    row_key: str | None
    reason: str
    payload: str

    @property
    def identity(self) -> str:
        return self.row_key or self.payload_sha256


@dataclass(frozen=True, order=True)
class Drift:
    """A field (`kind` 'field', `value` empty) or an enum value (`kind` 'value') that the contract does not name."""

    kind: Literal["field", "value"]
    field: str
    value: str
