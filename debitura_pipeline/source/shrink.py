"""Refuse a source that lost more than half of its rows since it was read last: an export that broke off, a wrong filter.

The counts are in `<data dir>/sources.json`, by a keyed hash of the source's path, or of server, database and table: users,
passwords and options of the connection may change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.plural import counted
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings
from debitura_pipeline.source.raw import unreadable
from debitura_pipeline.source.table import SourceTable

FILE = "sources.json"
ID_DIGITS = 32
NAMING = ("host", "hostaddr", "port", "dbname", "table")  # parameters that say which table it is


def check_shrink(
    settings: Settings, location: Secret, table: SourceTable[Any], where: str, rows: int, *, allow_shrink: bool
) -> None:
    """Compare the number of rows with that of the last reading, and keep it for the next. `allow_shrink` accepts any number.

    Raises SourceError if more than half of the rows are gone; the last number is then kept.
    """
    path = settings.data_dir / FILE
    address = table_address(location.reveal())
    digest = Pseudonyms(settings.obtain_privacy_key()).digest(f"{table.name} {address}".encode())
    counts = _read(path)
    before = counts.get(digest[:ID_DIGITS], 0)
    if 2 * rows < before and not allow_shrink:
        cure = "If they are really gone, run again with --allow-shrink."
        raise unreadable(table, where, f"has {counted(rows, 'row')}, but had {before} when it was last read", cure)
    if rows != before:
        content = json.dumps({**counts, digest[:ID_DIGITS]: rows}, indent=2) + "\n"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_atomically(path, content.encode(), fsync=True)


def table_address(address: str) -> str:
    """Which table a Postgres URL names, however the connection is made; a file's path unchanged."""
    if "://" not in address:
        return address
    url = urlsplit(address)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    server = url.netloc.rpartition("@")[2].lower().removesuffix(":5432")
    return json.dumps([server, url.path.strip("/"), *(query.get(name, "") for name in NAMING)])


def _read(path: Path) -> dict[str, int]:
    """Nothing is known if the file is not there or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return (
        {str(name): count for name, count in found.items() if isinstance(count, int)} if isinstance(found, dict) else {}
    )
