"""A file lock that is held by a living process only: it ends with the process, however that ends.

The kernel holds it (`flock`), so neither host names nor reused process ids matter. The file remains and names the holder; its
content is ignored while the lock is free.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.errors import WarehouseError

# A holder that was killed a moment ago is still being taken down, one that just came has not written its name yet.
SETTLE_S = 0.4
PAUSE_S = 0.02
MAX_NAME_BYTES = 4096  # bytes read of a file that is a line of about 200


@dataclass(frozen=True)
class Holder:
    """The holder of a lock: process id, host, since when (ISO, UTC), and its purpose."""

    pid: int
    host: str
    since: str
    what: str

    def __str__(self) -> str:
        return f"{self.what}, process {self.pid} on host {self.host}, since {self.since}"

    @property
    def is_gone(self) -> bool:
        """Whether the process is known to be dead; False for processes of other hosts or containers."""
        if self.host != platform.node():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False


def current_holder(what: str) -> Holder:
    """This process as a lock's holder."""
    return Holder(os.getpid(), platform.node(), datetime.now(UTC).isoformat(timespec="seconds"), what)


class ProcessLock:
    """The lock on `path`, created with mode 0600 if missing. One object in one process holds it at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def is_held(self) -> bool:
        return self._handle is not None

    def is_at_its_path(self) -> bool:
        """Whether it is held, and its file is still the one at `path`: otherwise others can take the lock, too. Raises OSError."""
        if self._handle is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._handle), self.path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def take(self, what: str, sleep: Callable[[float], None] = time.sleep) -> Holder | None:
        """Acquire the lock; returns None, or the holder if it is taken. Raises WarehouseError if the file cannot be used."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return self._take(what, sleep)
        except OSError as error:
            raise WarehouseError(
                f"The lock file {self.path} cannot be used: {error.strerror}. Nothing was touched. The folder must be "
                "writable, on a file system that has locks."
            ) from error

    def release(self) -> None:
        """Release the lock. The holder's name is erased first."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _held.discard(self)
            with suppress(OSError):
                os.ftruncate(handle, 0)
            os.close(handle)

    def holder(self) -> Holder | None:
        """The current holder, None if there is none. For messages only: it may change at once."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read(handle) or UNNAMED
        finally:
            os.close(handle)
        return None

    def _take(self, what: str, sleep: Callable[[float], None]) -> Holder | None:
        for attempt in range(int(SETTLE_S / PAUSE_S)):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)  # not inherited by what is executed
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found = _read(handle)
                os.close(handle)
                # Somebody who only looks has it for some microseconds, and the name is then an old one: hence twice.
                if attempt and found is not None and not found.is_gone:
                    return found
            else:
                if self._is_held_at_its_path(handle, what):
                    return None
            sleep(PAUSE_S)
        return found or UNNAMED

    def _is_held_at_its_path(self, handle: int, what: str) -> bool:
        """Keep the lock and write the holder's name, unless the file was deleted meanwhile: such a lock keeps nobody out."""
        try:
            if os.path.samestat(os.fstat(handle), self.path.stat()):
                os.fchmod(handle, 0o600)
                os.ftruncate(handle, 0)
                os.pwrite(handle, (json.dumps(asdict(current_holder(what))) + "\n").encode(), 0)
                self._handle = handle
                _held.add(self)
        except FileNotFoundError:
            pass
        finally:
            if self._handle is None:
                os.close(handle)
        return self._handle is not None


UNNAMED = Holder(0, "unknown", "a moment ago", "a run that has not said its name yet")

_held: weakref.WeakSet[ProcessLock] = weakref.WeakSet()


def _read(handle: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(handle, MAX_NAME_BYTES, 0)))
    except (ValueError, TypeError):
        return None


def _let_go_in_child() -> None:
    """A forked child does not hold the lock; without this, the lock would last as long as the child."""
    for lock in list(_held):
        handle, lock._handle = lock._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
