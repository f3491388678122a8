"""Something that is looked at again and again, beside the main thread, which must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ENDS_WITHIN_S = 1.0


@contextmanager
def periodically(every_s: float, look: Callable[[], object]) -> Iterator[None]:
    """Call `look` every `every_s` seconds while the block runs. One that fails is made up for by the next."""
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
        thread.join(ENDS_WITHIN_S)
