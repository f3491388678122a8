"""Keep libraries from importing large packages that they do not need here.

`without_pandas`: if pandas is installed, DuckDB imports it to check parameters for its types, and Arrow for each list that becomes
a column. Without it, a command saves 0.3 s of CPU and 40 MB. `without_dbt`: dagster-dbt imports dbt for its types, and has types of
its own where dbt is not installed in Python. Without it, importing the definitions takes 40 % less.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any


class _Absent(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == self._package:
            raise ModuleNotFoundError(f"{name} is left out by without_{name}()", name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Make `import pandas` fail inside the block, unless it is already loaded.

    Arrow caches the failure for the rest of the process, so do not use this where tables are converted to pandas later.
    """
    with _without("pandas"):
        yield


@contextmanager
def without_dbt() -> Iterator[None]:
    """Make `import dbt` fail inside the block, unless it is already loaded. Import dagster-dbt in it, for the first time."""
    with _without("dbt"):
        yield


@contextmanager
def _without(package: str) -> Iterator[None]:
    absent = _Absent(package)
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
