"""Accepted data loss: syncs whose landing cannot be recovered. `<landing>/gaps.jsonl`, one line each.

`ops.syncs` records them too (status `lost`), since either can be rebuilt or replaced without the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from debitura_pipeline.errors import LandingError
from debitura_pipeline.files import write_private_atomically

GAPS = "gaps.jsonl"


@dataclass(frozen=True)
class Gap:
    """A lost sync, and its certificate's hash if known."""

    sync_id: str
    resource: str
    certificate_sha256: str | None
    reason: str
    accepted_at: str


def read_gaps(landing: Path) -> dict[str, Gap]:
    """Accepted gaps by sync id. Raises LandingError if the file cannot be read."""
    path = landing / GAPS
    if not path.exists():
        return {}
    try:
        gaps = [Gap(**json.loads(text)) for text in path.read_bytes().splitlines()]
    except (OSError, ValueError, TypeError, RecursionError):
        raise LandingError(f"{path} cannot be read. Move it away; `debitura repair` lists the gaps again.") from None
    return {gap.sync_id: gap for gap in gaps}


def accept_gaps(landing: Path, gaps: Sequence[Gap]) -> None:
    """Add gaps to the file, atomically. Raises LandingError if the existing file cannot be read."""
    known = read_gaps(landing) | {gap.sync_id: gap for gap in gaps}
    text = "".join(json.dumps(asdict(gap), separators=(",", ":")) + "\n" for gap in known.values())
    landing.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_atomically(landing / GAPS, text.encode(), fsync=True)
