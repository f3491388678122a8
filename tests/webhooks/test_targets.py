"""What is read for which events: decided without anything read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from debitura_pipeline.sync import TargetedSync, Targets
from debitura_pipeline.webhooks.events import (
    LEFT_TO_NIGHTLY,
    LEFT_TO_SYNC,
    NOT_LISTED,
    NOT_LOADED,
    NOTHING,
    REFRESHED,
    REFUSED,
    PendingEvent,
)
from debitura_pipeline.webhooks.targets import (
    MAX_CASES,
    MAX_CLIENTS,
    MAX_TRANSACTIONS,
    KnownRows,
    choose_targets,
    outcomes_of,
)

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


def test_outcomes_say_which_transactions_were_not_read() -> None:
    """The case is fresh, and its client's transactions are not: `refreshed` would hide that."""
    names = [f"t{number:02}" for number in range(MAX_CLIENTS + 1)]
    known = KnownRows(
        clients={*names, "big"}, tenant_of_case={"cb": "big", "orphan": None} | {f"c-{name}": name for name in names},
        transactions={"big": MAX_TRANSACTIONS + 1}, cases=100_000,
    )  # fmt: skip
    first = [event("case.updated", name, f"c-{name}", key=name) for name in names]
    others = [
        event("case.closed", "big", "cb", key="big"), event("case.created", "big", "cb", key="created"),
        event("case.updated", None, "orphan", key="orphan"),
    ]  # fmt: skip
    events = [*first, *others]
    choice = choose_targets(events, known)
    found = TargetedSync(listed=frozenset(known.tenant_of_case))
    outcomes = outcomes_of(events, known, choice, found, NOW)
    left = {name for name, outcome in outcomes.items() if outcome == LEFT_TO_NIGHTLY}
    assert left == {names[-1], "big", "orphan"}
    assert {outcome for name, outcome in outcomes.items() if name not in left} == {REFRESHED}
    listed = TargetedSync(listed=found.listed, failed={names[1]: "no"})
    assert outcomes_of(first[:2], known, choice, listed, NOW) == {names[0]: REFRESHED, names[1]: REFUSED}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"deferred": frozenset({"transactions"})}, LEFT_TO_SYNC), ({"refused": {"transactions": "no"}}, REFUSED),
    ]  # fmt: skip
    for change, outcome in changes:
        assert outcomes_of(first[:1], known, choice, replace(found, **change), NOW) == {names[0]: outcome}
