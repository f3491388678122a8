"""Find and read the files of a source: a path or a glob, each file by what it holds rather than by its name."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import SourceError
from debitura_pipeline.source.csv_file import read_csv
from debitura_pipeline.source.ndjson_file import read_ndjson
from debitura_pipeline.source.parquet_file import read_parquet
from debitura_pipeline.source.raw import RawRows, unreadable
from debitura_pipeline.source.stamps import SettledReader, Stamp, StillWritten, stamp_of
from debitura_pipeline.source.table import SourceTable

_PARQUET = b"PAR1"
# What is given by mistake, by its first bytes.
_OTHERS = {
    b"PK\x03\x04": "is a zip archive or a spreadsheet (xlsx)",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet (xls)",
    b"\x1f\x8b": "is compressed with gzip",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd",
    b"%PDF": "is a PDF",
    b"\xff\xfe": "is text in UTF-16",
    b"\xfe\xff": "is text in UTF-16",
}
_NDJSON_NAMES = (".ndjson", ".jsonl", ".json")
MAX_BYTES = 512 * 1024 * 1024
SETTLED = SettledReader()


def read_files(location: str, table: SourceTable[Any], reader: SettledReader = SETTLED) -> RawRows:
    """The rows of all files, in the order of their names. Raises SourceError."""
    found = [_read(path, content, table) for path, content in contents(location, table, reader)]
    unknown = tuple(dict.fromkeys(name for each in found for name in each.unknown))
    return RawRows(tuple(row for each in found for row in each.rows), unknown)


def contents(location: str, table: SourceTable[Any], reader: SettledReader = SETTLED) -> Iterator[tuple[Path, bytes]]:
    """Each file and its bytes. Raises SourceError if there is none, or if one cannot be read or is being written."""
    before = stamps(location, table)
    for path in (Path(one.path) for one in before):
        try:
            content = reader.read(path)
        except StillWritten:
            raise _being_written(table, str(path)) from None
        except OSError as error:
            raise _not_readable(table, path, error) from None
        yield path, content
    if [one.path for one in before] != [one.path for one in stamps(location, table)]:
        raise _being_written(table, location)


def stamps(location: str, table: SourceTable[Any]) -> list[Stamp]:
    """The stamp of each file, without reading it. Raises SourceError if there is none, or if one is too large."""
    paths = _paths(location)
    if not paths:
        raise unreadable(table, location, "is not there", f"Check the path in {table.variable}.")
    found = []
    for path in paths:
        try:
            found.append(stamp_of(path))
        except OSError as error:
            raise _not_readable(table, path, error) from None
        if not path.is_file() and not path.is_dir():
            raise unreadable(table, str(path), "is not a regular file", "Write the rows to a file first.")
        if (found[-1].size or 0) > MAX_BYTES:
            raise unreadable(table, str(path), f"is larger than {MAX_BYTES // 1024**2} MiB")
    return found


def _being_written(table: SourceTable[Any], where: str) -> SourceError:
    return unreadable(table, where, "is being written", "Run again once it is complete.")


def _not_readable(table: SourceTable[Any], path: Path, error: OSError) -> SourceError:
    return unreadable(table, str(path), f"cannot be read: {error.strerror or type(error).__name__}")


def _paths(location: str) -> list[Path]:
    path = Path(location).expanduser()
    if path.exists() or not glob.has_magic(location):
        return [path] if path.exists() else []
    return sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())  # noqa: PTH207


def _read(path: Path, content: bytes, table: SourceTable[Any]) -> RawRows:
    where = str(path)
    for signature, fault in _OTHERS.items():
        if content.startswith(signature):
            raise unreadable(table, where, fault, "Save it as CSV in UTF-8, Parquet or NDJSON.")
    if content.startswith(_PARQUET):
        return read_parquet(content, where, table)
    if path.suffix.lower() in _NDJSON_NAMES or content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return read_ndjson(content, where, table)
    if path.suffix.lower() == ".parquet":
        raise unreadable(table, where, "is not a Parquet file")
    return read_csv(content, where, table)
