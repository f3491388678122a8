"""The sign of life of the program that looks for all partners: a file whose time it renews."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

FILE = "lookout.beat"
FRESH_S = 30.0


def beat(data_dir: Path) -> None:
    """Renew it. Raises OSError."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data_dir / FILE).touch(mode=0o600)


def is_beating(data_dir: Path) -> bool:
    """Whether it was renewed lately."""
    with suppress(OSError):
        return time.time() - (data_dir / FILE).stat().st_mtime < FRESH_S
    return False
