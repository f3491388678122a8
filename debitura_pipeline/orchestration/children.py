"""End a child process together with this one, even if this one is killed and cannot clean up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# Blocks until the pipe from the parent is closed; the kernel closes it when the parent dies.
_SCRIPT = 'read -r _; kill -s "$2" -- "$1" && sleep 2 && kill -s KILL -- "$1"'


@contextmanager
def ends_with_us(pid: int, *, is_group: bool = False, first: str = "INT") -> Iterator[None]:
    """If this process is killed within the block, send signal `first` to `pid` (or its process group), then SIGKILL."""
    guard = subprocess.Popen(  # noqa: S603 - the script is ours
        ["/bin/sh", "-c", _SCRIPT, "sh", f"-{pid}" if is_group else str(pid), first],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # must survive Ctrl-C
    )
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
        if guard.stdin is not None:
            guard.stdin.close()
