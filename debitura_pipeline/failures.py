"""What went wrong outside of this project's own errors, in words that are safe to print.

A full disk, a folder that may not be written, too little memory and the like become one line with place and cure (`places.py`).
Anything else keeps its stack trace, without the exceptions' own texts: those may quote a row, and with it a person.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator

from debitura_pipeline import places
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings

KEPT = "What is landed stays."
MEMORY = "Close other programs, give this machine or container more memory, or set DEBITURA_DUCKDB_MEMORY to less than 400MiB"
AGAIN = "then give the same command again."
# What the system, SQLite, DuckDB, Arrow, Dagster and dbt say, and the kind of fault that it is.
SPACE, ACCESS, SHORT, FILES, SIZE, DISK = "space", "access", "memory", "open files", "file size", "disk"
SERVER = "server"
SIGNS = (
    (SERVER, r"could not (?:extend|write (?:to|block \d+ of)(?: temporary)?|create temporary) file .*no space left"),
    (SPACE, r"no space left|disk is full|disk quota|out of disk space|no free space|max_temp_directory_size"),
    (
        ACCESS,
        r"read-only file ?system|readonly database|permission denied(?! for )|operation not permitted|unable to open database",
    ),
    (SHORT, r"out of memory|cannot allocate|failed to allocate|could not allocate|malloc|bad_alloc|start new thread"),
    (SHORT, r"\bsignal 9\b|exit code `?-9\b|memoryerror|\bsigkill\b"),
    (FILES, r"too many open files"),
    (SIZE, r"file too large"),
    (DISK, r"disk i/o error|input/output error|malformed|not a database"),
)
LONGEST = 600
# By module, since the libraries are not loaded for every command; of DuckDB's texts, those that are about files and memory:
# others quote values.
STORAGE = ("sqlite3", "duckdb", "_duckdb")
ABOUT_FILES = {"IOException", "OutOfMemoryException", "FatalException", "InternalException"}


def one_line(error: BaseException, settings: Settings | None) -> str | None:
    """Where, what and what to do, for a fault of a disk, a folder or the system; None for faults of other kinds."""
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
    """`text`, an error's words in one line, with place and cure where it tells of a fault of disk, folder or memory."""
    kind = kind_of(text)
    if kind is None or AGAIN in text:
        return text
    told = _plain(text)
    if kind in (SPACE, ACCESS, DISK) and "/" not in told and settings is not None:
        told = f"{places.described(settings)}: {told}"
    return f"{told.rstrip('. ')}. {_cure(kind, told, settings)}"


def kind_of(text: str) -> str | None:
    """Which kind of fault a library's words tell of; None for others."""
    return next((kind for kind, signs in SIGNS if re.search(signs, text, re.IGNORECASE)), None)


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
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    place = where or (places.described(settings) if settings else "a folder of this run")
    what = error.strerror or "the system gave no reason"
    return f"Reading or writing {place} failed: {what}. {_cure(kind_of(what) or DISK, place, settings)} {KEPT}"


def _of_storage(error: BaseException, module: str, settings: Settings | None) -> str:
    text = _plain(" ".join(str(error).split())[:LONGEST])
    if settings is None:
        place = "a file of this run"
    elif module == "sqlite3":
        place = f"Dagster's storage in {settings.dagster_home}"
    else:
        place = f"the warehouse {settings.warehouse.path}" if settings.warehouse.path else str(settings.data_dir)
    cure = _cure(kind_of(text) or DISK, place if module == "sqlite3" else text, settings)
    return f"Reading or writing {place} failed: {text.rstrip('.')}. {cure} {KEPT}"


def _cure(kind: str, told: str, settings: Settings | None) -> str:
    """What to do; `told` names the path, if anything does."""
    variable = places.variable_in(told, settings)
    first = {
        SPACE: places.room(told, settings),
        ACCESS: f"Give this user the right to write there (a disk that is read-only: mount it writable), or set {variable} to "
        "another folder",
        SHORT: MEMORY,
        FILES: "Raise the limit on open files (`ulimit -n`)",
        SIZE: "Raise the limit on file sizes (`ulimit -f`)",
        DISK: "Check that folder and its disk",
        SERVER: "Free some space on the disk of the Postgres server",
    }[kind]
    return f"{first}, {AGAIN}" if kind in (FILES, SIZE, DISK, SHORT, SERVER) else f"{first}; {AGAIN}"


def _plain(text: str) -> str:
    """Without what only a programmer wants: the exception's name, the number of the system's error."""
    text = re.sub(r"^(?:[\w.]+\.)?\w*(?:Error|Exception): ", "", text)
    return re.sub(r"\[Errno \d+\] ", "", re.sub(r"\((?:sqlite3|psycopg2)\.\w+\) ", "", text))
