"""Switches for answers that the API does not document, so that tests can play each of them.

Options of `serve` set them at the start; the admin route `undocumented` changes them while the server runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

FieldErrorShape = Literal["fields", "structured", "problem"]
Clock = Literal["real", "simulated"]
FailuresCount = Literal["delivery", "subscription"]
CallsCount = Literal["no", "token", "key"]
DAY_S = 86_400.0


@dataclass(frozen=True)
class Undocumented:
    """How the API answers where its documents are silent. Times are simulated seconds."""

    key_life_s: float | None = DAY_S  # an idempotency key is honoured so long; 0: not at all; None: for ever
    replays_refusals: bool = True  # a 422 under a key is replayed, too
    refuses_duplicates: bool = True  # a second case of a client with the same reference is refused
    duplicate_type: str = "DuplicateReference"  # the error type of that refusal
    duplicates_seen_late: bool = False  # and a duplicate is refused only once the first case appears in lookups
    duplicates_ignore_case: bool = False  # a reference is taken, too, if it differs from another in letter case alone
    lookup_delay_s: float = 0.0  # a new case appears in lookups and listings so much later
    tokens_while_resigning: bool = False  # a client that must sign again still gets tokens
    link_life_s: float | None = 7 * DAY_S  # of signing links, and of a known client's time to approve; None: for ever
    linked_elsewhere_type: str = (
        "ClientAlreadyLinkedToAnotherPartner"  # or AlreadyLinkedToAnotherPartner, as in older texts
    )
    wraps_conflicts: bool = False  # a 409 has its content in `conflictResponse`, as in older texts
    field_errors: FieldErrorShape = (
        "fields"  # shape of a 400: a list per field, the structured error, or ProblemDetails
    )
    customer_calls_count: CallsCount = (
        "no"  # whether calls of the Customer API count towards rate limits: no, by token, by key
    )
    lists_test_cases: bool = True  # test cases appear in the Referral listing
    delivery_clock: Clock = "real"  # by which webhooks are due and stamped: real or simulated
    delivery_spread_s: float = 0.0  # a delivery is late by up to so much, by chance: so their order changes
    delivery_repeats: int = 0  # an event is delivered so often again after it was received
    retries_keep_stamp: bool = False  # a retry carries the stamp and signature of the first attempt
    failures_count: FailuresCount = (
        "delivery"  # eight failures switch off: of one delivery, or in a row of a subscription
    )

    @classmethod
    def read(cls, settings: Iterable[str]) -> Undocumented:
        """Switches from texts like `key_life_s=0` or `refuses_duplicates=false`. Raises ValueError."""
        pairs = (setting.partition("=") for setting in settings)
        return cls().changed({name: _read(text) for name, _, text in pairs})

    def changed(self, values: dict[str, Any]) -> Undocumented:
        """These switches with some set. Raises ValueError for unknown names and values of the wrong type."""
        known = {field.name for field in fields(self)}
        if not values.keys() <= known:
            raise ValueError(f"switches are {', '.join(sorted(known))}")
        return replace(self, **{name: _checked(name, value) for name, value in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _checked(name: str, value: Any) -> Any:
    kind = get_type_hints(Undocumented)[name]
    if kind == float | None and value is None:
        return None
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if kind in (float, float | None) and isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str) and (kind is str or value in get_args(kind)):
        return value
    raise ValueError(f"{name} cannot be {value!r}")
