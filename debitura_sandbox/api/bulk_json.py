"""Render cases and transactions as JSON in bulk: whole columns joined by Arrow, without Python objects per row.

`documents.py` renders the same rows one by one, which is faster for a few of them; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from debitura_sandbox.api.documents import ASKED, ENCODER, REFERENCE_STYLES, client_brief, contacts, documents
from debitura_sandbox.world import codes, people
from debitura_sandbox.world.addresses import COUNTRIES, CURRENCIES, PARTNERS
from debitura_sandbox.world.codes import NULL_US
from debitura_sandbox.world.columns import Array, references, uuids
from debitura_sandbox.world.world import World

FEW_ROWS = 16  # Arrow takes 1.5 ms for any number of rows up to a hundred, a document 0.05 ms


@dataclass(frozen=True)
class RenderedBlock:
    """Rows as text, each followed by a comma; row i is `text[offsets[i]:offsets[i + 1]]`."""

    text: bytes
    offsets: Any = field(repr=False)

    def cut(self, first: int, last: int) -> bytes:
        """Rows `first` to `last` (exclusive), separated by commas."""
        return self.text[self.offsets[first] : self.offsets[last] - 1] if last > first else b""


def render(world: World, resource: str, rows: Array) -> RenderedBlock:
    """Render these rows as JSON, in this order."""
    if resource == "clients" or len(rows) <= FEW_ROWS:
        texts = [ENCODER.encode(document) + b"," for document in documents(world, resource, rows)]
        return RenderedBlock(b"".join(texts), np.cumsum([0, *map(len, texts)]))
    pieces = _case(world, rows) if resource == "cases" else _transaction(world, rows)
    joined = _join(*pieces)
    buffers = joined.buffers()
    offsets = np.frombuffer(buffers[1], dtype=np.int32, count=len(rows) + 1)
    return RenderedBlock(buffers[2].to_pybytes() if buffers[2] else b"", offsets)


def _case(world: World, rows: Array) -> list[Any]:
    table = {name: world.cases[name][rows] for name in _CASE_NEEDS}
    marks = _marks(rows)
    return [
        '{"id":"', _fixed(uuids(rows, world.salts["cases"])),
        '","reference":"', _fixed(references(rows, world.salts["cases"])),
        '","creditorReference":', _creditor_references(world, rows, table),
        ',"client":', _clients(world).with_contacts.take(_codes(table["client"])),
        ',"debtor":{"name":', *_debtor(world, rows),
        ',"country":', _word(_COUNTRIES, table["country"]),
        '},"grossAmount":', _money(table["gross"]),
        ',"remainder":', _money(table["remainder"]),
        ',"currency":', _word(_CURRENCIES, table["currency"]),
        ',"lifecycle":', _word(_LIFECYCLES, table["lifecycle"]),
        ',"closeCode":', _word(_CLOSE_CODES, table["close_code"]),
        ',"currentEngagementPhase":', _word(_PHASES, table["phase"]),
        ',"dateCreated":', _instant(table["created"], marks),
        ',"dueDate":', _instant(table["due"], _word(_ZONE_MARKS, np.full(len(rows), 2))),
        ',"dateCollectionStarted":', _instant(table["started"], marks),
        ',"dateFinished":', _instant(table["finished"], marks),
        ',"validation":{"needsInfo":', _flag(table["needs_info"]),
        ',"creditorRespondedAt":', _instant(table["responded"], marks),
        ',"items":', _word(_ASKED, np.where(table["needs_info"], rows % len(ASKED), -1)),
        '},"collectionPartner":', _word(_PARTNERS, table["partner"]),
        ',"expectedReferralRatePercentage":', _money(table["rate"]),
        "},",
    ]  # fmt: skip


def _transaction(world: World, rows: Array) -> list[Any]:
    table = {name: world.transactions[name][rows] for name in _TRANSACTION_NEEDS}
    case = table["case"]
    marks, currency = _marks(rows), _word(_CURRENCIES, table["currency"])
    fee_usd, is_recognized = world.usd(rows, "fee"), table["platform"] == codes.RECEIVED
    return [
        '{"transactionId":"', _fixed(uuids(rows, world.salts["transactions"])),
        '","date":', _instant(table["date"], marks),
        ',"client":', _clients(world).brief.take(_codes(world.cases["client"][case])),
        ',"case":{"invoiceId":"', _fixed(uuids(case, world.salts["cases"])),
        '","caseReference":"', _fixed(references(case, world.salts["cases"])),
        '","debtorName":', *_debtor(world, case),
        ',"originalAmount":', _money(world.cases["gross"][case]),
        ',"currency":', _word(_CURRENCIES, world.cases["currency"][case]),
        '},"payment":{"amount":', _money(table["amount"]), ',"currency":', currency,
        ',"paymentDate":', _instant(table["paid"], marks),
        '},"earnings":{"currency":', currency,
        ',"debituraRevenue":', _money(table["revenue"]),
        ',"debituraRevenueUsd":', _money(world.usd(rows, "revenue")),
        ',"referralFeePercentage":', _money(table["rate"]),
        ',"referralFeeAmount":', _money(table["fee"]),
        ',"referralFeeAmountUsd":', _money(fee_usd),
        ',"isEstimate":', _flag(table["commission"] != codes.PAID),
        '},"recognition":{"isRecognized":', _flag(is_recognized),
        ',"referralFeeRecognizedUsd":', _money(np.where(is_recognized, fee_usd, 0)),
        '},"status":{"commissionPaymentStatus":', _word(_COMMISSION, table["commission"]),
        ',"platformInvoicingStatus":', _word(_PLATFORM, table["platform"]),
        ',"referralInvoicingStatus":', _word(_REFERRAL, table["referral"]),
        "}},",
    ]  # fmt: skip


_CASE_NEEDS = (
    "client", "country", "currency", "gross", "remainder", "lifecycle", "close_code", "phase", "created",
    "due", "started", "finished", "needs_info", "responded", "partner", "rate", "has_reference",
)  # fmt: skip
_TRANSACTION_NEEDS = (
    "case",
    "date",
    "paid",
    "amount",
    "currency",
    "revenue",
    "rate",
    "fee",
    "commission",
    "platform",
    "referral",
)


def strings(texts: Sequence[str]) -> pa.Array:
    """An Arrow string column. (`pa.array` would import pandas, which doubles the time that a server takes to start.)"""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


@cache
def _literal(text: str) -> pa.Scalar:
    return strings([text])[0]


def _join(*pieces: pa.Array | str) -> pa.Array:
    """Concatenate columns of text row by row; a plain string is repeated in every row."""
    columns = [_literal(piece) if isinstance(piece, str) else piece for piece in pieces]
    return pc.binary_join_element_wise(*columns, _literal(""))


def _numbers(values: Array, kind: pa.DataType) -> pa.Array:
    """Numbers of one machine type as an Arrow column, without a copy."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _booleans(values: Array) -> pa.Array:
    return _numbers(np.asarray(values, dtype=np.int8), pa.int8()).cast(pa.bool_())


