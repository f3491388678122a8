"""Build the typed, pseudonymised columns of a landed table; both read paths end here.

`Values` holds one Arrow array per leaf of the layout: numbers as landed, ids and instants still as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from debitura_pipeline.contract.tables import Kind, Table
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.labels import safe_labels
from debitura_pipeline.landing.page_schema import Layout, Path
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.landing.redact import without_contacts
from debitura_pipeline.landing.row_hash import row_hashes
from debitura_pipeline.landing.validators import Mask, check_ids, check_instants
from debitura_pipeline.settings import Privacy

Values = dict[Path, pa.Array]

EXTRA_TYPE = pa.json_(pa.string())


@dataclass(frozen=True)
class InvalidRows:
    """A mask of rows with an invalid value, and the reason. Never the value."""

    rows: Mask
    reason: str


def check_values(layout: Layout, values: Values) -> tuple[Values, list[InvalidRows]]:
    """Validate ids and instants. Returns the values as landed, in the shape of `values`, and the invalid rows."""
    checked, errors = dict(values), []
    for path, leaf in layout.leaves.items():
        wrong: Mask | None = None
        if leaf.kind is Kind.ID:
            checked[path], wrong = check_ids(values[path])
        elif leaf.kind is Kind.INSTANT:
            checked[path], wrong = check_instants(values[path])
        if wrong is not None:
            errors.append(
                InvalidRows(wrong, f"{leaf.label} is not {'a UUID' if leaf.kind is Kind.ID else 'an instant'}")
            )
    key = values[layout.key.path]
    if key.null_count:
        errors.append(InvalidRows(np.asarray(key.is_null()), f"{layout.key.label} is missing"))
    return checked, errors


@dataclass(frozen=True)
class Builder:
    """Builds landed tables. `privacy` decides whether they contain debtors' names."""

    pseudonyms: Pseudonyms
    business_keys: BusinessKeys
    privacy: Privacy

    def build(self, table: Table, values: Mapping[Path, pa.Array], extra: Sequence[str | None] | None) -> pa.Table:
        """The contract's columns in order, then `extra` and `_row_hash`. `extra` None: no row has any."""
        columns = {column.name: self._column(column.kind, values[column.path]) for column in table.columns}
        count = len(values[next(iter(values))])
        texts = pa.nulls(count, pa.string()) if extra is None else pa.array(extra, pa.string())
        hashes = row_hashes(table, columns)
        return pa.table({**columns, "extra": pa.ExtensionArray.from_storage(EXTRA_TYPE, texts), "_row_hash": hashes})

    def _column(self, kind: Kind, values: pa.Array) -> pa.Array:
        if kind is Kind.DEBTOR_KEY:
            return self.pseudonyms.of(values)
        if kind is Kind.DEBTOR_NAME and self.privacy != "full":
            return pa.nulls(len(values), pa.string())
        if kind is Kind.BUSINESS_KEY:
            return self.business_keys.of(values)
        if kind is Kind.LABEL:
            return safe_labels(values)
        return without_contacts(values) if kind is Kind.TEXT else values


def last_of_each(table: pa.Table, key: str) -> pa.Table:
    """One row per key, the last one; the remaining rows keep their order."""
    keys = table[key].to_pylist()
    last = {value: index for index, value in enumerate(keys)}
    return table if len(last) == len(keys) else table.take(pa.array(sorted(last.values())))
