"""Describe exceptions of libraries and the operating system in words that are safe to print.

A full disk, a folder without write access, too little memory and the like become one line with location and fix. Anything else
keeps its stack trace, without the exceptions' own texts: they may quote a row, and with it a person's data.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator
from errno import ENOSPC

from debitura_pipeline import disk_space
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings

KEPT = "Landed data is kept."
MEMORY = "Close other programs, give this machine or container more memory, or set DEBITURA_DUCKDB_MEMORY to less than 400MiB"
AGAIN = "then run the same command again."
# Kind of fault by the messages of the system, SQLite, DuckDB, Arrow, Dagster and dbt.
SPACE, ACCESS, SHORT, FILES, SIZE, DISK = "space", "access", "memory", "open files", "file size", "disk"
SERVER = "server"
SIGNS = (
    (SERVER, r"could not (?:extend|write (?:to|block \d+ of)(?: temporary)?|create temporary) file .*no space left"),
    (SPACE, r"no space left|disk is full|disk quota|out of disk space|no free space|max_temp_directory_size"),
    (
        ACCESS,
        r"read-only file ?system|readonly database|permission denied(?! (?:for|to) )|operation not permitted|"
        r"unable to open database",
    ),
    (SHORT, r"out of memory|cannot allocate|failed to allocate|could not allocate|malloc|bad_alloc|start new thread"),
    (SHORT, r"\bsignal 9\b|exit code `?-9\b|memoryerror|\bsigkill\b"),
    (FILES, r"too many open files"),
    (SIZE, r"file too large"),
    (DISK, r"disk i/o error|input/output error|malformed|not a database"),
)
MAX_LENGTH = 600
# Compared by module name, because not every command imports the libraries. Only DuckDB's errors about files and memory are
# shown: others quote values.
STORAGE = ("sqlite3", "duckdb", "_duckdb")
ABOUT_FILES = {"IOException", "OutOfMemoryException", "FatalException", "InternalException"}


def one_line(error: BaseException, settings: Settings | None) -> str | None:
    """Location, fault and fix of a disk, folder or system error; None for other errors."""
    for cause in chain(error):
        if isinstance(cause, OSError):
            return _of_system(cause, settings)
        if isinstance(cause, MemoryError):
            return f"There is not enough memory. {MEMORY}, {AGAIN} {KEPT}"
        module, name = type(cause).__module__.partition(".")[0], type(cause).__name__
        if module == "sqlite3" or (module in STORAGE and name in ABOUT_FILES):
            return _of_storage(cause, module, settings)
        if isinstance(cause, RuntimeError) and kind_of(str(cause)) == SHORT:
            return f"A thread could not be started. {_cure(SHORT, str(cause), settings)} {KEPT}"
    return None


def completed(text: str, settings: Settings | None) -> str:
    """`text`, an error in one line, with location and fix added if it is about a disk, a folder or memory."""
    kind = kind_of(text)
    if kind is None or AGAIN in text:
        return text
    message = _plain(text)
    if kind in (SPACE, ACCESS, DISK) and "/" not in message and settings is not None:
        message = f"{disk_space.full_folders(settings)}: {message}"
    return f"{message.rstrip('. ')}. {_cure(kind, message, settings)}"


def kind_of(text: str) -> str | None:
    """The kind of fault that a library's message describes (SPACE, ACCESS, …); None if it is none of these."""
    return next((kind for kind, signs in SIGNS if re.search(signs, text, re.IGNORECASE)), None)


def stack_trace(error: BaseException) -> str:
    """The stack trace of `error` and its causes. Exceptions that are not ours are shown by class, without their text."""
    blocks = []
    for cause in reversed(list(chain(error))):
        text = str(cause) if isinstance(cause, DebituraError) else "(message omitted: it may quote a row)"
        frames = "".join(traceback.format_tb(cause.__traceback__))
        blocks.append(
            f"Traceback (most recent call last):\n{frames}{type(cause).__module__}.{type(cause).__qualname__}: {text}\n"
        )
    return "\nwhich led to:\n\n".join(blocks)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, newest first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _of_system(error: OSError, settings: Settings | None) -> str:
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    location = where or (disk_space.full_folders(settings) if settings else "a folder of this run")
    what = error.strerror or "the system gave no reason"
    if where is None and settings and error.errno == ENOSPC and not disk_space.scarce_folders(settings):
        return (
            f"Writing failed: {what}. The folders of this run have space, so probably standard output is on a full disk; "
            f"write it elsewhere, {AGAIN} {KEPT}"
        )
    return f"Reading or writing {location} failed: {what}. {_cure(kind_of(what) or DISK, location, settings)} {KEPT}"


def _of_storage(error: BaseException, module: str, settings: Settings | None) -> str:
    text = _plain(" ".join(str(error).split())[:MAX_LENGTH])
    if settings is None:
        location = "a file of this run"
    elif module == "sqlite3":
        location = f"Dagster's storage in {settings.dagster_home}"
    else:
        location = f"the warehouse {settings.warehouse.path}" if settings.warehouse.path else str(settings.data_dir)
    cure = _cure(kind_of(text) or DISK, location if module == "sqlite3" else text, settings)
    return f"Reading or writing {location} failed: {text.rstrip('.')}. {cure} {KEPT}"


def _cure(kind: str, text: str, settings: Settings | None) -> str:
    """What to do. `text`: contains the path, if it is known."""
    variable = disk_space.variable_in(text, settings)
    first = {
        SPACE: disk_space.how_to_free(text, settings),
        ACCESS: f"Give this user write access (remount a read-only disk as writable), or set {variable} to another folder",
        SHORT: MEMORY,
        FILES: "Raise the limit on open files (`ulimit -n`)",
        SIZE: "Raise the limit on file sizes (`ulimit -f`)",
        DISK: "Check that folder and its disk",
        SERVER: "Free some space on the disk of the Postgres server",
    }[kind]
    return f"{first}, {AGAIN}" if kind in (FILES, SIZE, DISK, SHORT, SERVER) else f"{first}; {AGAIN}"


def _plain(text: str) -> str:
    """Remove the exception's class name and the errno."""
    text = re.sub(r"^(?:[\w.]+\.)?\w*(?:Error|Exception): ", "", text)
    return re.sub(r"\[Errno \d+\] ", "", re.sub(r"\((?:sqlite3|psycopg2)\.\w+\) ", "", text))
