"""Comments of the tables and columns in `raw` and `ops`, so that BI tools show what they hold.

The texts are dbt's doc blocks in `dbt/docs/raw.md` and `dbt/docs/ops.md`, which describe the same tables as dbt's sources. What dbt
builds gets its comments from dbt (`dbt/macros/persist_docs.sql`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache

from debitura_pipeline.settings import PROJECT_ROOT

DOCS = tuple(PROJECT_ROOT / "dbt" / "docs" / f"{schema}.md" for schema in ("raw", "ops"))
_BLOCK = re.compile(r"\{% docs (\w+) %\}(.*?)\{% enddocs %\}", re.DOTALL)

Commented = tuple[str, str, str, str, str | None]  # schema, table, column ("": the table), kind, comment as it is


@cache
def descriptions() -> dict[str, str]:
    """Doc blocks by name, each on one line. Empty where the dbt project is not beside the package."""
    texts = (path.read_text() for path in DOCS if path.is_file())
    return {name: " ".join(text.split()) for whole in texts for name, text in _BLOCK.findall(whole)}


def description(schema: str, table: str, column: str = "") -> str | None:
    """What the docs say of a table, or of one of its columns. Columns of one name are the same in all tables of `raw`."""
    if not column:
        return descriptions().get(f"{schema}_{table}")
    return descriptions().get(column.lstrip("_") if schema == "raw" else f"ops_{table}__{column}")


def comment_statements(found: Iterable[Commented]) -> Iterator[str]:
    """Statements for the comments that differ from the docs. What the docs do not name keeps the comment it has."""
    for schema, table, column, kind, comment in found:
        wanted = description(schema, table, column)
        if wanted is not None and wanted != comment:
            yield comment_on(schema, table, column, kind, wanted)


def comment_on(schema: str, table: str, column: str, kind: str, text: str) -> str:
    """`kind` of what has no column: TABLE or VIEW. DuckDB and Postgres take it alike."""
    relation = f'{schema}."{_doubled(table)}"'
    on = f'COLUMN {relation}."{_doubled(column)}"' if column else f"{kind} {relation}"
    quoted = text.replace("'", "''")
    return f"COMMENT ON {on} IS '{quoted}'"


def batched(statements: Collection[str]) -> Iterator[str]:
    """All of them as one, since each way to the engine costs more than a comment does; none where there are none."""
    if statements:
        yield "; ".join(statements)


def _doubled(name: str) -> str:
    return name.replace('"', '""')
