"""A process that this one has started ends with it, also when this one is killed and can no longer see to that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# Reads until the pipe from us is closed, which the kernel does when we are gone.
_SCRIPT = 'read -r _; kill -s "$2" -- "$1" && sleep 2 && kill -s KILL -- "$1"'


@contextmanager
def ends_with_us(pid: int, *, is_group: bool = False, first: str = "INT") -> Iterator[None]:
    """Should this process be killed within the block, `pid` (or the group that it leads) gets signal `first`, then SIGKILL."""
    guard = subprocess.Popen(  # noqa: S603 - the script is ours
        ["/bin/sh", "-c", _SCRIPT, "sh", f"-{pid}" if is_group else str(pid), first],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
        if guard.stdin is not None:
            guard.stdin.close()
