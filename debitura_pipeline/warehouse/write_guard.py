"""Ask whether this process may still write, right before a transaction commits or a child process starts to write.

The run lock keeps other runs out. A guard is for a run that was declared failed while its process was stopped, and that
continues later (`orchestration/beating.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Of the process, not of a context: steps may write from threads.
_guards: list[Callable[[], None]] = []


@contextmanager
def guarded(guard: Callable[[], None]) -> Iterator[None]:
    """Within the block, `check_may_write` calls `guard`, which raises WarehouseError if nothing may be written any more."""
    _guards.append(guard)
    try:
        yield
    finally:
        _guards.remove(guard)


def check_may_write() -> None:
    """Raises WarehouseError if a guard does."""
    for guard in tuple(_guards):
        guard()
