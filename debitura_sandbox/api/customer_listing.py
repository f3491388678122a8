"""`GET /cases` of the Customer API: the cases of one client, filtered, sorted and cut into pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import numpy as np

from debitura_sandbox.api.case_documents import date_us, invoice_document, updated_us
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.query import MAX_INT32, MAX_PAGE_SIZE, lifecycle_code
from debitura_sandbox.world import codes
from debitura_sandbox.world.codes import Ints
from debitura_sandbox.world.columns import Array
from debitura_sandbox.world.world import World

COLUMNS = {
    "datecreated": "created", "datefinished": "finished", "datecollectionstarted": "started", "duedate": "due",
    "grossamount": "gross", "remainder": "remainder",
}  # fmt: skip
ALL_ZERO = ("interestfees", "collectionfees", "reminderfees")


@dataclass(frozen=True)
class CaseQuery:
    """One listing request. `sort`: (field in lower case, is descending); None in a filter: not asked for."""

    page: int = 1
    page_size: int = 10
    statuses: frozenset[int] | None = None
    ids: frozenset[str] | None = None
    finds_none: bool = False
    sort: tuple[tuple[str, bool], ...] = ()


class BadFieldError(Exception):
    """A query parameter is invalid; `name`: as it was spelled."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def read_case_query(text: str) -> CaseQuery:
    """Read a query string; array parameters are repeated or separated by commas. Raises BadFieldError."""
    values: dict[str, Any] = {}
    for spelled, value in parse_qsl(text):
        name = spelled.lower()
        try:
            if name in ("page", "pagesize"):
                key, top = ("page", MAX_INT32) if name == "page" else ("page_size", MAX_PAGE_SIZE)
                values[key] = _in_range(int(value), top)
            elif name == "statuses":
                values["statuses"] = values.get("statuses", frozenset()) | set(map(lifecycle_code, value.split(",")))
            elif name == "ids":
                values["ids"] = values.get("ids", frozenset()) | {str(UUID(one)) for one in value.split(",")}
            elif name in ("debtorids", "divisionids"):
                values["finds_none"] = bool([UUID(one) for one in value.split(",")])  # the sandbox has neither
            elif name == "sort":
                values["sort"] = tuple(map(_sort_field, value.split(",")))
        except (ValueError, KeyError):
            raise BadFieldError(spelled) from None
    return CaseQuery(**values)


def listing(context: Context, client: int, query: CaseQuery) -> dict[str, Any]:
    """InvoiceListDto of a client."""
    rows = _sorted(context.world, _matching(context, client, query), query.sort)
    first = (query.page - 1) * query.page_size
    shown = rows[first : first + query.page_size].tolist()
    page = {
        "totalResults": len(rows), "pageSize": query.page_size, "currentPage": query.page, "responseCount": len(shown),
        "totalPages": -(-len(rows) // query.page_size),
    }  # fmt: skip
    return {"page": page, "cases": [invoice_document(context, row) for row in shown]}


def _in_range(value: int, top: int) -> int:
    if not 1 <= value <= top:
        raise ValueError(value)
    return value


def _sort_field(text: str) -> tuple[str, bool]:
    name, _, direction = text.partition(":")
    return name.strip().lower(), direction.strip().lower() == "desc"


def _matching(context: Context, client: int, query: CaseQuery) -> Ints:
    cases = context.world.cases
    rows = np.flatnonzero(cases["alive"] & (cases["client"] == client))
    if query.finds_none:
        return rows[:0]
    if query.statuses is not None:
        rows = rows[np.isin(cases["lifecycle"][rows], list(query.statuses))]
    if query.ids is not None:
        wanted = [row for row in (context.find_row("cases", id_) for id_ in query.ids) if row is not None]
        rows = rows[np.isin(rows, wanted)]
    return rows


def _sorted(world: World, rows: Ints, sort: tuple[tuple[str, bool], ...]) -> Ints:
    """Rows in the order asked for; unknown fields are ignored; the newest come first by default."""
    known = [(_values(world, rows, name), is_descending) for name, is_descending in sort]
    keys = [(-values if is_descending else values) for values, is_descending in known if values is not None]
    if not keys:
        keys = [-world.cases["created"][rows]]
    return np.asarray(rows[np.lexsort(keys[::-1])])


def _values(world: World, rows: Ints, name: str) -> Array | None:
    """Numbers that sort like a field; None for an unknown field. No instant sorts before every instant."""
    if name in COLUMNS:
        values = world.cases[COLUMNS[name]][rows]
        return np.where(values == codes.NULL_US, codes.NULL_US + 1, values)  # the smallest number has no opposite
    if name == "dateupdated":
        return np.array([updated_us(world, row) for row in rows.tolist()], dtype=np.int64)
    if name == "date":
        return np.array([date_us(world, row) for row in rows.tolist()], dtype=np.int64)
    if name in ALL_ZERO:
        return np.zeros(len(rows), dtype=np.int64)
    column = {"lifecycle": "lifecycle", "closecode": "close_code"}.get(name)
    return None if column is None else world.cases[column][rows].astype(np.int64)
