"""Bodies of deliveries: their limits in size and memory. They are not verified before they are complete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
MAX_BODY = 2**20
MAX_LENGTH_DIGITS = 20  # of 64 bits; a longer Content-Length has zeros in front that no client writes
MAX_BODIES = 64 * 2**20  # of all deliveries together
OVERLOADED = 503


class BodyMemory:
    """Bytes of the bodies that are in memory. `limit`: at most so many."""

    def __init__(self, limit: int = MAX_BODIES) -> None:
        self.limit, self.used = limit, 0

    @contextmanager
    def of_one(self) -> Iterator[Callable[[int], bool]]:
        """A function that takes so many bytes for one body, False if there are not enough. They are free after the block."""
        held = 0

        def take(count: int) -> bool:
            nonlocal held
            if self.used + count > self.limit:
                return False
            self.used, held = self.used + count, held + count
            return True

        try:
            yield take
        finally:
            self.used -= held


def is_oversized(stated: bytes) -> bool:
    """Whether a `Content-Length` is too large, or no number. Python converts no number of thousands of digits."""
    return not stated.isdigit() or len(stated) > MAX_LENGTH_DIGITS or int(stated) > MAX_BODY


async def read_body(receive: Receive, take: Callable[[int], bool]) -> bytes | bytearray | int | None:
    """The raw body; 413 as soon as it is too large, 503 as soon as `take` refuses its memory; None if the sender is gone."""
    whole = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        if len(whole) + len(part) > MAX_BODY:
            return 413
        if not take(len(part)):
            return OVERLOADED
        if not message.get("more_body", False):
            return whole + part if whole else part
        whole += part
