"""Write demo rosters and claims as CSV files, mode 0600."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from debitura_sandbox.demo import claims, roster
from debitura_sandbox.world.world import WorldOptions


def write_roster(
    path: Path, count: int, *, seed: int = 7, with_conflicts: bool = False, with_invalid: bool = False
) -> int:
    """Write a demo roster and return the number of rows. Raises FileExistsError, OSError."""
    rows = roster.roster_rows(count, seed, with_conflicts=with_conflicts, with_invalid=with_invalid)
    return _write(path, roster.COLUMNS, rows)


def write_claims(path: Path, count: int, tenants: Sequence[str], *, seed: int = 7, with_invalid: bool = False) -> int:
    """Write demo claims of these clients and return the number of rows. Raises FileExistsError, OSError."""
    latest = datetime.fromisoformat(WorldOptions().start).date()
    return _write(path, claims.COLUMNS, claims.claim_rows(tenants, count, latest, seed, with_invalid=with_invalid))


def read_tenants(path: Path) -> list[str]:
    """The tenants of a roster in CSV. Raises OSError, ValueError if there are none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = [row.get("external_tenant_id") or "" for row in csv.DictReader(file)]
    tenants = [tenant for tenant in dict.fromkeys(found) if tenant]
    if not tenants:
        raise ValueError(f"{path} has no column external_tenant_id, or nothing in it")
    return tenants


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> int:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    listed = list(rows)
    writer.writerows(listed)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
        out.write(text.getvalue())
    return len(listed)
