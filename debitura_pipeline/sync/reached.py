"""Has this very address answered before? What then does not answer is down, and not misspelt.

Belongs here: that one fact, kept in the data directory. Does not: whose data it is (`warehouse/identity.py`), which leaves out the
port of an API on this machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.settings import LOOPBACK, Endpoint, Settings
from debitura_pipeline.warehouse.identity import IdentityCheck

FILE = "reached.json"


def was_reached(settings: Settings, endpoint: Endpoint, known: IdentityCheck) -> bool:
    """Whether an earlier run had its answers from `endpoint`. `known` tells of the warehouse, which other data directories may
    share; of an address on this machine, its port included, the data directory alone."""
    if _read(settings.data_dir / FILE) == endpoint.base_url:
        return True
    return urlsplit(endpoint.base_url).hostname not in LOOPBACK and known.warehouse is not None


def note_reached(settings: Settings, endpoint: Endpoint) -> None:
    """A run ended well with answers from `endpoint`."""
    path = settings.data_dir / FILE
    if _read(path) == endpoint.base_url:
        return
    write_private_atomically(path, json.dumps({"api": endpoint.base_url}).encode(), fsync=False)


def _read(path: Path) -> str | None:
    """The address; None where there is no such file, or none that can be read: it is written anew."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found.get("api") if isinstance(found, dict) else None
