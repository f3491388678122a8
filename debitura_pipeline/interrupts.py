"""End a command within ten seconds of SIGINT or SIGTERM, whatever it is doing, and leave no child process behind.

The first signal raises KeyboardInterrupt, as in any Python program. A long call into a library or a loop with its own signal
handler may not react to it, so a thread also watches for signals and ends the process after GRACE_S, or at once on the second
signal. No data is lost: every write can be interrupted, even by a power cut.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

INTERRUPTED = 130
MESSAGE = "Interrupted. Landed data is kept, and so is the record of what was sent; run the same command to resume."
GRACE_S = 6.5
# A KeyboardInterrupt raised in a finalizer is lost, so it is repeated.
REPEAT_S = 2.5
CHILDREN_S = 1.0  # between SIGTERM and SIGKILL for children
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_seen = threading.Event()


def was_interrupted() -> bool:
    """Whether a signal arrived since `caught()` began. For code that runs under another signal handler, such as Dagster's."""
    return _seen.is_set()


def from_start() -> None:
    """End the process with the message on any signal until `caught()` takes over, that is while libraries are imported."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: end_now())


@contextmanager
def caught() -> Iterator[None]:
    """Handle signals within the block as described in the module's docstring. Main thread only."""
    _seen.clear()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # Shells start background jobs with SIGINT ignored; a SIGINT that is sent nevertheless must work.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _as_sigint)
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader,), name="interrupts", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        os.close(writer)
        watcher.join(1)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def left_to_the_program() -> Iterator[None]:
    """Within the block, a program handles signals itself and ends when it chooses. Main thread only."""
    woken = signal.set_wakeup_fd(-1)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)


def end_now(message: str = MESSAGE, status: int = INTERRUPTED) -> None:
    """End this process and its descendants immediately, with the message on standard error."""
    children = _descendants(os.getpid())
    _send(children, signal.SIGTERM)
    give_up_at = time.monotonic() + CHILDREN_S
    while time.monotonic() < give_up_at and _send(children, 0):
        time.sleep(0.05)
    _send(children | _descendants(os.getpid()), signal.SIGKILL)
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, f"{message}\n".encode())
    os._exit(status)


def _as_sigint(_number: int, frame: FrameType | None) -> None:
    """Pass SIGTERM to the current handler of SIGINT: an event loop's or Dagster's shuts down in order."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


def _watch(reader: int) -> None:
    """Read signal numbers from the wake-up pipe until its writing end is closed."""
    ends_at, repeated = float("inf"), 0
    try:
        while True:
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                end_now()
            if not select.select([reader], [], [], min(left_s, REPEAT_S) if _seen.is_set() else None)[0]:
                repeated += 1
                _thread.interrupt_main()
                continue
            came = [number for number in os.read(reader, 64) or [None] if number is None or number in SIGNALS]
            if None in came:
                return
            if _seen.is_set() and len(came) > repeated:
                end_now()
            elif came and not _seen.is_set():
                _seen.set()
                ends_at = time.monotonic() + GRACE_S
            else:
                repeated -= len(came)
    finally:
        os.close(reader)


def _send(processes: set[int], number: int) -> set[int]:
    """Send a signal; returns the processes that existed."""
    reached = set()
    for pid in processes:
        with suppress(OSError):
            os.kill(pid, number)
            reached.add(pid)
    return reached


def _descendants(ancestor: int) -> set[int]:
    """Live child processes of `ancestor`, and theirs."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found, left = set[int](), [ancestor]
    while left:
        for child in children.get(left.pop(), ()):
            found.add(child)
            left.append(child)
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Every live process id with its parent's."""
    if Path("/proc/self/stat").exists():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError):
                state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state != "Z":
                    yield int(path.parent.name), int(parent)
        return
    import subprocess  # noqa: PLC0415 - for systems without /proc alone

    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False)  # noqa: S607
    for line in listing.stdout.splitlines():
        pid, parent = line.split()
        yield int(pid), int(parent)