def _words(values: Any) -> pa.Array:
    """JSON texts with `null` in front, so that code -1 is null."""
    return strings(["null", *(json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)])


_COUNTRIES = _words(country.name for country in COUNTRIES)
_CURRENCIES = _words(CURRENCIES)
_LIFECYCLES = _words(lifecycle.label for lifecycle in codes.LIFECYCLES)
_CLOSE_CODES = _words(codes.CLOSE_CODES)
_PHASES = _words(codes.PHASES)
_PARTNERS = _words(partner.name for partner in PARTNERS)
_COMMISSION, _PLATFORM, _REFERRAL = _words(codes.COMMISSION), _words(codes.PLATFORM), _words(codes.REFERRAL)
_ASKED = strings(["[]", *(msgspec.json.encode(items).decode() for items in ASKED)])
_ZONE_MARKS = strings(["", 'Z"', '+00:00"', '"'])
_HEADS = strings(["null", *(json.dumps(head)[:-1] for head in people.debtor_tables()[0])])
_TAILS = strings(["", *(json.dumps(tail, ensure_ascii=False)[1:] for tail in people.debtor_tables()[1])])


def _codes(values: Array, shift: int = 0) -> pa.Array:
    return _numbers(np.asarray(values, dtype=np.int32) + np.int32(shift), pa.int32())


def _word(words: pa.Array, values: Array) -> pa.Array:
    return words.take(_codes(values, 1))


