"""The tables of one schema, each with all of its columns."""

from __future__ import annotations

from collections.abc import Iterable

from tools.docs.catalogue import DocTable
from tools.docs.markdown import prose, table


def render(tables: Iterable[DocTable], schema: str) -> str:
    """Markdown: an overview, then one section a table."""
    found = [one for one in tables if one.schema == schema]
    overview = table(
        ("table", "kind", "columns", "what it holds"),
        ((f"[`{one.name}`](#{one.name})", one.kind, str(len(one.columns)), _summary(one)) for one in found),
    )
    return "\n\n".join([overview, *map(_section, found)]) + "\n"


def _section(one: DocTable) -> str:
    """The heading's anchor is the table's name, whatever the theme would make of it."""
    has_types = any(column.type for column in one.columns)
    header = ("column", "type", "description") if has_types else ("column", "description")
    rows = (
        (f"`{column.name}`", *([f"`{column.type}`"] if has_types else []), prose(column.description))
        for column in one.columns
    )
    return "\n\n".join([f"## `{one.full_name}` {{ #{one.name} }}", prose(one.description), table(header, rows)])


def _summary(one: DocTable) -> str:
    """The first sentence of the description."""
    first, stop, _ = " ".join(one.description.split()).partition(". ")
    return prose(first + stop.strip())
