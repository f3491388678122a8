"""The first night of a quiet world, read once per process for all histories that begin with the same rows.

It is a reading like any other, judged as one. What it left is kept: the data directory, the warehouse's rows, the judge's
books. Histories that are restless from the start, and a share of the others, read their own.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tests.simulation.world import Rows

Tables = dict[tuple[str, str], pa.Table]  # by schema and name


@dataclass(frozen=True)
class FirstNight:
    """`seconds`: how late it was in the world when the night ended; `kept` and `counted` as in `History`."""

    folder: Path
    tables: Tables
    seconds: float
    kept: dict[str, Rows]
    counted: dict[str, set[int]]

    def lay_out(self, data: Path) -> None:
        """Make `data` the data directory as the night left it."""
        shutil.copytree(self.folder, data)
