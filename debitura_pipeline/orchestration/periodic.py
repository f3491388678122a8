"""Calls a function at intervals in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ENDS_WITHIN_S = 1.0


@contextmanager
def periodically(
    every_s: float, look: Callable[[], object], *, ends_within_s: float | None = ENDS_WITHIN_S
) -> Iterator[None]:
    """Call `look` every `every_s` seconds while the block runs; a call that raises is ignored.

    `ends_within_s`: how long the end of the block waits for a call in progress, None: until it returns.
    """
    over = threading.Event()

    def loop() -> None:
        while not over.wait(every_s):
            with suppress(Exception):
                look()

    thread = threading.Thread(target=loop, name="periodically", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ends_within_s)
