"""The roster: one row per client that the partner wants registered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec

from debitura_pipeline.source import rules
from debitura_pipeline.source.rules import BrokenRule
from debitura_pipeline.source.table import Holds, RowFault, SourceColumn, SourceTable, Values

MAX_TENANT = 255  # `POST /oauth/token` takes no longer id


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person at the client."""

    name: str
    email: str

    def __repr__(self) -> str:
        return "User(***)"


@dataclass(frozen=True, slots=True)
class RosterClient:
    """A valid row, texts exactly as in the source, None for an empty field. `users`: the one who goes through onboarding first.
    Its `repr` shows no values."""

    tenant: str = field(repr=False)
    company_name: str = field(repr=False)
    country: str = field(repr=False)
    support_email: str = field(repr=False)
    users: tuple[User, ...] = field(repr=False)
    registration_number: str | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)
    zip_code: str | None = field(default=None, repr=False)
    city: str | None = field(default=None, repr=False)
    state: str | None = field(default=None, repr=False)
    support_phone: str | None = field(default=None, repr=False)


def _users(value: str) -> str:
    """A JSON list of `{name, email}`."""
    try:
        found = _decoder.decode(rules.free_text()(value).encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise BrokenRule('is not a JSON list of {"name": …, "email": …}') from None
    for number, user in enumerate(found, start=1):
        try:
            rules.free_text()(user.name)
        except BrokenRule as broken:
            raise BrokenRule(f"names user {number}, whose name {broken}") from None
        try:
            rules.email(user.email)
        except BrokenRule as broken:
            raise BrokenRule(f"names user {number}, whose address {broken}") from None
    return msgspec.json.encode(found).decode()


_decoder = msgspec.json.Decoder(list[User])


def _whole(values: Values, _: date) -> Iterator[RowFault]:
    others = _decoder.decode(values["other_users"].encode()) if "other_users" in values else []
    emails = [user.email.casefold() for user in others] + [values.get("user_email", "").casefold()]
    if len(set(emails)) < len(emails):
        yield RowFault("other_users", "has an e-mail address twice, or that of user_email")


def _build(values: Values) -> RosterClient:
    others = _decoder.decode(values["other_users"].encode()) if "other_users" in values else []
    texts: dict[str, Any] = {name: values.get(name) for name in _TEXTS}
    return RosterClient(
        tenant=values["external_tenant_id"],
        users=(User(values["user_name"], values["user_email"]), *others),
        **texts,
    )


_TEXTS = (
    "company_name",
    "country",
    "support_email",
    "registration_number",
    "address",
    "zip_code",
    "city",
    "state",
    "support_phone",
)

ROSTER = SourceTable(
    name="roster",
    variable="DEBITURA_ROSTER",
    columns=(
        SourceColumn("external_tenant_id", rules.key(MAX_TENANT), is_required=True),
        SourceColumn("company_name", rules.free_text(), is_required=True),
        SourceColumn("country", rules.country, is_required=True),
        SourceColumn("support_email", rules.email, is_required=True),
        SourceColumn("user_name", rules.free_text(), is_required=True),
        SourceColumn("user_email", rules.email, is_required=True),
        SourceColumn("registration_number", rules.free_text()),
        SourceColumn("address", rules.free_text(500)),
        SourceColumn("zip_code", rules.free_text(20)),
        SourceColumn("city", rules.free_text(100)),
        SourceColumn("state", rules.free_text(100)),
        SourceColumn("support_phone", rules.free_text()),
        SourceColumn("other_users", _users, holds=Holds.LIST),
    ),
    key=("external_tenant_id",),
    whole=_whole,
    build=_build,
)
