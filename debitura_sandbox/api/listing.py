"""Select, sort and summarise the rows of a listing request.

A request bounded only by dates is a contiguous range of the index, so its pages are slices of prerendered text.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from debitura_sandbox.api.documents import (
    ENCODER,
    creditor_reference,
    money,
    name_of_debtor,
    office_email,
    registration,
)
from debitura_sandbox.api.query import ListQuery
from debitura_sandbox.world import codes, people
from debitura_sandbox.world.codes import Flags, Ints
from debitura_sandbox.world.columns import Array, from_us, mix, references, to_us
from debitura_sandbox.world.world import DATES, World

KEPT_SELECTIONS = 4_096
MIN_SEARCH = 2  # letters of `Search` below which transactions ignore it


@dataclass(frozen=True)
class Index:
    """Live rows of a resource, ordered by date and row number, with their dates."""

    version: int
    rows: Ints
    dates: Ints
    cache: dict[str, Any] = field(default_factory=dict)  # figures of all rows, made when first asked for


@dataclass(frozen=True)
class Selection:
    """Rows of a request in ascending order of its sort field. `start`: position in the index if they are a contiguous range."""

    rows: Ints
    start: int | None
    summary: bytes


class Listings:
    """Selects rows of one world. Indexes and selections are cached until the world changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._indexes: dict[str, Index] = {}
        self._selections: OrderedDict[Any, Selection] = OrderedDict()

    def index(self, resource: str) -> Index:
        """The current index of `resource`."""
        version = self._world.versions[resource]
        known = self._indexes.get(resource)
        if known is None or known.version != version:
            self._selections.clear()
            live = np.flatnonzero(self._world.live(resource))
            dates = self._world.table(resource)[DATES[resource]][live]
            order = np.argsort(dates, kind="stable")
            known = self._indexes[resource] = Index(version, live[order], dates[order])
        return known

    def select(self, query: ListQuery, now_us: int) -> Selection:
        """Rows and summary of a request, independent of its page."""
        self.index(query.resource)
        month = from_us(now_us).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        key = (query.resource, self._world.versions[query.resource], query.filters, query.sort, month)
        known = self._selections.get(key)
        if known is None:
            known = self._selections[key] = self._make(query, to_us(month))
            if len(self._selections) > KEPT_SELECTIONS:
                self._selections.popitem(last=False)
        return known

    def _make(self, query: ListQuery, month_us: int) -> Selection:
        index, filters = self.index(query.resource), dict(query.filters)
        low = int(np.searchsorted(index.dates, filters.pop("from", codes.NULL_US), "left"))
        high = max(low, int(np.searchsorted(index.dates, filters.pop("to", -codes.NULL_US - 1), "right")))
        stage = filters.pop("stage", None)
        mask = self._mask(query.resource, index.rows[low:high], filters)
        rows = index.rows[low:high] if mask is None else index.rows[low:high][mask]
        counted = rows
        if query.resource == "transactions" and self._world.options.summary_ignores_dates:
            whole = self._mask(query.resource, index.rows, filters)
            counted = index.rows if whole is None else index.rows[whole]
        summary = self._summary(query.resource, counted, month_us)
        if stage is not None:
            rows = rows[np.isin(self._world.stages(rows), list(stage))]
        by_date = query.sort in ("DateCreated", "dateCreated", "collectionDate")
        if not by_date:
            rows = rows[np.argsort(self._sort_values(query, rows), kind="stable")]
        return Selection(rows, low if mask is None and stage is None and by_date else None, ENCODER.encode(summary))

    def _mask(self, resource: str, rows: Ints, filters: dict[str, Any]) -> Flags | None:
        """Which of `rows` pass all filters but dates and stages; None where there are none to pass."""
        masks = [_FILTERS[name](self._world, resource, rows, value) for name, value in filters.items()]
        masks = [mask for mask in masks if mask is not None]
        return np.logical_and.reduce(masks) if masks else None

    def _sort_values(self, query: ListQuery, rows: Ints) -> Array:
        if query.resource == "clients":
            return np.array([self._world.company_name(row).casefold() for row in rows.tolist()], dtype=object)
        column = {"GrossAmount": "gross", "DueDate": "due", "amount": "amount"}[query.sort]
        return self._world.table(query.resource)[column][rows]

    def _summary(self, resource: str, rows: Ints, month_us: int) -> dict[str, Any]:
        if resource == "clients":
            table = self._world.clients
            done = int(table["done"][rows].sum())
            return {
                "totalClients": len(rows),
                "attributedClients": int(table["is_attributed"][rows].sum()),
                "onboardingComplete": done,
                "onboardingPending": len(rows) - done,
                "totalCases": int(self._world.client_stats()[0][rows].sum()),
            }
        if resource == "cases":
            groups = np.bincount(codes.GROUP_OF[self._world.cases["lifecycle"][rows]], minlength=len(codes.GROUPS))
            return {
                "totalCases": len(rows),
                "casesThisMonth": int((self._world.cases["created"][rows] >= month_us).sum()),
                "byLifecycle": dict(zip(codes.GROUPS, groups.tolist(), strict=True)),
            }
        return self._revenue(rows)

    def _revenue(self, rows: Ints) -> dict[str, Any]:
        cache = self.index("transactions").cache
        if not cache:
            every = np.arange(len(self._world.transactions))
            cache["stage"] = self._world.stages(every)
            cache["fee"], cache["revenue"] = self._world.usd(every, "fee"), self._world.usd(every, "revenue")
        stages, fees = cache["stage"][rows], cache["fee"][rows]
        revenue: dict[str, Any] = {}
        for number, stage in enumerate(codes.STAGES):
            is_in = stages == number
            revenue[f"{stage}ReferralFeeUsd"] = money(fees[is_in].sum())
            revenue[f"{stage}Count"] = int(is_in.sum())
        return {"revenue": revenue, "totalDebituraRevenueUsd": money(cache["revenue"][rows].sum())}

    def arrange(self, selection: Selection, query: ListQuery, request_number: int) -> Selection:
        """The selection in the order of one request: with `ties_shuffle`, rows with equal instants are reordered."""
        if not self._world.options.ties_shuffle or (not query.sort.endswith("Date") and "ateCreated" not in query.sort):
            return selection
        dates = self._world.table(query.resource)[DATES[query.resource]][selection.rows]
        order = np.lexsort((mix(selection.rows, request_number), dates))
        return Selection(selection.rows[order], None, selection.summary)