def _marks(rows: Array) -> pa.Array:
    return _word(_ZONE_MARKS, np.select([rows % 13 == 5, rows % 11 == 7], [1, 2], 0))


def _debtor(world: World, cases: Array) -> tuple[pa.Array, pa.Array]:
    heads, tails = _word(_HEADS, world.cases["head"][cases]), _word(_TAILS, world.cases["tail"][cases])
    mask = world.submissions.among(cases)
    if mask is None:
        return heads, tails
    names = [world.submissions.cases[row].debtor_name for row in cases[mask].tolist()]
    mask[mask] = [name is not None for name in names]  # those that are not known any more have invented names
    known = [name for name in names if name is not None]
    return _replaced(heads, mask, known), _replaced(tails, mask, [None] * len(known))


def _replaced(texts: pa.Array, mask: Array, others: Sequence[str | None]) -> pa.Array:
    """The texts, those of the mask replaced by JSON strings, or by nothing for None."""
    made = strings(["" if text is None else json.dumps(text, ensure_ascii=False) for text in others])
    return pc.replace_with_mask(texts, _booleans(mask), made)


def _flag(values: Array) -> pa.Array:
    return _booleans(values).cast(pa.string())


def _fixed(texts: Array) -> pa.Array:
    """Fixed-width bytes as an Arrow string column, without a copy."""
    offsets = np.arange(len(texts) + 1, dtype=np.int32) * np.int32(texts.dtype.itemsize)
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(texts)])


def _money(values: Array) -> pa.Array:
    """Amounts of 1/10,000 as decimal text without needless zeros; the mark for "none" becomes null."""
    halves = np.column_stack([values, values >> 63])
    decimals = pa.Array.from_buffers(pa.decimal128(18, 4), len(values), [None, pa.py_buffer(halves)])
    text = pc.ascii_rtrim(pc.ascii_rtrim(decimals.cast(pa.string()), "0"), ".")
    is_null = values == NULL_US
    return pc.if_else(_booleans(is_null), _literal("null"), text) if is_null.any() else text


def _instant(values: Array, marks: pa.Array) -> pa.Array:
    """Quoted instants with their zone marks; the mark for "none" becomes null."""
    is_null = values == NULL_US
    stamps = _numbers(np.where(is_null, 0, values), pa.timestamp("us")).cast(pa.string())
    text = pc.ascii_rtrim(pc.ascii_rtrim(pc.binary_replace_slice(stamps, 10, 11, "T"), "0"), ".")
    quoted = _join('"', text, marks)
    return pc.if_else(_booleans(is_null), _literal("null"), quoted) if is_null.any() else quoted


def _creditor_references(world: World, rows: Array, table: dict[str, Array]) -> pa.Array:
    digits = _numbers(rows, pa.int64()).cast(pa.string())
    styles = world.clients["number"][table["client"]] % len(REFERENCE_STYLES)
    pieces = []
    for style in REFERENCE_STYLES:
        before, after = style.split("{:0")
        width, after = int(after[0]), after[2:]
        pieces.append(_join(f'"{before}', pc.utf8_lpad(digits, width, "0"), f'{after}"'))
    made = pc.choose(
        _numbers(np.where(table["has_reference"], styles, len(pieces)), pa.int64()), *pieces, _literal("null")
    )
    mask = world.submissions.among(rows)
    if mask is None:
        return made
    mask &= table["has_reference"]
    return _replaced(made, mask, [world.submissions.cases[row].reference for row in rows[mask].tolist()])


@dataclass(frozen=True)
class _ClientTexts:
    count: int
    brief: pa.Array
    with_contacts: pa.Array


def _clients(world: World) -> _ClientTexts:
    """The part of a row that describes its client. Cached until clients are added, because names never change."""
    known: _ClientTexts | None = world.cache.get("client texts")
    if known is None or known.count != len(world.clients):
        rows = range(len(world.clients))
        briefs = [client_brief(world, row) for row in rows]
        full = [brief | {"contacts": contacts(world, row)} for row, brief in zip(rows, briefs, strict=True)]
        known = _ClientTexts(
            len(rows), *(strings([ENCODER.encode(d).decode() for d in docs]) for docs in (briefs, full))
        )
        world.cache["client texts"] = known
    return known
