"""Every table of the warehouse with its columns, types and descriptions, from dbt's manifest and the pipeline's own tables.

`raw` and `ops` are declared in `warehouse/tables.py`; their descriptions are those of dbt's sources.
All other schemas are dbt's, and so is everything that is said of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.warehouse import tables

SCHEMAS = ("raw", "ops", "staging", "marts", "reports")
BUILT = ("model", "seed")


@dataclass(frozen=True)
class DocColumn:
    """One column. `type` as SQL spells it, `description` is Markdown and may be empty."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class DocJoin:
    """A column whose values are those of a column of another table, as a dbt test or constraint says."""

    column: str
    table: str
    key: str


@dataclass(frozen=True)
class DocTable:
    """One table or view. `kind`: table, view or seed."""

    schema: str
    name: str
    kind: str
    description: str
    columns: tuple[DocColumn, ...]
    joins: tuple[DocJoin, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


def read_catalogue(manifest: Path) -> list[DocTable]:
    """All tables in the order in which data passes them, then by name."""
    document = json.loads(manifest.read_text())
    found = [*_own_tables(document), *_built_tables(document)]
    return sorted(found, key=lambda table: (SCHEMAS.index(table.schema), table.name))


def _built_tables(document: dict[str, Any]) -> Iterator[DocTable]:
    for node in document["nodes"].values():
        if node["resource_type"] in BUILT and node["schema"] in SCHEMAS:
            kind = "seed" if node["resource_type"] == "seed" else node["config"]["materialized"]
            columns = tuple(
                DocColumn(name, (column.get("data_type") or "").upper(), column["description"])
                for name, column in node["columns"].items()
            )
            joins = tuple(sorted(_joins(document, node), key=lambda join: (join.column, join.table)))
            yield DocTable(node["schema"], node["name"], kind, node["description"], columns, joins)


def _joins(document: dict[str, Any], node: dict[str, Any]) -> set[DocJoin]:
    """From relationship tests and from foreign keys, which a column or the model may state."""
    tested = {
        DocJoin(
            test["column_name"],
            _referred(test["test_metadata"]["kwargs"]["to"]),
            test["test_metadata"]["kwargs"]["field"],
        )
        for test in document["nodes"].values()
        if test.get("attached_node") == node["unique_id"] and test["test_metadata"]["name"] == "relationships"
    }
    own = [(one, one["columns"]) for one in node.get("constraints", [])]
    for name, column in node["columns"].items():
        own += [(one, [name]) for one in column.get("constraints", [])]
    return tested | {
        DocJoin(column, _referred(one["to"]), key)
        for one, columns in own
        if one["type"] == "foreign_key" and one.get("to")
        for column, key in zip(columns, one["to_columns"], strict=True)
    }


def _referred(text: str) -> str:
    """The name in `ref('fct_cases')`, or in a relation as SQL writes it."""
    return str(re.findall(r"\w+", text)[-1])


def _own_tables(document: dict[str, Any]) -> Iterator[DocTable]:
    sources = {(source["schema"], source["name"]): source for source in document["sources"].values()}
    histories = [("raw", f"{resource}_history", tables.version_columns(table)) for resource, table in TABLES.items()]
    for schema, name, columns in (*tables.all_tables(), *histories):
        source = sources.get((schema, name), {"description": "", "columns": {}})
        described = (
            DocColumn(column, sql_type, source["columns"].get(column, {}).get("description", ""))
            for column, sql_type in columns
        )
        kind = "view" if name.endswith("_history") and name.removesuffix("_history") in TABLES else "table"
        yield DocTable(schema, name, kind, source["description"], tuple(described))