def _tenant(world: World, resource: str, rows: Ints, wanted: str) -> Flags:
    owners = rows if resource == "clients" else world.client_of(resource, rows)
    return np.asarray((world.clients["tenant"] == wanted)[owners], dtype=bool)


def _column(name: str, owner: str) -> Any:
    """Filter by membership of a column of the case (of a transaction's case, too) or of the resource itself."""

    def mask(world: World, resource: str, rows: Ints, value: Any) -> Flags:
        is_case = owner == "case"
        table = world.cases if is_case else world.table(resource)
        at = world.transactions["case"][rows] if is_case and resource == "transactions" else rows
        return np.isin(table[name][at], list(value) if isinstance(value, frozenset) else [value])

    return mask


def _referral(world: World, resource: str, rows: Ints, wanted: frozenset[int]) -> Flags:
    """Referral status; null counts as Pending."""
    return np.isin(np.maximum(world.transactions["referral"][rows], 0), list(wanted))


def _recognized(world: World, resource: str, rows: Ints, wanted: bool) -> Flags:
    return np.asarray((world.transactions["platform"][rows] == codes.RECEIVED) == wanted, dtype=bool)


def _text(world: World, resource: str, rows: Ints, wanted: str) -> Flags | None:
    """Free text, letter case ignored: over references and names, as each listing documents."""
    needle = wanted.casefold()
    if resource == "transactions" and len(needle) < MIN_SEARCH:
        return None
    cases = world.transactions["case"][rows] if resource == "transactions" else rows
    texts = _client_texts(world, rows) if resource == "clients" else _case_texts(world, cases, resource)
    return np.array([any(needle in text.casefold() for text in row) for row in texts], dtype=bool)


def _client_texts(world: World, rows: Ints) -> list[tuple[str, ...]]:
    return [
        (world.company_name(row), office_email(world, row), registration(world, row) or "") for row in rows.tolist()
    ]


def _case_texts(world: World, cases: Ints, resource: str) -> list[tuple[str, ...]]:
    refs = [text.decode() for text in references(cases, world.salts["cases"]).tolist()]
    if resource == "transactions":
        owners = [world.company_name(row) for row in range(len(world.clients))]
        return [(ref, owners[row]) for ref, row in zip(refs, world.cases["client"][cases].tolist(), strict=True)]
    heads, tails = world.cases["head"][cases].tolist(), world.cases["tail"][cases].tolist()
    submitted = world.submissions.cases
    return [
        (ref, creditor_reference(world, row) or "", (name_of_debtor(world, row) if row in submitted else name) or "")
        for ref, row, name in zip(refs, cases.tolist(), map(people.debtor_name, heads, tails), strict=True)
    ]


_FILTERS = {
    "tenant": _tenant,
    "text": _text,
    "is_attributed": _column("is_attributed", "own"),
    "done": _column("done", "own"),
    "lifecycle": _column("lifecycle", "own"),
    "country": _column("country", "case"),
    "partner": _column("partner", "case"),
    "commission": _column("commission", "own"),
    "platform": _column("platform", "own"),
    "referral": _referral,
    "recognized": _recognized,
}
