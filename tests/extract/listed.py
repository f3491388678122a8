"""An in-memory list that filters, sorts and paginates as the contract says, or differently if a test wants that.

Replaces the client of `Reader`, so that a test decides what happens between two responses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from debitura_pipeline.api.page_metadata import Page, parse_page_metadata
from debitura_pipeline.contract.listings import Query
from tests.api.pages import page_of
from tests.landing.rows import case_row, to_json


@dataclass(frozen=True)
class Case:
    """One row of the list."""

    number: int
    at: datetime | None

    @property
    def key(self) -> str:
        return str(UUID(int=self.number, version=4))

    def json(self) -> dict[str, object]:
        at = self.at.isoformat().replace("+00:00", "Z") if self.at is not None else None
        return case_row(id=self.key, dateCreated=at, grossAmount=self.number)


@dataclass
class Deviations:
    """How the list deviates from the contract."""

    ignores_from: bool = False
    ignores_to: bool = False
    ignores_sort: bool = False
    from_is_exclusive: bool = False
    rounds_bounds_to: timedelta | None = None
    max_page_rows: int = 100
    total: Callable[[int], int] = lambda rows: rows
    hidden: int | None = None  # the number of a row in whose place every page of several rows shows its neighbour twice


@dataclass
class Listed:
    """`between[n]`: what happens to the rows before the nth response, counted from 1."""

    rows: list[Case]
    deviations: Deviations = field(default_factory=Deviations)
    between: dict[int, Callable[[list[Case]], list[Case]]] = field(default_factory=dict)
    concurrency_limit: int = 4
    requested: list[tuple[Query, int]] = field(default_factory=list)

    async def page(self, query: Query, number: int, *, with_totals: bool = True) -> Page:
        self.requested.append((query, number))
        if change := self.between.get(len(self.requested)):
            self.rows = change(self.rows)
        matching = [row for row in self.rows if self._matches(row, query)]
        name, _, direction = query.listing.sort.partition(":")
        if self.deviations.ignores_sort or name == "GrossAmount":
            matching.sort(key=lambda row: row.number, reverse=direction == "desc" and not self.deviations.ignores_sort)
        else:
            dated = [row for row in matching if row.at is not None]
            undated = [row for row in matching if row.at is None]
            dated.sort(key=lambda row: (row.at, row.number), reverse=direction == "desc")
            matching = dated + undated
        size = min(100, self.deviations.max_page_rows)
        rows = matching[(number - 1) * size : number * size]
        shown = [self._shown(row, place, rows).json() for place, row in enumerate(rows)]
        body = to_json(page_of("cases", shown, total=self.deviations.total(len(matching)), summary={})).encode()
        return Page(body, parse_page_metadata(body, query.listing, with_totals=with_totals))

    async def body(self, path: str, *, what: str) -> bytes | None:
        found = [row for row in self.rows if path.endswith(row.key)]
        return to_json(found[0].json()).encode() if found else None

    def _shown(self, row: Case, place: int, page: list[Case]) -> Case:
        return page[place - 1 if place else min(1, len(page) - 1)] if row.number == self.deviations.hidden else row

    def _matches(self, row: Case, query: Query) -> bool:
        lower, upper = self._rounded(query.from_), self._rounded(query.to)
        if lower is not None and not self.deviations.ignores_from and not self._is_from(row.at, lower):
            return False
        if upper is not None and not self.deviations.ignores_to:
            return row.at is not None and row.at <= upper
        return True

    def _is_from(self, at: datetime | None, lower: datetime) -> bool:
        return at is not None and (at > lower if self.deviations.from_is_exclusive else at >= lower)

    def _rounded(self, bound: datetime | None) -> datetime | None:
        unit = self.deviations.rounds_bounds_to
        if bound is None or unit is None:
            return bound
        return (
            bound - (bound - bound.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0, microsecond=0)) % unit
        )


def moved(rows: list[Case], number: int, at: datetime) -> list[Case]:
    return [replace(row, at=at) if row.number == number else row for row in rows]


def without(rows: list[Case], *numbers: int) -> list[Case]:
    return [row for row in rows if row.number not in numbers]
