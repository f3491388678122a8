"""Where values are in a row: the tree of fields in the contract, and the Arrow schema of a page.

Both read paths use it, so they agree on which fields are columns, ignored or unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.contract.tables import PERSONAL_SUBTREES, Kind, Table

Path = tuple[str, ...]

# 20 decimals hold every amount from 0.001 upwards as a double prints it (17 digits); others need the row path. 18 digits
# remain before the decimal point, and landing takes 14.
JSON_NUMBER = pa.decimal128(38, 20)
MONEY = pa.decimal128(18, 4)
MAX_NESTING = 64  # levels including the row; the contract has four, and recursion fails after some hundreds
INSTANT = pa.timestamp("us", tz="UTC")

# Fields of the contract that are neither stored nor personal: a case read by id includes a forecast.
IGNORED_FIELDS: dict[str, tuple[Path, ...]] = {"cases": (("potentialRevenue",),)}

_JSON_TYPES = {Kind.BOOL: pa.bool_(), Kind.COUNT: JSON_NUMBER, Kind.MONEY: JSON_NUMBER}
_STORED_TYPES = {Kind.BOOL: pa.bool_(), Kind.COUNT: pa.int64(), Kind.MONEY: MONEY, Kind.INSTANT: INSTANT}


def stored_type(kind: Kind) -> pa.DataType:
    """Arrow type of a landed column."""
    return _STORED_TYPES.get(kind, pa.string())


@dataclass(frozen=True)
class Leaf:
    """A value that becomes a column (or two: a debtor's name also gives its key)."""

    path: Path
    kind: Kind

    @property
    def label(self) -> str:
        return ".".join(self.path)


class FieldNode:
    """A node of the tree: a leaf, an object with child nodes, or neither (a field that is ignored).

    `nodes` and `spelling` are keyed by lower case, `names` and `objects` by the contract's spelling.
    """

    def __init__(self, path: Path = ()) -> None:
        self.path = path
        self.leaf: Leaf | None = None
        self.nodes: dict[str, FieldNode] = {}
        self.spelling: dict[str, str] = {}
        self.names: set[str] = set()
        self.objects: dict[str, FieldNode] = {}

    def add(self, path: Path) -> FieldNode:
        """The node at `path`, created if missing."""
        node = self
        for depth, name in enumerate(path, start=1):
            node.names.add(name)
            node.spelling[name.lower()] = name
            child = node.nodes.setdefault(name.lower(), FieldNode((*node.path, name)))
            if depth < len(path):
                node.objects[name] = child
            node = child
        return node

    @property
    def is_object(self) -> bool:
        return bool(self.nodes)

    @property
    def holds_columns(self) -> bool:
        return self.leaf is not None or any(child.holds_columns for child in self.nodes.values())


class Layout:
    """The structure of one table's rows."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows_key = LISTINGS[table.resource].rows_key
        self.root = FieldNode()
        self.leaves: dict[Path, Leaf] = {}
        for column in table.columns:
            leaf = self.leaves.setdefault(column.path, Leaf(column.path, column.kind))
            self.root.add(column.path).leaf = leaf
        for path in (*PERSONAL_SUBTREES, *IGNORED_FIELDS.get(table.resource, ())):
            self.root.add(path)
        self.key = next(self.leaves[column.path] for column in table.columns if column.name == table.key)
        self.page_schema = pa.schema([(self.rows_key, pa.list_(self._struct(self.root)))])

    def _struct(self, node: FieldNode) -> pa.StructType:
        fields = []
        for name, child in node.nodes.items():
            if child.leaf is not None:
                fields.append(pa.field(node.spelling[name], _JSON_TYPES.get(child.leaf.kind, pa.string())))
            elif child.holds_columns:
                fields.append(pa.field(node.spelling[name], self._struct(child)))
        return pa.struct(fields)


def nests_too_deep(rows: pa.DataType) -> bool:
    """Whether an inferred schema nests deeper than MAX_NESTING."""
    found = [(rows, 1)]
    while found:
        kind, level = found.pop()
        if kind.num_fields and level > MAX_NESTING:
            return True
        found += [(kind.field(index).type, level + 1) for index in range(kind.num_fields)]
    return False


@dataclass(frozen=True)
class UnknownFields:
    """Fields of an inferred schema that are not in the contract. `is_respelled`: a known field differs in letter case."""

    paths: tuple[Path, ...]
    is_respelled: bool


def find_unknown_fields(layout: Layout, rows: pa.StructType) -> UnknownFields:
    """Compare the schema that Arrow inferred with the contract; only the topmost unknown field of a subtree is listed."""
    found = list(_walk(layout.root, rows, ()))
    return UnknownFields(tuple(sorted(path for path, new in found if new)), any(not new for _, new in found))


def _walk(node: FieldNode, struct: pa.StructType, path: Path) -> Iterator[tuple[Path, bool]]:
    for index in range(struct.num_fields):
        field: Any = struct.field(index)
        child = node.nodes.get(field.name.lower())
        if child is None:
            yield (*path, field.name), True
        elif node.spelling[field.name.lower()] != field.name:
            yield (*path, field.name), False
        elif child.is_object and pa.types.is_struct(field.type):
            yield from _walk(child, field.type, (*path, field.name))
