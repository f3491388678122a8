"""Looks for strings in everything below a folder: bytes as they lie there, and what is packed inside them.

Belongs here: unpacking and searching. Does not: knowing which strings. Parquet pages, DuckDB and SQLite tables and gzip
hide text from a plain search, so each file is also read for what it is.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import duckdb
import pyarrow.parquet as pq

SQLITE, GZIP, PARQUET, DUCKDB = b"SQLite format 3\0", b"\x1f\x8b", b"PAR1", b"DUCK"
DUCKDB_MAGIC_AT = 8
Spell = Callable[[str], set[bytes]]


def find(folder: Path, strings: Iterable[str], spell: Spell | None = None) -> dict[str, set[str]]:
    """Which of `strings` (in any letter case, plain or escaped for JSON or an address) stand in which files or names."""
    needles = {text: (spell or spellings)(text) for text in strings}
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for haystack in (str(path.relative_to(folder)).encode(), path.read_bytes(), *unpacked(path)):
                for text in search(haystack, needles):
                    found.setdefault(str(path.relative_to(folder)), set()).add(text)
    return found


def search(haystack: bytes, needles: dict[str, set[bytes]]) -> list[str]:
    lower = lowered(haystack)
    return [text for text, spelled in needles.items() if any(needle in lower for needle in spelled)]


def spellings(text: str) -> set[bytes]:
    """The text as it stands, escaped as JSON does it, and as an address does it; lower case."""
    return {lowered(form.encode()) for form in (text, json.dumps(text)[1:-1], quote(text), quote(text, safe=""))}


def every_spelling(text: str) -> set[bytes]:
    """Also escaped twice, for HTML and for forms, reversed, as hexadecimal digits, and as Base64 wherever in a text it begins."""
    once = json.dumps(text)[1:-1]
    forms = {json.dumps(once)[1:-1], html.escape(text), quote_plus(text), text[::-1], text.encode().hex()}
    for start in range(3):
        packed = base64.b64encode(b" " * start + text.encode())
        whole = packed[-(-start * 4 // 3) : len(packed) - 4].decode()  # what its neighbours have no part in
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    return spellings(text) | {lowered(form.encode()) for form in forms}


def lowered(content: bytes) -> bytes:
    """Lower case as far as bytes show it: ASCII letters, and the accented capitals of Latin-1 in UTF-8."""
    content = content.lower()
    for code in range(0xC0, 0xDF):
        content = content.replace(chr(code).encode(), chr(code).lower().encode()) if code != 0xD7 else content
    return content


def unpacked(path: Path) -> Iterator[bytes]:
    """What a file holds beyond its bytes: each table or column as text."""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(SQLITE):
        with closing(sqlite3.connect(path)) as connection:
            dump = "\n".join(connection.iterdump())
        yield dump.encode()
        for blob in re.findall(r"X'([0-9A-F]+)'", dump):
            with suppress(zlib.error):  # the snapshots of Dagster are compressed
                yield zlib.decompress(bytes.fromhex(blob))
    elif start.startswith(GZIP):
        yield gzip.decompress(path.read_bytes())
    elif start.startswith(PARQUET):
        table = pq.read_table(path)
        yield json.dumps(table.to_pydict(), default=str, ensure_ascii=False).encode()
        yield str(pq.read_schema(path)).encode()
    elif start[DUCKDB_MAGIC_AT:].startswith(DUCKDB):
        with duckdb.connect(str(path), read_only=True) as connection:
            yield from _tables(connection)


def _tables(connection: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
    names = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    for schema, name in names:
        rows = connection.execute(f'SELECT CAST(COLUMNS(*) AS VARCHAR) FROM "{schema}"."{name}"').fetchall()
        yield "\n".join("\t".join(value or "" for value in row) for row in rows).encode()
    yield "\n".join(sql for (sql,) in connection.execute("SELECT sql FROM duckdb_tables()").fetchall()).encode()
