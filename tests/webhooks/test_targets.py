"""What is read for which events: decided without anything read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from debitura_pipeline.sync import TargetedSync, Targets
from debitura_pipeline.webhooks.events import (
    LEFT_TO_SYNC,
    NOT_LISTED,
    NOT_LOADED,
    NOTHING,
    REFRESHED,
    REFUSED,
    PendingEvent,
)
from debitura_pipeline.webhooks.targets import MAX_CASES, MAX_TRANSACTIONS, KnownRows, choose_targets, outcomes_of

NOW = datetime(2026, 5, 4, tzinfo=UTC)
KNOWN = KnownRows(
    clients={"a", "big"}, tenant_of_case={"c1": "a", "c2": "big"},
    transactions={"a": MAX_TRANSACTIONS, "big": MAX_TRANSACTIONS + 1}, cases=100_000,
)  # fmt: skip


def event(
    name: str, tenant: str | None = None, case: str | None = None, minutes: int = 0, key: str = ""
) -> PendingEvent:
    return PendingEvent(key or f"{name}/{tenant}/{case}", name, tenant, case, NOW - timedelta(minutes=minutes))


def test_each_thing_is_read_once_whatever_the_order_and_the_repeats() -> None:
    events = [
        event("case.updated", "a", "c1"),
        event("case.closed", "a", "c1"),
        event("case.created", "a", "new"),
        event("case.closed", None, "c2"),
        event("client.linked", "a"),
        event("client.onboarding.poa_signed", "a"),
        event("client.linked", "unknown"),
        event("case.created", "unknown", "elsewhere"),
        event("something.new", "a"),
        event("something.else"),
    ]
    wanted = Targets(cases=("c1", "new", "c2"), transactions=("a",), clients=("a",))
    assert choose_targets(events, KNOWN).targets == wanted
    backwards = choose_targets(events[::-1], KNOWN).targets
    assert {name: set(keys) for name, keys in vars(backwards).items()} == {
        name: set(keys) for name, keys in vars(wanted).items()
    }


def test_the_listing_is_read_where_that_takes_fewer_requests() -> None:
    many = [event("case.updated", "a", f"case-{number}") for number in range(30)]
    small, large = KnownRows(clients={"a"}, cases=5_000), KnownRows(clients={"a"}, cases=50_000)
    assert choose_targets(many, small).is_listing_read
    assert choose_targets(many, small).targets.cases == ()
    assert len(choose_targets(many, large).targets.cases) == 30
    assert len(choose_targets(many[:20], KnownRows(clients={"a"}, cases=10)).targets.cases) == 20
    flood = [event("case.updated", "a", f"case-{number}") for number in range(MAX_CASES + 1)]
    assert choose_targets(flood, KnownRows(clients={"a"}, cases=10_000_000)).is_listing_read


def test_outcomes_say_what_became_of_each_event() -> None:
    events = {
        "read": event("case.updated", "a", "c1", key="read"),
        "late": event("case.created", "a", "new", minutes=9, key="late"),
        "never": event("case.created", "a", "new", minutes=11, key="never"),
        "client": event("client.linked", "a", key="client"),
        "unknown": event("client.linked", "unknown", key="unknown"),
        "nothing": event("something", key="nothing"),
    }
    choice = choose_targets(list(events.values()), KNOWN)
    found = TargetedSync(listed=frozenset({"c1"}))
    assert outcomes_of(list(events.values()), KNOWN, choice, found, NOW) == {
        "read": REFRESHED, "never": NOT_LISTED, "client": REFRESHED, "unknown": NOT_LOADED, "nothing": NOTHING,
    }  # fmt: skip
    pair = [events["read"], events["client"]]
    for other, outcome in (
        (TargetedSync(refused={"cases": "no"}, failed={"a": "no"}), {"read": REFUSED, "client": REFUSED}),
        (TargetedSync(refused_cases=frozenset({"c1"})), {"read": REFUSED, "client": REFRESHED}),
        (TargetedSync(deferred=frozenset({"cases", "clients"})), {"read": LEFT_TO_SYNC, "client": LEFT_TO_SYNC}),
    ):
        assert outcomes_of(pair, KNOWN, choice, other, NOW) == outcome
