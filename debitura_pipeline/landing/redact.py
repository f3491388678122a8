"""Redact values that the contract does not describe, so that no personal data is stored.

Texts of unknown fields are kept if they are numbers, dates, UUIDs, labels of ordinary words (`label_words.py`), or short codes
in a field whose name says that it holds a code. Any other text may be a person's name and is withheld, as is every text inside
the debtor and every value of a field whose name suggests personal data. Booleans are kept, and numbers unless they are as long
as a phone number. Losing a remark costs little; leaking a name costs a lot.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from debitura_pipeline.api.label_words import is_label
from debitura_pipeline.landing.business_key import contains_plain_contact, may_contain_contact
from debitura_pipeline.landing.labels import WITHHELD
from debitura_pipeline.landing.page_schema import Path

MAX_CODE = 40  # characters; a UUID has 36
PHONE_DIGITS = range(8, 16)  # length of phone numbers
MAX_DEPTH = 12  # deeper than any sane response: withheld as a whole

_PERSONAL_NAME = re.compile(
    r"name|mail|phone|mobile|tele|fax|address|street|zip|postal|contact|url|uri$|link|href|website|birth|^dob$|^age$"
    r"|gender|director|owner|iban|swift|^bic$|bank|account|token|secret|passw|apikey|user|person|people|employee|agent"
    r"|assign|manager|signatory|signer|author|creator|createdby|updatedby|^cpr|ssn|passport|nationalid|identity|^ip$"
    r"|comment|note|message|description|remark|freetext|by$|handler|officer|operator|recipient|sender|caller|callback"
    r"|lawyer|attorney|representative|guarantor|spouse|heir$|nick|alias|initials|signature|consultant|worker|colleague"
    r"|geo|^lat$|^lng$|^lon$|^long$|latitude|longitude|coord|location|position|gps|salary|income|wage|socialsec",
)
_CODE_NAME = re.compile(
    r"(^|[a-z0-9_])(code|status|state|type|kind|id|uuid|guid|currency|country|language|locale|version|tier|level|category"
    r"|class|mode|ref|reference|iso|unit|stage|phase|priority|zone|region|format|flag|plan|bucket|scheme)s?$",
    re.IGNORECASE,
)
# A field is spelt as a serialiser spells all of them, in camelCase or snake_case. A name in another form is data.
_FIELD = re.compile(r"(?!.*\d{5})[a-z_][A-Za-z0-9_]{0,39}", re.ASCII)
_UUID = re.compile(r"\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,7}([.,]\d{1,20})?([eE][+-]?\d{1,6})?%?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ][0-9:.]*(Z|[+-][0-9:]+)?)?", re.ASCII)
_CODE = re.compile(
    r"(?=[A-Za-z0-9])(?!.*(?:[a-z]{3}|[A-Z]{5}|[A-Z][a-z]{2}))[A-Za-z0-9_.:+/-]*\d[A-Za-z0-9_.:+/-]*", re.ASCII
)
_SHORT_CODE = re.compile(r"[A-Z]{1,3}([-_.][A-Z]{1,3})?|[a-z]{2}([-_][A-Z]{2})?", re.ASCII)
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{5,}")

_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")


def to_json(value: Any) -> str:
    """JSON text with sorted keys and exact numbers."""
    return _ENCODER.encode(value).decode()


def is_personal_name(field: str) -> bool:
    """Whether a field's name suggests personal data."""
    return _PERSONAL_NAME.search(re.sub(r"[_\-. ]", "", field.lower())) is not None


def is_figure(text: str) -> bool:
    """Whether a text is a number, an ISO date or instant, or a UUID, none of which is a person's name."""
    return any(kind.fullmatch(text) for kind in (_NUMBER, _DATE, _UUID))


def is_code(text: str) -> bool:
    """Whether a text is a short code such as `EUR`, `A-12`, `K7TRW2`: no three lower-case letters in a row, no phone number."""
    if len(text) > MAX_CODE or _PHONE.fullmatch(text):
        return False
    return _CODE.fullmatch(text) is not None or _SHORT_CODE.fullmatch(text) is not None


def looks_like_phone_number(number: Decimal) -> bool:
    """Whether an integer is as long as a phone number or a national id."""
    _, digits, exponent = number.as_tuple()
    return exponent == 0 and len(digits) in PHONE_DIGITS


def bounded_number(value: Any) -> Any:
    """The number, or WITHHELD if it is absurdly long and could not be written back."""
    if isinstance(value, Decimal) and (not value.is_finite() or len(value.as_tuple().digits) > MAX_CODE):
        return WITHHELD
    return value


def safe_field(name: str) -> str:
    """A field's name, or WITHHELD if it does not look like one."""
    return name if _FIELD.fullmatch(name) else WITHHELD


def safe_path(path: Path) -> str:
    """A dotted path of safe field names."""
    return ".".join(safe_field(name) for name in path)


def without_contacts(texts: pa.Array) -> pa.Array:
    """A text column in which texts with an e-mail address or phone number are withheld."""
    if not may_contain_contact(texts):
        return texts
    return pa.array([None if text is None else without_contact(text) for text in texts.to_pylist()], pa.string())


def without_contact(text: str) -> str:
    """The text, or WITHHELD if it contains an e-mail address or phone number."""
    return WITHHELD if contains_plain_contact(text) else text


def scrub(path: Path, value: Any) -> Any:
    """Redact an unknown field's value. Same structure, with texts and personal parts withheld."""
    is_personal = any(is_personal_name(name) for name in path)
    return _scrub(path[-1], value, is_personal, any(_is_debtors(name) for name in path), 0)


def _is_debtors(name: str) -> bool:
    return "debtor" in name.lower()


def _scrub(field: str, value: Any, is_personal: bool, in_debtor: bool, depth: int) -> Any:
    if value is None or isinstance(value, bool) or value in ({}, [], ""):
        return value
    if is_personal or depth > MAX_DEPTH:
        return WITHHELD
    if isinstance(value, dict):
        return {
            safe_field(name): _scrub(name, inner, is_personal_name(name), in_debtor or _is_debtors(name), depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_scrub(field, inner, False, in_debtor, depth + 1) for inner in value]
    if isinstance(value, str):
        return value if not in_debtor and _may_stay(field, value) else WITHHELD
    return (
        WITHHELD
        if isinstance(value, Decimal) and value.is_finite() and looks_like_phone_number(value)
        else bounded_number(value)
    )


def _may_stay(field: str, text: str) -> bool:
    is_word = is_figure(text) or is_label(text) or (len(text) == 1 and text.isascii() and text.isprintable())
    return is_word or (_CODE_NAME.search(field) is not None and is_code(text))
