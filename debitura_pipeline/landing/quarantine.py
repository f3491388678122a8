"""Redact bad rows for `ops.quarantine`: valid columns are kept, invalid values only if they cannot be personal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from debitura_pipeline.api.label_words import is_label
from debitura_pipeline.contract.tables import Kind
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.findings import BadRow
from debitura_pipeline.landing.labels import WITHHELD, safe_label
from debitura_pipeline.landing.outline import text_at
from debitura_pipeline.landing.page_schema import FieldNode, Layout
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.landing.redact import (
    bounded_number,
    is_code,
    is_figure,
    looks_like_phone_number,
    safe_field,
    scrub,
    to_json,
    without_contact,
)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_AMOUNT = re.compile(
    r"([A-Z]{3} ?)?[+-]?(\d{1,15}|\d{1,3}([., '\u00a0]\d{3})+)([.,]\d{0,20})?([eE][+-]?\d{1,9})?( ?([A-Z]{3}|%))?"
)
_ANY_DATE = re.compile(r"[+-]?\d{1,6}[./-]\d{1,2}[./-]\d{1,6}([T ][\d:.,]*)?( ?(Z|[+-][\d:]+|[AaPp][Mm]))?", re.ASCII)
_MAX_FIGURE = 60  # characters; longer values are useless


@dataclass(frozen=True)
class Quarantine:
    """Creates `BadRow`s. Their hash identifies a payload; it is keyed, so that nobody can test a guess at what was withheld."""

    pseudonyms: Pseudonyms
    business_keys: BusinessKeys

    def bad_row(self, layout: Layout, raw: bytes, row: Any, reason: str) -> BadRow:
        """A redacted bad row. `row`: as parsed, None if it is invalid JSON. The key is searched in the raw bytes."""
        key = text_at(raw, layout.key.path) or ""
        return BadRow(
            payload_sha256=self.pseudonyms.digest(raw),
            row_key=key.lower() if _UUID.fullmatch(key) else None,
            reason=reason,
            payload=to_json(self._redact(layout.root, row) if isinstance(row, dict) else _shown(row)),
        )

    def _redact(self, node: FieldNode, row: dict[str, Any]) -> dict[str, Any]:
        """The contract's columns if valid or not personal, the rest redacted."""
        kept: dict[str, Any] = {}
        for name, value in row.items():
            child = node.nodes.get(name.lower())
            if child is None:
                kept[safe_field(name)] = scrub((*node.path, name), value)
            elif child.is_object and isinstance(value, dict):
                kept[node.spelling[name.lower()]] = self._redact(child, value)
            elif child.is_object and child.holds_columns:
                kept[node.spelling[name.lower()]] = _shown(value)
            elif child.leaf is not None and child.leaf.kind not in (Kind.DEBTOR_NAME, Kind.DEBTOR_KEY):
                kept[node.spelling[name.lower()]] = self._leaf(child.leaf.kind, value)
        return kept

    def _leaf(self, kind: Kind, value: Any) -> Any:
        """A column's value: what fits as `raw` would hold it."""
        if isinstance(value, Decimal):
            return _withheld("number") if bounded_number(value) == WITHHELD else value
        if not isinstance(value, str) or value == "":
            return _shown(value)
        if kind in (Kind.TEXT, Kind.BUSINESS_KEY, Kind.LABEL) and value.isprintable():
            return self._text(kind, value)
        is_shown = len(value) <= _MAX_FIGURE and (
            (kind in (Kind.MONEY, Kind.COUNT) and _AMOUNT.fullmatch(value))
            or (kind is Kind.INSTANT and _ANY_DATE.fullmatch(value))
        )
        return value if is_shown else _shown(value)

    def _text(self, kind: Kind, value: str) -> str:
        if kind is Kind.BUSINESS_KEY:
            return self.business_keys.stored(value)
        return safe_label(value) if kind is Kind.LABEL else without_contact(value)


def _shown(value: Any) -> Any:
    """An invalid value if it cannot be personal, otherwise its type."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, Decimal):
        return _withheld("number") if bounded_number(value) == WITHHELD or looks_like_phone_number(value) else value
    if isinstance(value, str):
        return value if is_figure(value) or is_label(value) or is_code(value) else _withheld("text")
    return _withheld("list" if isinstance(value, list) else "object")


def _withheld(kind: str) -> str:
    return f"[withheld {kind}]"
