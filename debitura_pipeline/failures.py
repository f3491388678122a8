"""What went wrong outside of this project's own errors, in words that are safe to print.

A full disk, a folder that may not be written and the like become one line with a cure. Anything else keeps its stack trace,
without the exceptions' own texts: those may quote a row, and with it a person.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings

SPACE = "Free some space there, or set DEBITURA_DATA_DIR to a folder with more; then give the same command again."
ACCESS = "Give this user the right to write there, or set DEBITURA_DATA_DIR to another folder."
CURES = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EFBIG: "Raise the limit on file sizes (`ulimit -f`), then give the same command again.",
    errno.EACCES: ACCESS,
    errno.EPERM: ACCESS,
    errno.EROFS: ACCESS,
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`), then give the same command again.",
    errno.ENFILE: "Close other programs, then give the same command again.",
    errno.ENOMEM: "Close other programs, then give the same command again.",
}
CHECK = "Check that folder and its disk, then give the same command again."
FULL = ("full", "no space", "disk quota", "disk i/o error")  # as SQLite and DuckDB say it
# By module, since the libraries are not loaded for every command.
STORAGE = ("sqlite3", "duckdb", "_duckdb")
# Their texts are about files and memory; others of DuckDB's quote values.
ABOUT_FILES = {"IOException", "OutOfMemoryException", "FatalException", "InternalException"}


def one_line(error: BaseException, settings: Settings | None) -> str | None:
    """Where, what and what to do, for a fault of a disk, a folder or the system; None for faults of other kinds."""
    for cause in chain(error):
        if isinstance(cause, OSError):
            return _of_system(cause, settings)
        module, name = type(cause).__module__.partition(".")[0], type(cause).__name__
        if module == "sqlite3" or (module in STORAGE and name in ABOUT_FILES):
            return _of_storage(cause, module, settings)
    return None


def stack_trace(error: BaseException) -> str:
    """The stack trace of `error` and of what led to it; of exceptions that are not ours the kind, not the text."""
    blocks = []
    for cause in reversed(list(chain(error))):
        told = str(cause) if isinstance(cause, DebituraError) else "(its text is left out: it may quote a row)"
        frames = "".join(traceback.format_tb(cause.__traceback__))
        blocks.append(
            f"Traceback (most recent call last):\n{frames}{type(cause).__module__}.{type(cause).__qualname__}: {told}\n"
        )
    return "\nwhich led to:\n\n".join(blocks)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the last one first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _of_system(error: OSError, settings: Settings | None) -> str:
    where = error.filename if isinstance(error.filename, str) else None
    place = where or (str(settings.data_dir) if settings else "a folder of this run")
    what = error.strerror or type(error).__name__
    return f"Reading or writing {place} failed: {what}. {CURES.get(error.errno or 0, CHECK)} What is landed stays."


def _of_storage(error: BaseException, module: str, settings: Settings | None) -> str:
    text = " ".join(str(error).split())[:300]
    if settings is None:
        place = "a file of this run"
    elif module == "sqlite3":
        place = f"Dagster's storage in {settings.dagster_home}"
    else:
        place = f"the warehouse {settings.warehouse.path}" if settings.warehouse.path else str(settings.data_dir)
    cure = SPACE if any(sign in text.lower() for sign in FULL) else CHECK
    return f"Reading or writing {place} failed: {text}. {cure} What is landed stays."
