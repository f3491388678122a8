"""Looks at the environment and command line of a process and of all that it starts, for as long as it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
EVERY_S = 0.02


@dataclass
class Seen:
    """`last`: the process's own environment when last looked at. `children`: command line -> environments of descendants."""

    last: bytes = b""
    children: dict[bytes, set[bytes]] = field(default_factory=dict)


@contextmanager
def watched(pid: int) -> Iterator[Seen]:
    """Look every 20 ms until the end of the block."""
    seen, is_over = Seen(), threading.Event()

    own = _read(pid, "cmdline")

    def look() -> None:
        while not is_over.wait(EVERY_S):
            seen.last = _read(pid, "environ") or seen.last
            for child in _descendants(pid):
                command = _read(child, "cmdline")
                if command and command != own:  # a fork that has not executed its program yet is a copy of its parent
                    seen.children.setdefault(command, set()).add(_read(child, "environ"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def _descendants(pid: int) -> Iterator[int]:
    for file in (PROC / str(pid) / "task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_text().split()):
                yield child
                yield from _descendants(child)


def _read(pid: int, what: str) -> bytes:
    with suppress(OSError):
        return (PROC / str(pid) / what).read_bytes()
    return b""
