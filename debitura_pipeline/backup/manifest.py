"""The manifest, the last member of a backup: the other members, whose data it is, and the rows to expect after a restore."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.warehouse.identity import Identity

FORMAT = 1
MAX_MANIFEST_BYTES = 256 * 2**20  # bytes: some million members


class BackupError(DebituraError):
    """A backup could not be made, or cannot be restored here."""


@dataclass(frozen=True)
class Member:
    """Size in bytes and hex SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class TableManifest:
    """A table of `raw` or `ops`: number of rows, and columns in the order of its file (Postgres only)."""

    rows: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """`identity`: whose data it is; None if nothing was synced yet. `dagster`: `sqlite`, or `postgresql` (not included)."""

    created_at: str
    versions: dict[str, str]
    engine: str
    dagster: str
    identity: Identity | None
    tables: dict[str, TableManifest]
    members: dict[str, Member]

    def to_json(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Manifest:
        """Parse a manifest. Raises BackupError if it is invalid or has another format."""
        try:
            facts: dict[str, Any] = json.loads(body)
            if facts["format"] != FORMAT:
                raise BackupError(f"It has format {facts['format']}, and this version reads {FORMAT}.")
            return cls(
                created_at=str(facts["created_at"]),
                versions=dict(facts["versions"]),
                engine=str(facts["engine"]),
                dagster=str(facts["dagster"]),
                identity=Identity(**facts["identity"]) if facts["identity"] else None,
                tables={
                    name: TableManifest(int(t["rows"]), tuple(t["columns"])) for name, t in facts["tables"].items()
                },
                members={name: Member(int(m["size"]), str(m["sha256"])) for name, m in facts["members"].items()},
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BackupError(f"Its manifest cannot be read ({type(error).__name__}).") from None
