"""What must hold of the warehouse after a reading, given what the world was while it was read.

Promises, for every resource and plan:
- A row read by this sync (`_verified_at` is its clock) has a value that the row had while it was read. No excuse.
- A row that was live all the while is live in the warehouse; one that was gone all the while is not.
- Every other row has a value that it had while the sync read.

A reading of everything (`full`, `small`, one client's, and clients always) has no excuse, but for a list that is too long to
be read again as a whole whenever it moved: there a row whose date went out of a window before it was read, and came back
after, can be hidden by another that was shown in this window and deleted. Such rows are *slipped*; they are few, and no such
sync says that it is proven.

A nightly reading has one excuse: what no total shows. It asks for counts and sums by window and bucket, so a row that breaks
the second or third promise is *masked* if in every cell that it touches (month and bucket) the API's count and sum equalled
the warehouse's at some moment of the reading: a fee-less edit, or a row gone and another come in the same cell. Rows that
every nightly reading shows whole (open cases, estimates, rows of no stage) and that were there throughout are never masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from debitura_pipeline.contract.tables import TABLES
from tests.simulation.world import Moments, Rows
from tests.support.truth import Row

CENT = Decimal("0.01")
ZERO = Decimal(0)
SETTLED, PENDING, NO_STAGE = "Paid", "Pending", "none"
CLOSED, OPEN = "closed", "open"
Cell = tuple[Any, ...]


@dataclass
class Verdict:
    """What was found wrong with one reading, what was masked, what slipped. Each entry: what, key."""

    broken: list[tuple[str, str]] = field(default_factory=list)
    masked: list[tuple[str, str]] = field(default_factory=list)
    slipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Terms:
    """What a reading could see: the plan, whether the summary follows dates, the partner's mode, by which date the list
    goes, whether a nightly plan compares months or the whole, whether the list is too long to be read again as a whole, and the
    client if it was one's alone."""

    resource: str
    plan: str = "full"
    ignores_dates: bool = False
    mode: str = "PayWhenPaid"
    dated: str = ""
    has_months: bool = True
    is_long: bool = False
    creditor: str | None = None
    tenant: str | None = None

    @property
    def is_nightly(self) -> bool:
        return self.plan == "nightly"


def judge(terms: Terms, moments: Moments, before: Rows, have: Rows, at: datetime) -> Verdict:
    """Hold the warehouse's live rows against the moments of the reading that ended with them. `before`: live until then."""
    verdict = Verdict()
    had = moments.values()
    if terms.creditor is not None:
        verdict.broken += [("touched, not being read", key) for key in _touched_beside(terms, had, before, have)]
        had = {key: rows for key, rows in had.items() if _is_of(terms.creditor, rows)}
        have = {key: row for key, row in have.items() if row["creditor_id"] == terms.creditor}
    suspects: list[tuple[str, str]] = []
    for key, row in have.items():
        values = had.get(key, [None])
        is_right = plain(terms, row) in values
        if row["_verified_at"] == at and not is_right:
            verdict.broken.append(("read and never so", key))
        elif all(value is None for value in values):
            suspects.append(("ghost", key))
        elif not is_right:
            suspects.append(("stale", key))
    suspects += [("missing", key) for key, values in had.items() if None not in values and key not in have]
    excused = _masked(terms, moments, have, {key for _, key in suspects}) if suspects and terms.is_nightly else set()
    for what, key in suspects:
        if what == "missing" and terms.is_long and len({_date(terms, row) for row in had[key]}) > 1:
            verdict.slipped.append((what, key))
        else:
            (verdict.masked if key in excused else verdict.broken).append((what, key))
    return verdict


def plain(terms: Terms, row: Row) -> Row:
    return {name: row[name] for name in TABLES[terms.resource].names}


def _is_of(creditor: str, rows: Iterable[Row | None]) -> bool:
    return any(row is not None and row["creditor_id"] == creditor for row in rows)


def _touched_beside(terms: Terms, had: Mapping[str, list[Row | None]], before: Rows, have: Rows) -> list[str]:
    """Rows of other clients that the reading of one client's changed. An earlier client with the same tenant id is read
    with it: its rows may be verified, as what they were, or found gone."""
    keys = {key for rows in (before, have) for key, row in rows.items() if row["creditor_id"] != terms.creditor}
    touched = {key for key in keys if before.get(key) != have.get(key)}
    verified = {
        key
        for key in touched & have.keys()
        if have[key]["external_tenant_id"] == terms.tenant and plain(terms, have[key]) in had.get(key, [])
    }
    found_gone = {
        key
        for key in touched - have.keys()
        if before[key]["external_tenant_id"] == terms.tenant and None in had.get(key, [None])
    }
    return sorted(touched - verified - found_gone)


