"""Hash each row, identically on every machine and engine. The merge detects changed rows by it.

The hashed text: the values of `table.hashed` in order, joined by U+001F, null as U+001E. Booleans are `true` and `false`,
counts decimal, money has four decimals, instants are microseconds since 1970 UTC. U+001D, U+001E and U+001F in texts are written as
U+001D followed by 1, 2, 3, so that no two rows share a text. In estimates, the `floating` columns count as null. md5 tells
versions apart; it is not used for security.
"""

from __future__ import annotations

from hashlib import md5

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.contract.tables import TEXTS, Kind, Table

ESCAPE, NULL, SEPARATOR = "\x1d", "\x1e", "\x1f"
FIRST_PRINTABLE = 0x20
_ESCAPES = ((ESCAPE, ESCAPE + "1"), (NULL, ESCAPE + "2"), (SEPARATOR, ESCAPE + "3"))


def row_hashes(table: Table, columns: dict[str, pa.Array]) -> pa.Array:
    """md5 in hex of every row. `columns`: the typed columns of `table`, by name."""
    kinds = {column.name: column.kind for column in table.columns}
    texts = {name: _text(kinds[name], columns[name]) for name in table.hashed}
    if table.estimate_flag is not None:
        floats = pc.fill_null(columns[table.estimate_flag], False)
        nothing = pa.scalar(None, pa.string())
        texts.update({name: pc.if_else(floats, nothing, texts[name]) for name in table.floating})
    joined = pc.binary_join_element_wise(*texts.values(), SEPARATOR, null_handling="replace", null_replacement=NULL)
    return _md5(joined)


def _md5(texts: pa.Array) -> pa.Array:
    """One by one: calling a query engine takes longer than hashing most windows here."""
    return pa.array(
        [md5(text, usedforsecurity=False).hexdigest() for text in texts.cast(pa.binary()).to_pylist()], pa.string()
    )


def _text(kind: Kind, values: pa.Array) -> pa.Array:
    if kind is Kind.INSTANT:
        return values.cast(pa.int64()).cast(pa.string())
    if values.type != pa.string():
        return values.cast(pa.string())
    if kind not in TEXTS or not has_control_characters(values):
        return values
    for letter, escaped in _ESCAPES:
        values = pc.replace_substring(values, letter, escaped)
    return values


def has_control_characters(texts: pa.Array) -> bool:
    """Whether a text column contains a byte below the blank; scans its bytes."""
    data = texts.buffers()[2]
    if data is None or data.size == 0:
        return False
    return bool(np.frombuffer(data, np.uint8).min() < FIRST_PRINTABLE)
