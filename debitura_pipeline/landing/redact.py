"""What may be kept of a value that the contract does not vouch for: the rules that hold personal data back.

Belongs here: judging names and texts, scrubbing unknown values, redacting a row for quarantine. Does not: known good
columns, which the contract decides. Called by both roads.

An unknown text is kept only if it reads like a code: one short ASCII word without blanks (`portal`, `A-12`, a UUID, a
date). Everything longer, spaced or accented may be a person's name or words about one, and is withheld; so is every
text inside the debtor, and whatever stands under a name that sounds personal. Booleans stay, and numbers that are not
as long as a phone number. A lost remark costs little, a leaked name a lot.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from debitura_pipeline.landing.contract import Kind
from debitura_pipeline.landing.layout import Known, Path

WITHHELD = "[withheld]"
MAX_CODE = 40  # letters; a UUID has 36
MAX_ENUM = 60
PHONE_DIGITS = range(8, 16)  # a whole number this long may be called
MAX_DEPTH = 12  # nested deeper than any sane answer: withheld whole

_PERSONAL_NAME = re.compile(
    r"name|mail|phone|mobile|tele|fax|address|street|zip|postal|contact|url|uri$|link|href|website|birth|^dob$|^age$"
    r"|gender|director|owner|iban|swift|^bic$|bank|account|token|secret|passw|apikey|user|person|people|employee|agent"
    r"|assign|manager|signatory|signer|author|creator|createdby|updatedby|^cpr|ssn|passport|nationalid|identity|^ip$"
    r"|comment|note|message|description|remark|freetext|by$|handler|officer|operator|recipient|sender|caller|callback"
    r"|lawyer|attorney|representative|guarantor|spouse|heir$|nick|alias|initials|signature",
)
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*", re.ASCII)
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{5,}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ][0-9:.]*(Z|[+-][0-9:]+)?)?", re.ASCII)
_LINK = re.compile(r"://|www\.|@|[a-z]+\.[a-z]{2,}", re.IGNORECASE)  # also `anna.holm`

_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")


def encode(value: Any) -> str:
    """JSON text with sorted keys and exact numbers."""
    return _ENCODER.encode(value).decode()


def is_personal_name(field: str) -> bool:
    return _PERSONAL_NAME.search(re.sub(r"[_\-. ]", "", field.lower())) is not None


def is_code(text: str) -> bool:
    """One short word that cannot be a person's name with surname, an address, an e-mail, a link or a phone number."""
    if len(text) > MAX_CODE or _CODE.fullmatch(text) is None or _LINK.search(text):
        return False
    return _DATE.fullmatch(text) is not None or _PHONE.fullmatch(text) is None


def safe_enum(text: str) -> str:
    """An enum's value as it may be reported: labels have blanks, so they are judged less strictly than codes."""
    looks_personal = _LINK.search(text) or _PHONE.fullmatch(text.strip()) or not text.isprintable()
    return WITHHELD if looks_personal or len(text) > MAX_ENUM else text


def safe_field(name: str) -> str:
    return name if _FIELD.fullmatch(name) else WITHHELD


def safe_path(path: Path) -> str:
    return ".".join(safe_field(name) for name in path)


def scrub(path: Path, value: Any) -> Any:
    """What may be kept of an unknown field's value. Shape: the same, with texts and personal parts withheld."""
    return _scrub(value, any(is_personal_name(name) for name in path), any(_is_debtors(name) for name in path), 0)


def _is_debtors(name: str) -> bool:
    return "debtor" in name.lower()


def _scrub(value: Any, is_personal: bool, in_debtor: bool, depth: int) -> Any:
    if value is None or isinstance(value, bool) or value == {} or value == []:
        return value
    if is_personal or depth > MAX_DEPTH:
        return WITHHELD
    if isinstance(value, dict):
        return {
            safe_field(name): _scrub(inner, is_personal_name(name), in_debtor or _is_debtors(name), depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_scrub(inner, False, in_debtor, depth + 1) for inner in value]
    if isinstance(value, str):
        return value if is_code(value) and not in_debtor else WITHHELD
    return _unknown_number(value)


def _unknown_number(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        _, digits, exponent = value.as_tuple()
        if exponent == 0 and len(digits) in PHONE_DIGITS:
            return WITHHELD
    return _known_number(value)


def _known_number(value: Any) -> Any:
    """Numbers stay; one of absurd length is no number that anybody needs, and could not be written back."""
    if isinstance(value, Decimal) and (not value.is_finite() or len(value.as_tuple().digits) > MAX_CODE):
        return WITHHELD
    return value


def redact_row(known: Known, row: Any) -> str:
    """A bad row as quarantine keeps it: contract's columns if they fit or cannot be personal, the rest scrubbed."""
    return encode(_redact(known, row) if isinstance(row, dict) else WITHHELD)


def _redact(node: Known, row: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in row.items():
        child = node.nodes.get(name.lower())
        if child is None:
            kept[safe_field(name)] = scrub((*node.path, name), value)
        elif child.is_object and isinstance(value, dict):
            kept[node.spelling[name.lower()]] = _redact(child, value)
        elif child.leaf is not None and child.leaf.kind not in (Kind.DEBTOR_NAME, Kind.DEBTOR_KEY):
            kept[node.spelling[name.lower()]] = _redact_leaf(child.leaf.kind, value)
    return kept


def _redact_leaf(kind: Kind, value: Any) -> Any:
    """A column's value: texts of text columns stay as `raw` would hold them, other texts only if they are dates."""
    if isinstance(value, dict | list):
        return WITHHELD
    if not isinstance(value, str):
        return _known_number(value)
    if kind is Kind.TEXT and value.isprintable():
        return value
    if kind is Kind.ID and _CODE.fullmatch(value) and len(value) == 36 and value.count("-") == 4:
        return value
    return value if kind is Kind.INSTANT and _DATE.fullmatch(value) else WITHHELD
