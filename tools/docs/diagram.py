"""A diagram of the marts as SVG: keys, amounts and instants of each table, and how the tables join."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from tools.docs.catalogue import DocColumn, DocTable

WIDTH, ROW, HEAD, PAD = 250, 18, 30, 10
SHOWN = 9  # columns of a table; the reference below the diagram has all of them
GAP_X, GAP_Y = 100, 30
# Column and row of each table in the diagram: what describes, what is counted, how it changed. Others follow in the first column.
PLACES = {
    "dim_clients": (0, 0),
    "dim_dates": (0, 1),
    "fct_cases": (1, 0),
    "fct_transactions": (1, 1),
    "fct_case_changes": (2, 0),
    "fct_stage_changes": (2, 1),
}

# Changes outlive the row that they belong to, so dbt tests them against all rows ever listed; a reader joins the mart.
MART_OF = {"stg_debitura__cases": "fct_cases", "stg_debitura__transactions": "fct_transactions"}


def render(tables: Iterable[DocTable]) -> str:
    """One SVG without blank lines, so that it may stand inside of a Markdown page."""
    marts = {table.name: table for table in tables if table.schema == "marts"}
    joins = sorted(_joins(marts))
    keys = {(name, column) for one, column, other, key in joins for name, column in ((one, column), (other, key))}
    shown = {name: _shown(table, {column for of, column in keys if of == name}) for name, table in marts.items()}
    height = max(HEAD + ROW * (len(columns) + 1) + PAD for columns in shown.values())
    cells = _cells(marts)
    places = {name: (1 + x * (WIDTH + GAP_X), 1 + y * (height + GAP_Y)) for name, (x, y) in cells.items()}
    rows = max(y for _, y in cells.values()) + 1
    size = (3 * WIDTH + 2 * GAP_X + 2, rows * (height + GAP_Y) - GAP_Y + 2)
    lines = [
        f'<svg class="diagram" viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="The marts and how they join" '
        'xmlns="http://www.w3.org/2000/svg">',
        *(line for join in joins for line in _join(join, places, shown)),
        *(line for name, table in marts.items() for line in _box(table, shown[name], keys, places[name], height)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _cells(marts: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Column and row of each mart."""
    cells = {name: PLACES[name] for name in marts if name in PLACES}
    first = max((y for x, y in cells.values() if x == 0), default=-1) + 1
    return cells | {name: (0, first + number) for number, name in enumerate(sorted(set(marts) - set(cells)))}


def _joins(marts: dict[str, DocTable]) -> Iterator[tuple[str, ...]]:
    """Table, column, table joined to and its column."""
    cells = _cells(marts)
    for name, table in marts.items():
        for join in table.joins:
            other = MART_OF.get(join.table, join.table)
            # Changes reach their client through the case or the transaction beside them.
            if other in marts and other != name and abs(cells[name][0] - cells[other][0]) <= 1:
                yield name, join.column, other, join.key


def _shown(table: DocTable, keys: set[str]) -> list[DocColumn]:
    """Keys first, then the first columns of the table up to `SHOWN`."""
    own = [column for column in table.columns if column.name in keys]
    return (own + [column for column in table.columns if column.name not in keys])[:SHOWN]


def _box(
    table: DocTable, columns: list[DocColumn], keys: set[tuple[str, str]], place: tuple[int, int], height: int
) -> Iterator[str]:
    x, y = place
    yield f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{height}" rx="6"/>'
    yield f'<rect class="head" x="{x}" y="{y}" width="{WIDTH}" height="{HEAD}" rx="6"/>'
    yield f'<text class="title" x="{x + PAD}" y="{y + 20}">{escape(table.name)}</text>'
    for number, column in enumerate(columns):
        baseline = y + HEAD + ROW * (number + 1)
        kind = "key" if (table.name, column.name) in keys else "plain"
        yield f'<text class="{kind}" x="{x + PAD}" y="{baseline}">{escape(column.name)}</text>'
        yield f'<text class="type" x="{x + WIDTH - PAD}" y="{baseline}">{escape(column.type.lower())}</text>'
    if more := len(table.columns) - len(columns):
        yield f'<text class="type more" x="{x + PAD}" y="{y + HEAD + ROW * (len(columns) + 1)}">{more} more columns</text>'


def _join(
    join: tuple[str, ...], places: dict[str, tuple[int, int]], shown: dict[str, list[DocColumn]]
) -> Iterator[str]:
    """A curve from a foreign key to the key that it names."""
    one, column, other, key = join
    (x1, y1), (x2, y2) = _end(places[one], shown[one], column), _end(places[other], shown[other], key)
    if x1 == x2:  # one above the other: out to the right and back
        x1, x2, bend = x1 + WIDTH, x2 + WIDTH, x1 + WIDTH + GAP_X // 2
        yield f'<path class="join" d="M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}"/>'
        return
    x1, x2 = (x1, x2 + WIDTH) if x1 > x2 else (x1 + WIDTH, x2)
    middle = (x1 + x2) // 2
    yield f'<path class="join" d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"/>'


def _end(place: tuple[int, int], columns: list[DocColumn], name: str) -> tuple[int, int]:
    number = [column.name for column in columns].index(name)
    return place[0], place[1] + HEAD + ROW * (number + 1) - 5
