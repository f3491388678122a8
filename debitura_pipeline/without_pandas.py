"""Commands that have no use for pandas do without loading it: a third of a second of CPU and 40 MB.

DuckDB imports pandas, where it is installed, to see whether a parameter is one of its values, and Arrow for every list that
becomes a column. Both take it for absent inside this block.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any


class _Absent(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out by without_pandas()", name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """For the length of the block, `import pandas` fails unless it is loaded already.

    Arrow remembers for the rest of the process that there is no pandas, so not where frames are made of its tables later.
    """
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
