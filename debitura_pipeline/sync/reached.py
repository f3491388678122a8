"""Remember in the data directory that an address has answered, to tell an outage from a misspelt address."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.settings import LOOPBACK, Endpoint, Settings
from debitura_pipeline.warehouse.identity import IdentityCheck

FILE = "reached.json"


def was_reached(settings: Settings, endpoint: Endpoint, known: IdentityCheck) -> bool:
    """Whether an earlier run has reached `endpoint`, according to the data directory or, except for loopback addresses, to a
    warehouse that holds data of this API (`known`)."""
    if _read(settings.data_dir / FILE) == endpoint.base_url:
        return True
    return urlsplit(endpoint.base_url).hostname not in LOOPBACK and known.warehouse is not None


def note_reached(settings: Settings, endpoint: Endpoint) -> None:
    """Record that a run has succeeded with `endpoint`. Raises OSError."""
    path = settings.data_dir / FILE
    if _read(path) == endpoint.base_url:
        return
    write_private_atomically(path, json.dumps({"api": endpoint.base_url}).encode(), fsync=False)


def _read(path: Path) -> str | None:
    """The recorded address; None if the file is missing or unreadable, in which case it will be rewritten."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found.get("api") if isinstance(found, dict) else None
