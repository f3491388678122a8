"""Build an API client from settings: its rate limiter, where its state is kept, and the clocks that tests replace."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from debitura_pipeline.api.client import MAX_TRIES, ApiClient
from debitura_pipeline.api.http import DEFAULT_TIMEOUTS, Timeouts
from debitura_pipeline.api.outage import OutagePolicy
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.api.rate_limit_state import (
    RateLimitFile,
    RateLimitState,
    RateLimitStore,
    read_rate_limit_state,
)
from debitura_pipeline.settings import Endpoint, Settings

if TYPE_CHECKING:
    from debitura_pipeline.api.rate_limit_table import RateLimitTable


@dataclass(frozen=True)
class Runtime:
    """Clocks, sleep, randomness, timeouts and number of attempts. Tests replace them."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = SystemRandom().random
    id_suffix: Callable[[], str] = lambda: secrets.token_hex(3)
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    tries: int = MAX_TRIES


def open_client(
    settings: Settings, endpoint: Endpoint, runtime: Runtime, outages: OutagePolicy | None = None
) -> ApiClient:
    """Create the client for `endpoint`, with its rate limiter. Without `outages`, outages are not waited for."""
    return ApiClient(
        endpoint.base_url,
        endpoint.api_key,
        open_rate_limiter(settings, endpoint, runtime),
        settings.concurrency.start,
        most=settings.concurrency.maximum,
        clock=runtime.now,
        sleep=runtime.sleep,
        random=runtime.random,
        timeouts=runtime.timeouts,
        tries=runtime.tries,
        network=settings.network,
        outages=outages,
    )


def open_rate_limiter(settings: Settings, endpoint: Endpoint, runtime: Runtime) -> RateLimiter:
    """Create the rate limiter of `endpoint`. Its state is stored in a Postgres warehouse, else in the data directory; not for
    the sandbox, which forgets its counts too, and not before the first run has created the directory."""
    is_kept = not endpoint.is_simulated and settings.data_dir.exists()
    store = _state_store(settings, endpoint.base_url) if is_kept else None
    return RateLimiter(settings.requests_per_minute, clock=runtime.now, sleep=runtime.sleep, store=store)


@dataclass(frozen=True)
class RateLimitUsage:
    """Requests sent in the API's current hour and day by all processes that share the state, and the limits."""

    in_hour: int
    in_day: int
    per_hour: int
    per_day: int


def read_rate_limit_usage(settings: Settings, now: datetime) -> RateLimitUsage | None:
    """Read the requests sent so far; None for the sandbox, and if nothing was sent yet."""
    state = None if settings.api_url is None else _state_of(settings, settings.api_url, now)
    if state is None:
        return None
    granted = RateLimiter(settings.requests_per_minute, clock=lambda: now, sleep=asyncio.sleep)
    return RateLimitUsage(state.in_hour, state.in_day, granted.per_hour, granted.per_day)


def _state_of(settings: Settings, base_url: str, now: datetime) -> RateLimitState | None:
    if settings.warehouse.dsn is None:
        return read_rate_limit_state(_state_file(settings, base_url), now.timestamp())
    state = _state_table(settings, base_url).find()
    if state is not None:
        state.roll(now.timestamp())
    return state


def _state_store(settings: Settings, base_url: str) -> RateLimitStore:
    if settings.warehouse.dsn is None:
        return RateLimitFile(_state_file(settings, base_url))
    return _state_table(settings, base_url)


def _state_table(settings: Settings, base_url: str) -> RateLimitTable:
    from debitura_pipeline.api.rate_limit_table import RateLimitTable  # noqa: PLC0415 - psycopg is for Postgres alone

    return RateLimitTable(settings.warehouse, _host(base_url))


def _host(base_url: str) -> str:
    return urlsplit(base_url).hostname or "api"


def _state_file(settings: Settings, base_url: str) -> Path:
    return settings.data_dir / f"budget-{_host(base_url)}.json"
