"""The protocol of submission, explored exhaustively: runs, crashes, lost, late and repeated answers, changes of the source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from debitura_pipeline.submission import protocol
from tests.submission.model import KEYS, Broken, Case, Model, World, explore

SUFFICIENT = (frozenset({"A1"}), frozenset({"A2", "A3"}), frozenset({"A4"}))


def beginnings() -> Iterator[World]:
    """Nothing there; a case filed by hand that agrees, or not; a client that has papers to sign."""
    nothing = World()
    yield nothing
    yield replace(nothing, cases=(Case(False, 0, -1),))
    yield replace(nothing, cases=(Case(False, 1, -1),))
    yield replace(nothing, is_refusing=True)


@pytest.fixture(autouse=True)
def short_keys(monkeypatch):
    monkeypatch.setattr(protocol, "KEY_LIFETIME", timedelta(minutes=KEYS))
    monkeypatch.setattr(protocol, "RESEND_WITHIN", timedelta(minutes=KEYS - 5))


@pytest.mark.parametrize("holds", SUFFICIENT, ids=lambda holds: "+".join(sorted(holds)))
def test_never_two_cases(holds):
    t = time.time()
    states, runs = explore(Model(holds), beginnings())
    print(len(states), runs, time.time() - t)
