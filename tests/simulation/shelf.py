"""Rows on their way to a file, kept as they are: reading them back costs more than all that is asked of them here.

Belongs here: what was landed at which path during the history that is being played. Does not: what becomes of it. The
files are written all the same; certificates are checked against them, and the real warehouse reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from debitura_pipeline.landing.shape import Shaped

_LANDED: dict[Path, tuple[pa.Table, int]] = {}


def landed_at(path: Path) -> tuple[pa.Table, int]:
    """The rows that were landed at `path`, and the reading that showed them (`_seq`)."""
    return _LANDED[path]


def shelved(write: Callable[[Shaped, Path, int], str]) -> Callable[[Shaped, Path, int], str]:
    """`Shaped.write`, which keeps the rows, too."""

    def both(shaped: Shaped, path: Path, seq: int) -> str:
        _LANDED[path] = (shaped.columns, seq)
        return write(shaped, path, seq)

    return both


def clear_shelf() -> None:
    _LANDED.clear()
