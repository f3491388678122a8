"""A process that publishes on command and dies on command; `python -m tests.warehouse.publisher`, one line per try.

Each try is a fork, so that interpreter and imports are paid once. `at N` kills it before its N-th write to the published
folder, `after S` after S seconds, `within BYTES` lets no file grow beyond that. Answers with the try's exit status or error.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse import exports, publish, spreadsheet
from debitura_pipeline.warehouse.postgres import snapshot

CHANGES = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}
TOLD = 1  # exit status of a try that ended with an error, which it has printed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """Dies before the n-th write: what Python does to the folder, by its audit events, and before and after DuckDB's."""

    def __init__(self, folder: str, left: int) -> None:
        self._folder, self._left = folder, left
        sys.addaudithook(self._hear)
        for module, name in (
            (exports, "write_parquet"),
            (exports, "newest_reading"),
            (publish, "export_marts"),
            (spreadsheet, "write_spreadsheet"),
        ):
            setattr(module, name, self._counted(getattr(module, name)))
        counted = self._counted(snapshot.bounded)  # type: ignore[attr-defined]  # imported there
        snapshot.bounded = counted  # type: ignore[attr-defined]

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        writes = event in CHANGES or (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if writes and any(str(arg).startswith(self._folder) for arg in args[:2]):
            self._step()

    def _counted(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self._step()
            found = work(*args, **options)
            self._step()
            return found

        return counted

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            die()


def attempt(how: str, number: float) -> int:
    settings = load_settings(os.environ)
    if how == "at":
        Countdown(str(settings.published_dir), int(number))
    elif how == "after":
        threading.Timer(number, die).start()
    elif how == "within":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(number), int(number)))
    try:
        publish.publish(settings)
    except DebituraError as error:
        sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
        return TOLD
    return 0


def main() -> None:
    for line in sys.stdin:
        how, number = line.split()
        child = os.fork()
        if child == 0:
            os._exit(attempt(how, float(number)))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != TOLD:
            sys.stdout.write(f"{code}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
