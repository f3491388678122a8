"""The state of the simulated world: clients, cases and transactions as columns, and queries on them. Pure, no clock and no I/O.

Rows are never removed, only marked as not alive, so a row number identifies a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from debitura_sandbox.world import codes, people
from debitura_sandbox.world.codes import DAY_US, Flags, Ints
from debitura_sandbox.world.columns import Array, Columns, references, to_us, uuids
from debitura_sandbox.world.fx_rates import FxRates
from debitura_sandbox.world.submitted import LinkRequest, Submissions

RESOURCES = ("clients", "cases", "transactions")
DATES = {"clients": "linked", "cases": "created", "transactions": "date"}  # what a listing is ordered and bounded by
PACE_DAYS = 90
SALTS = {"clients": 101, "cases": 202, "transactions": 303, "links": 404}


class Pace(NamedTuple):
    """New cases a day per weight of the clients, and new payments a day per case being collected."""

    cases: float = 0.0
    payments: float = 0.0


@dataclass(frozen=True)
class WorldOptions:
    """What a world is made from; together with its journal this rebuilds it exactly."""

    seed: int = 7
    clients: int = 40
    cases: int = 5_000
    transactions: int = 15_000
    years: int = 3
    start: str = "2026-01-05T02:00:00Z"
    mode: str = codes.PAY_WHEN_PAID
    archived_rows_remain: bool = True
    summary_ignores_dates: bool = False
    ties_shuffle: bool = False  # rows with the same instant change places from request to request
    is_test_environment: bool = True
    open_share: float | None = None  # of the cases on day 0; None: as their ages have it
    unsettled_share: float | None = None  # of the transactions, likewise

    def __post_init__(self) -> None:
        for name, low, high in (
            ("clients", 1, 20_000),
            ("cases", 0, 1_000_000),
            ("transactions", 0, 3_000_000),
            ("years", 1, 20),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, outside {low} to {high}")
        for name in ("open_share", "unsettled_share"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not between 0 and 1")
        if self.mode not in (codes.PAY_WHEN_PAID, codes.CONFIRMED_PIPELINE):
            raise ValueError(f"mode is {self.mode!r}, neither {codes.PAY_WHEN_PAID} nor {codes.CONFIRMED_PIPELINE}")
        if self.transactions and not self.cases:
            raise ValueError("transactions need cases")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WorldOptions:
        """Options from what `as_dict` gave; unknown names are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)


_I8, _I32, _I64, _BOOL = np.int8, np.int32, np.int64, np.bool_
CLIENT_COLUMNS = {
    "tenant": object, "number": _I64, "country": _I8, "town": _I8, "is_attributed": _BOOL, "done": _BOOL, "is_upgrade": _BOOL,
    "linked": _I64, "kyc": _I8, "kyc_review": _I8, "rate": _I64, "weight": np.float64, "alive": _BOOL,
}  # fmt: skip
CASE_COLUMNS = {
    "client": _I32, "head": _I32, "tail": _I32, "country": _I8, "currency": _I8, "gross": _I64, "remainder": _I64,
    "lifecycle": _I8, "close_code": _I8, "phase": _I8, "created": _I64, "due": _I64, "started": _I64, "finished": _I64,
    "needs_info": _BOOL, "responded": _I64, "partner": _I8, "rate": _I64, "earns": _BOOL, "has_reference": _BOOL, "alive": _BOOL,
}  # fmt: skip
TRANSACTION_COLUMNS = {
    "case": _I32, "date": _I64, "paid": _I64, "amount": _I64, "currency": _I8, "booked": _I64, "revenue": _I64,
    "rate": _I64, "fee": _I64,
    "locked_day": _I32, "moved": _I32, "commission": _I8, "platform": _I8, "referral": _I8, "alive": _BOOL,
}  # fmt: skip