def _masked(terms: Terms, moments: Moments, have: Rows, keys: set[str]) -> set[str]:
    ours = cells(terms, have.values())
    seen: dict[Cell, list[tuple[int, Decimal]]] = {}
    for state in moments.states():
        now = cells(terms, state.values())
        for cell in now.keys() | ours.keys() | seen.keys():
            seen.setdefault(cell, []).append(now.get(cell, (0, ZERO)))
    excused = set()
    for key in keys:
        values, known = moments.values().get(key, []), [have[key]] if key in have else []
        was = [row for row in values if row is not None]
        versions = was + known
        # A row that was gone for a while can be gone when its bucket is shown; then only what we have of it tells.
        if all(is_swept(terms, row) for row in (known if was and None in values else was or versions)):
            continue
        touched = {cell for row in versions for cell in cells(terms, [row])}
        if all(
            any(_equal(figure, ours.get(cell, (0, ZERO)), cell) for figure in seen.get(cell, ())) for cell in touched
        ):
            excused.add(key)
    return excused


def is_swept(terms: Terms, row: Row) -> bool:
    """Whether every nightly reading shows this row whole, whatever the totals say."""
    bucket = bucket_of(terms, row)
    if terms.resource == "cases":
        return bucket == OPEN
    if terms.resource == "transactions":
        return bucket in (PENDING, NO_STAGE) or bool(row["is_estimate"]) or (terms.ignores_dates and bucket != SETTLED)
    return True


def cells(terms: Terms, rows: Iterable[Row]) -> dict[Cell, tuple[int, Decimal]]:
    """Count and fee of the buckets that a nightly reading compares."""
    found: dict[Cell, tuple[int, Decimal]] = {}
    for row in rows:
        usd = row.get("referral_fee_usd") or ZERO
        for cell in _cells_of(terms, row):
            count, total = found.get(cell, (0, ZERO))
            found[cell] = (count + 1, total + usd)
    return found


def _cells_of(terms: Terms, row: Row) -> list[Cell]:
    bucket = bucket_of(terms, row)
    if terms.resource == "clients":
        return [("all",)]
    dated = _date(terms, row)
    month = (dated.year, dated.month) if dated is not None and terms.has_months else (0, 0)
    if terms.resource == "cases" or terms.ignores_dates:
        return [("rows", bucket, *month)]
    return [("fees", bucket, *month)]


def _date(terms: Terms, row: Row | None) -> datetime | None:
    """The date by which the list goes."""
    names = {"clients": "linked_at", "cases": "created_at", "transactions": "occurred_at"}
    found: datetime | None = None if row is None else row[terms.dated or names[terms.resource]]
    return found


def _equal(stated: tuple[int, Decimal], ours: tuple[int, Decimal], cell: Cell) -> bool:
    has_sum = cell[0] == "fees" and cell[1] not in (PENDING, NO_STAGE)
    return stated[0] == ours[0] and (not has_sum or abs(stated[1] - ours[1]) < CENT)


def bucket_of(terms: Terms, row: Row) -> str:
    """A row's state or stage, by the contract's words; written down here a second time."""
    if terms.resource == "cases":
        return CLOSED if row["lifecycle"] in ("Closed", "Merged") else OPEN
    if terms.resource == "clients":
        return "all"
    commission, platform = row["commission_status"], row["platform_invoicing_status"]
    referral = row["referral_invoicing_status"] or "Pending"
    final = {"Disputed": "Disputed", "Paid": SETTLED, "Invoiced": "AwaitingDebituraPayment"}.get(referral)
    if final is not None:
        return final
    confirmed = terms.mode == "ConfirmedPipeline" and commission == "Paid"
    if platform == "PaymentReceived" or (confirmed and platform in ("NotInvoiced", "InvoiceIssued")):
        return "ReadyToInvoiceDebitura"
    if platform == "InvoiceIssued":
        return "AwaitingCollectionPartnerPayment"
    if platform == "NotInvoiced":
        return "ConfirmedPendingInvoice" if commission == "Paid" else PENDING
    return NO_STAGE
