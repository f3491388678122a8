"""The budget of an apply: all its requests count in the data directory's rate limit, and writes take a share of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from debitura_pipeline.api.connect import Runtime, open_rate_limiter
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.api.write_budget import WriteBudget
from debitura_pipeline.settings import Endpoint, Settings


@contextmanager
def open_write_budget(
    settings: Settings, endpoint: Endpoint, runtime: Runtime
) -> Iterator[tuple[RateLimiter, WriteBudget]]:
    """The rate limit, and the part of it that writes may use. Closed at the end."""
    limiter = open_rate_limiter(settings, endpoint, runtime)
    try:
        yield limiter, WriteBudget(limiter, clock=runtime.now, sleep=runtime.sleep)
    finally:
        limiter.close()
