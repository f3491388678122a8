"""A keyed hash of everything in a source, by which a change is noticed without reading rows one by one."""

from __future__ import annotations

import hmac
from typing import Any

from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings
from debitura_pipeline.settings.addresses import POSTGRES
from debitura_pipeline.source.files import contents, stamps
from debitura_pipeline.source.read import read_raw
from debitura_pipeline.source.stamps import as_bytes
from debitura_pipeline.source.table import SourceTable


def wanted_fingerprint(settings: Settings, location: Secret, table: SourceTable[Any]) -> str:
    """HMAC-SHA256 with the privacy key, as hex: of the files' names and bytes, or of the rows of a table.

    Raises SourceError if the source cannot be read.
    """
    found = hmac.new(settings.obtain_privacy_key(), table.name.encode(), "sha256")
    if location.reveal().startswith(POSTGRES):
        for row in read_raw(location, table).rows:
            _add(found, repr(sorted(row.values.items())).encode())
        return found.hexdigest()
    for path, content in contents(location.reveal(), table):
        _add(found, str(path).encode())
        _add(found, content)
    return found.hexdigest()


def wanted_stamp(settings: Settings, location: Secret, table: SourceTable[Any]) -> str:
    """A keyed hash of what is known of a source without reading it: its files' paths, sizes, times and inodes, or its address.

    Raises SourceError if there is no file.
    """
    known = location.reveal().encode()
    if not location.reveal().startswith(POSTGRES):
        known = as_bytes(stamps(location.reveal(), table))
    return hmac.new(settings.obtain_privacy_key(), table.name.encode() + b"\0" + known, "sha256").hexdigest()


def _add(found: hmac.HMAC, part: bytes) -> None:
    """Lengths keep parts apart."""
    found.update(len(part).to_bytes(8, "big"))
    found.update(part)
