"""Call a function at intervals in a background thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ENDS_WITHIN_S = 1.0


@contextmanager
def periodically(
    every_s: float, call: Callable[[], object], *, ends_within_s: float | None = ENDS_WITHIN_S
) -> Iterator[None]:
    """Call `call` every `every_s` seconds while the block runs. Exceptions that it raises are ignored.

    `ends_within_s`: how long the end of the block waits for a call in progress; None waits until it returns.
    """
    over = threading.Event()

    def loop() -> None:
        while not over.wait(every_s):
            with suppress(Exception):
                call()

    thread = threading.Thread(target=loop, name="periodically", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ends_within_s)
