"""Parse the envelope of a delivery, and keep of it what a targeted read needs: ids, event type, instants.

Names, texts and links of the payload are dropped here, before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeGuard
from uuid import UUID

import msgspec

from debitura_pipeline.landing.validators import parse_instant
from debitura_pipeline.webhooks.segments import Received

_EVENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TYPE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_TENANT = 1_024  # a longer tenant id is not kept; the API accepts 255


class MalformedEventError(ValueError):
    """A genuine delivery without the documented envelope. Its text says which part; it quotes nothing."""


def parse_event(body: bytes | bytearray, received_at: datetime, stored: Callable[[str], str]) -> Received:
    """Parse a raw body. `stored`: maps a tenant id to the one that is stored (`BusinessKeys.stored`).

    Raises MalformedEventError if it is no JSON object with `id`, `event`, `timestamp` and the object `data`.
    """
    fields = _fields(_decoded(body))
    data = fields.get("data")
    if not isinstance(data, dict):
        raise MalformedEventError("`data` is not an object")
    data = _fields(data)
    tenant = data.get("externaltenantid")
    return Received(
        id=event_id(fields),
        type=_matching(fields, "event", _TYPE),
        tenant=stored(tenant) if _is_tenant(tenant) else None,
        creditor_id=_uuid(_fields(data.get("creditor")).get("id")),
        case_id=_uuid(data.get("caseid")),
        at=_instant(fields.get("timestamp")),
        received_at=received_at.astimezone(UTC),
    )


def id_of(body: bytes | bytearray) -> str | None:
    """The id of a delivery that is refused anyway; None if it has none."""
    try:
        return event_id(_fields(_decoded(body)))
    except MalformedEventError:
        return None


def event_id(fields: dict[str, Any]) -> str:
    """The event's id; ids are compared in lower case. Raises MalformedEventError."""
    return _matching(fields, "id", _EVENT_ID).lower()


def _decoded(body: bytes | bytearray) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise MalformedEventError("the body is not JSON") from None


def _matching(fields: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise MalformedEventError(f"`{name}` is missing or not an identifier")
    return value


def _instant(value: Any) -> datetime:
    found = parse_instant(value) if isinstance(value, str) else None
    if found is None:
        raise MalformedEventError("`timestamp` is not an instant")
    return found


def _uuid(value: Any) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _fields(value: Any) -> dict[str, Any]:
    """The members of an object by lower-case name, since the API's documents use both spellings; empty for anything else."""
    return {name.lower(): item for name, item in value.items()} if isinstance(value, dict) else {}


def _is_tenant(value: Any) -> TypeGuard[str]:
    """Whether it is a tenant id that can be kept: JSON may hold lone surrogates, which no file can."""
    is_text = isinstance(value, str) and 0 < len(value) <= MAX_TENANT
    return is_text and not any("\ud800" <= sign <= "\udfff" for sign in value)
