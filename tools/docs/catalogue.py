"""Every table of the warehouse with its columns, types and descriptions, from dbt's manifest and the pipeline's own tables.

`raw` and `ops` are declared in `warehouse/tables.py`; their descriptions, where there are any, are those of dbt's sources.
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
# A column of `ops` is explained beside its declaration, on the same line or after the parenthesis that closes it.
_COMMENT = re.compile(r'^ {4}"(\w+)": \(|\(\s*"(\w+)",\s*"\w[^"]*",?\s*\),?(?:[ \t]*# ([^\n]+))?', re.MULTILINE)


@dataclass(frozen=True)
class DocColumn:
    """One column. `type` as SQL spells it, `description` is Markdown and may be empty."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class DocTable:
    """One table or view. `kind`: table, view or seed."""

    schema: str
    name: str
    kind: str
    description: str
    columns: tuple[DocColumn, ...]

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
            yield DocTable(node["schema"], node["name"], kind, node["description"], columns)


def _own_tables(document: dict[str, Any]) -> Iterator[DocTable]:
    sources = {(source["schema"], source["name"]): source for source in document["sources"].values()}
    staging = {node["name"]: node for node in document["nodes"].values() if node["resource_type"] == "model"}
    beside = _comments()
    histories = [("raw", f"{resource}_history", tables.version_columns(table)) for resource, table in TABLES.items()]
    for schema, name, columns in (*tables.all_tables(), *histories):
        source = sources.get((schema, name), {})
        resource = name.removesuffix("_history").removesuffix(tables.SUPERSEDED)
        fallback = staging.get(f"stg_debitura__{resource}", {}).get("columns", {})
        texts = [source.get("columns", {}), fallback]
        described = (
            DocColumn(
                column,
                sql_type,
                next((text[column]["description"] for text in texts if column in text), beside.get((name, column), "")),
            )
            for column, sql_type in columns
        )
        kind = "view" if name.endswith("_history") and resource in TABLES else "table"
        yield DocTable(schema, name, kind, source.get("description", ""), tuple(described))


def _comments() -> dict[tuple[str, str], str]:
    """What is said of columns of `ops` beside their declarations, by table and column."""
    found: dict[tuple[str, str], str] = {}
    table = ""
    for match in _COMMENT.finditer(Path(tables.__file__).read_text()):
        if match[1]:
            table = match[1]
        elif match[3]:
            found[table, match[2]] = match[3]
    return found