class World:
    """The simulated world. Changed only by `initial_state`, `daily_changes` and `commands`, which call `invalidate`."""

    def __init__(self, options: WorldOptions) -> None:
        self.options = options
        self.mode = options.mode
        self.day = 0
        self.clients = Columns(CLIENT_COLUMNS)
        self.cases = Columns(CASE_COLUMNS)
        self.transactions = Columns(TRANSACTION_COLUMNS)
        self.pace = Pace()
        self.start_us = to_us(datetime.fromisoformat(options.start).astimezone(UTC))
        self.fx = FxRates(options.seed, options.years * 366 + 1)
        self.registered: dict[
            int, dict[str, Any]
        ] = {}  # of clients registered by POST /clients; those of people in memory only
        self.link_requests: dict[str, LinkRequest] = {}  # by tenant
        self.signing_links: dict[
            int, tuple[int, int]
        ] = {}  # by client: number and instant of the last one after the first
        self.submissions = Submissions()
        self.webhooks: list[dict[str, Any]] = []  # subscriptions as plain values
        self.cache: dict[str, Any] = {}  # texts derived from columns that never change
        self.salts = {name: salt + options.seed * 1_000_003 for name, salt in SALTS.items()}
        self.versions = dict.fromkeys(RESOURCES, 0)

    @property
    def now_us(self) -> int:
        """The start of the current day. No generated row is later."""
        return self.start_us + self.day * DAY_US

    def table(self, resource: str) -> Columns:
        """The columns of `resource`."""
        return {"clients": self.clients, "cases": self.cases, "transactions": self.transactions}[resource]

    def invalidate(self, *resources: str) -> None:
        """Mark rows as changed, so that readers drop cached results. Changed cases and transactions also change clients."""
        for resource in resources:
            self.versions[resource] += 1
        if "clients" not in resources:
            self.versions["clients"] += 1

    def note_pace(self) -> None:
        """Record the rate of new rows over the last PACE_DAYS, which later days continue."""
        recent = self.now_us - PACE_DAYS * DAY_US
        cases, payments = (float((t[c] > recent).sum()) / PACE_DAYS
                           for t, c in ((self.cases, "created"), (self.transactions, "date")))  # fmt: skip
        weight = float((self.clients["weight"] * self.clients["alive"]).sum())
        self.pace = Pace(cases / max(weight, 1e-9), payments / max(int(self.is_collected().sum()), 1))

    def is_collected(self) -> Flags:
        """Cases that may receive a payment."""
        cases = self.cases
        is_open = cases["alive"] & (cases["lifecycle"] == codes.ACTIVE) & (cases["remainder"] > 0)
        is_earning = (cases["partner"] >= 0) & cases["earns"] & self.clients["alive"][cases["client"]]
        return np.asarray(is_open & is_earning)

    def set_mode(self, mode: str) -> None:
        """Change the partner's invoicing mode. Raises ValueError."""
        if mode not in (codes.PAY_WHEN_PAID, codes.CONFIRMED_PIPELINE):
            raise ValueError(f"mode is {mode!r}")
        self.mode = mode
        self.invalidate("transactions")

    def live(self, resource: str) -> Flags:
        """Which rows the API returns. Rows of archived clients are included unless `archived_rows_remain` is off."""
        alive: Flags = self.table(resource)["alive"].copy()
        if resource == "cases" and not self.submissions.lists_tests:
            alive[self.submissions.test_rows()] = False
        if resource == "clients" or self.options.archived_rows_remain:
            return alive
        return alive & self.clients["alive"][self.client_of(resource)]

    def client_of(self, resource: str, rows: Array | slice = slice(None)) -> Ints:
        """Row number of the client of each case or transaction."""
        cases = self.transactions["case"][rows] if resource == "transactions" else rows
        return np.asarray(self.cases["client"][cases], dtype=np.int64)

    def ids(self, resource: str, rows: Array) -> list[str]:
        """UUIDs of rows."""
        return [text.decode() for text in uuids(np.asarray(rows), self.salts[resource]).tolist()]

    def all_ids(self, resource: str) -> list[str]:
        """UUIDs of all rows by row number, cached."""
        return self._all(resource, uuids)

    def all_references(self) -> list[str]:
        """References of all cases by row number, cached."""
        return self._all("cases", references)

    def _all(self, resource: str, write: Callable[[Array, int], Array]) -> list[str]:
        texts: list[str] = self.cache.setdefault(f"{write.__name__} of {resource}", [])
        new = np.arange(len(texts), len(self.table(resource)))
        if len(new):
            texts += [text.decode() for text in write(new, self.salts[resource]).tolist()]
        return texts

    def find_tenant(self, tenant: str) -> int | None:
        """Row of the active client with this tenant id; None if there is none."""
        rows = np.flatnonzero(self.clients["alive"] & (self.clients["tenant"] == tenant))
        return int(rows[-1]) if len(rows) else None

    def days_of(self, instants: Array) -> Ints:
        """World day of each instant (0 is the start; history is negative)."""
        return np.asarray((instants - self.start_us) // DAY_US, dtype=np.int64)

    def usd(self, rows: Array, column: str) -> Ints:
        """`column` of transactions in USD: estimates at today's rate, others at the rate of the day on which they were locked."""
        table = self.transactions
        is_locked = table["commission"][rows] == codes.PAID
        days = np.where(is_locked, table["locked_day"][rows], self.day)
        return self.fx.usd(table[column][rows], table["currency"][rows], days)

    def stages(self, rows: Array) -> Ints:
        """Stage code of transactions, in the partner's mode."""
        table = self.transactions
        return codes.stages(table["commission"][rows], table["platform"][rows], table["referral"][rows], self.mode)

    def company_name(self, row: int) -> str:
        """Name of a client."""
        registered = self.registered.get(row, {})
        number, country = int(self.clients["number"][row]), int(self.clients["country"][row])
        return str(registered.get("name") or people.company_name(number, country))

    def users(self, row: int) -> tuple[people.User, ...]:
        """People at a client."""
        registered = self.registered.get(row, {})
        made = people.people(int(self.clients["number"][row]), int(self.clients["country"][row]))
        return tuple(registered.get("users") or made)

    def client_stats(self) -> tuple[Ints, Ints, Ints]:
        """Per client: cases, closed cases, and earnings: the recognized referral fees in USD (an inferred meaning)."""
        size = len(self.clients)
        cases = np.flatnonzero(self.live("cases"))
        owners = self.cases["client"][cases]
        closed = owners[np.isin(self.cases["lifecycle"][cases], (codes.CLOSED, codes.MERGED))]
        rows = np.flatnonzero(self.live("transactions") & (self.transactions["platform"] == codes.RECEIVED))
        earned = np.zeros(size, dtype=np.int64)
        np.add.at(earned, self.client_of("transactions", rows), self.usd(rows, "fee"))
        return np.bincount(owners, minlength=size), np.bincount(closed, minlength=size), earned
