"""What a partner may be called: the name is a folder's, a part of schema names, and an option's value."""

from __future__ import annotations

import re

from debitura_pipeline.settings.declaration import Given, ValueReader

ACCEPTS = "lower-case letters, digits, - and _, a letter first, at most 40"
# Folders that the data directory of a single partner has.
RESERVED = frozenset(
    (
        "aside",
        "dagster",
        "incidents",
        "landing",
        "logs",
        "metrics",
        "published",
        "parts",
        "reports",
        "sandbox",
        "tmp",
        "webhooks",
    )
)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def fault_of(name: str) -> str | None:
    """What is wrong with a name; None if nothing is."""
    if _NAME.fullmatch(name) is None:
        return f"is not a partner's name, which has {ACCEPTS}"
    return "is the name of a folder in every data directory" if name in RESERVED else None


def partner_name(given: Given) -> str:
    """A name that can be a partner's."""
    fault = fault_of(given.text)
    if fault is not None:
        raise given.wrong(fault)
    return given.text


PARTNER_NAME = ValueReader(ACCEPTS, partner_name)
