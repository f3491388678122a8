"""The three rate limits, on a clock that the test holds."""

from __future__ import annotations

from debitura_sandbox.api.context import AppOptions
from debitura_sandbox.api.rate_limits import DAY_S, HOUR_S, RateLimits
from tests.sandbox.local import LocalSandbox, exact

NOON = 1_767_614_400.0  # on the hour


def test_minute_slides_in_segments_of_ten_seconds():
    limits = RateLimits(per_minute=100)
    assert all(limits.take("key", NOON + 5) is None for _ in range(60))
    assert all(limits.take("key", NOON + 25) is None for _ in range(40))
    assert limits.take("key", NOON + 25) == 35
    assert limits.take("key", NOON + 59.5) == 0.5
    assert all(limits.take("key", NOON + 60) is None for _ in range(60))
    assert limits.take("key", NOON + 61) == 19


def test_hour_is_fixed_on_the_hour():
    limits = RateLimits(per_minute=10_000, per_hour=50)
    late = NOON + HOUR_S - 90
    assert all(limits.take("key", late) is None for _ in range(50))
    assert limits.take("key", late) == 90
    assert limits.take("key", NOON + HOUR_S) is None


def test_day_runs_from_the_first_request_of_the_key():
    limits = RateLimits(per_minute=10_000, per_hour=10_000, per_day=30)
    first = NOON + 1_234
    assert all(limits.take("key", first + n) is None for n in range(30))
    assert limits.take("key", first + 10_000) == DAY_S - 10_000
    assert limits.take("other", first + 10_000) is None
    assert limits.take("key", first + DAY_S) is None


def test_refused_requests_do_not_count():
    limits = RateLimits(per_minute=10)
    for _ in range(500):
        limits.take("key", NOON)
    assert limits.take("key", NOON + 60) is None


def test_refusal_says_the_wait_in_the_body_only():
    now = [NOON]
    sandbox = LocalSandbox(app=AppOptions(), wall=lambda: now[0])
    assert all(sandbox.call("GET", "/me").status == 200 for _ in range(2_000))
    refused = sandbox.call("GET", "/me")
    assert refused.status == 429
    assert exact(refused.body)["error"] == "rate_limit_exceeded"
    assert exact(refused.body)["retryAfter"] == 60
    assert refused.headers == {}
    now[0] += 60
    assert sandbox.call("GET", "/me").status == 200


def test_strangers_share_one_allowance_and_the_admin_door_has_none():
    sandbox = LocalSandbox(app=AppOptions(), wall=lambda: NOON)
    answers = [sandbox.call("GET", "/me", xapikey=f"guess-{n}").status for n in range(2_001)]
    assert answers[:2_000] == [401] * 2_000
    assert answers[2_000] == 429
    assert sandbox.call("GET", "/me").status == 200
    assert all(sandbox.call("GET", "/sandbox/health").status == 200 for _ in range(2_100))
