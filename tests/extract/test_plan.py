"""What a sync reads depends on the state of the warehouse."""

from __future__ import annotations

import pytest

from debitura_pipeline.extract.plan import SMALL_REQUESTS, KnownState, choose_plan
from debitura_pipeline.extract.windows import Slice, Window

ALL = Slice(Window(None, None))
LARGE = SMALL_REQUESTS * 100 + 1


@pytest.mark.parametrize(
    ("resource", "rows", "full", "mode", "requests"),
    [
        ("cases", 0, False, "full", 1),
        ("cases", 1, False, "small", 1),
        ("cases", 101, False, "small", 2),
        ("cases", 101, True, "full", 2),
        ("cases", LARGE - 101, False, "small", SMALL_REQUESTS - 1),
        ("cases", LARGE, False, "nightly", SMALL_REQUESTS + 1),
        ("transactions", LARGE, False, "nightly", SMALL_REQUESTS + 1),
        ("transactions", LARGE, True, "full", SMALL_REQUESTS + 1),
        ("clients", LARGE, False, "small", SMALL_REQUESTS + 1),
    ],
)
def test_everything_is_read_if_that_is_cheap_or_requested(
    resource: str, rows: int, full: bool, mode: str, requests: int
) -> None:
    found = choose_plan(resource, KnownState(rows), full=full)
    assert (found.mode, found.requests, found.whole, found.slices) == (mode, requests, ALL, (ALL,))


def test_the_caller_sets_the_limit_of_small() -> None:
    assert choose_plan("cases", KnownState(101), small_requests=2).mode == "nightly"
    assert choose_plan("cases", KnownState(100), small_requests=2).mode == "small"


def test_each_tenant_is_a_slice_however_large_the_listing() -> None:
    found = choose_plan("cases", KnownState(LARGE), tenants=["a", "b & c"])
    assert found.mode == "client"
    assert [part.filters for part in found.slices] == [(("ExternalTenantId", "a"),), (("ExternalTenantId", "b & c"),)]
    assert {part.window for part in found.slices} == {Window(None, None)}
