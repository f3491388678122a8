"""The protocol of submission, explored exhaustively: runs, crashes, lost, late and repeated answers, changes of the source.

`make simulate-submissions` explores the larger model: longer keys, and one change of the source or of the client's papers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from debitura_pipeline.submission import decision, steps
from debitura_pipeline.submission.decision import Send, Stop
from debitura_pipeline.submission.steps import Post, Store
from tests.submission.model import Broken, Case, Model, World, ends_well, explore

SUFFICIENT = (frozenset({"A1"}), frozenset({"A2", "A3"}), frozenset({"A4"}))
IS_LARGE = os.environ.get("LARGE_MODEL") == "1"
KEYS, CHANGES = (45, 1) if IS_LARGE else (30, 0)
NOTHING = World()
BEGINNINGS = (
    NOTHING,
    replace(NOTHING, cases=(Case(False, 0, -1),)),  # filed by hand, and it agrees
    replace(NOTHING, cases=(Case(False, 1, -1),)),  # filed by hand, and it differs
    replace(NOTHING, is_refusing=True),  # the client has papers to sign
)


@pytest.fixture(autouse=True)
def _short_lifetimes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(decision, "KEY_LIFETIME", timedelta(minutes=KEYS))
    monkeypatch.setattr(decision, "RESEND_WITHIN", timedelta(minutes=KEYS - 5))
    yield


@pytest.mark.parametrize("holds", SUFFICIENT, ids=lambda holds: "+".join(sorted(holds)))
def test_no_claim_becomes_two_cases_and_none_is_forgotten(holds: frozenset[str]) -> None:
    model = Model(holds, KEYS)
    states, runs = explore(model, BEGINNINGS, changes=CHANGES)
    assert runs > len(states) > 100
    forgotten = [state for state in states if not ends_well(model, state)]
    assert not forgotten, forgotten[0]


@pytest.mark.parametrize("holds", [frozenset(), frozenset({"A2"}), frozenset({"A3"})], ids=["none", "A2", "A3"])
def test_less_than_that_is_not_enough(holds: frozenset[str]) -> None:
    """The model is no easier on the protocol than the world is."""
    with pytest.raises(Broken, match="two cases"):
        explore(Model(holds, KEYS), BEGINNINGS)


def never_waits(*_: Any, **__: Any) -> timedelta:
    return timedelta(days=1)


def new_key_at_once(record: Any, evidence: Any) -> Any:
    return Send(record.generation + 1)


def post_before_the_intent_is_stored(*arguments: Any, **options: Any) -> Any:
    """Swaps each intent with the request that it announces."""
    inner, reply = STEPS(*arguments, **options), None
    held = None
    while True:
        try:
            action = inner.send(reply)
        except StopIteration as ended:
            return ended.value
        if isinstance(action, Store) and action.record.is_in_doubt and held is None:
            held, reply = action, None
            continue
        reply = yield action
        if isinstance(action, Post) and held is not None:
            yield held
            held = None


STEPS = steps.submit
BREAKAGES: dict[str, tuple[str, dict[str, Any], Callable[..., Any] | None]] = {
    "repeats at once": ("A2 A3", {"QUIET": timedelta(0)}, None),
    "repeats after the key's lifetime": ("A1", {"RESEND_WITHIN": timedelta(days=1)}, None),
    "takes a new key while in doubt": ("A2 A3", {"_next_generation": new_key_at_once}, None),
    "believes in quiet": ("A2 A3", {"_quiet": never_waits}, None),
    "does not look before the first request": ("A2 A3", {"_found": lambda record, *_: Send(record.generation)}, None),
    "stores the intent after the request": ("A2 A3", {}, post_before_the_intent_is_stored),
    "gives up a claim in doubt": ("A1", {"_in_doubt": lambda *_: Stop()}, None),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_model_notices_a_broken_protocol(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    holds, changes, submit = BREAKAGES[breakage]
    for name, value in changes.items():
        monkeypatch.setattr(decision, name, value)
    model = Model(frozenset(holds.split()), KEYS, submit or STEPS)
    try:
        states, _ = explore(model, BEGINNINGS)
    except Broken:
        return
    assert not all(ends_well(model, state) for state in states)
