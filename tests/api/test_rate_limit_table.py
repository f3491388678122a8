"""The counts of one key in a Postgres warehouse, where several machines share them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from debitura_pipeline.api.connect import Runtime, open_rate_limiter, read_rate_limit_usage
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.errors import RateLimitExhausted
from debitura_pipeline.settings import Endpoint, Secret, Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.postgres import Database

URL = "https://referral-api.debitura.com"
NOON = datetime(2026, 4, 1, 12, 5, tzinfo=UTC)


def machine(folder: Path, database: Database, **env: str) -> Settings:
    """A machine: a data directory of its own, and the warehouse of all."""
    folder.mkdir()
    return load_settings(
        {
            "DEBITURA_ENVIRONMENT": "production",
            "DEBITURA_API_KEY": "key",
            "DEBITURA_DATA_DIR": str(folder),
            "DEBITURA_WAREHOUSE": database.url,
            **env,
        }
    )


def limiter(settings: Settings, now: datetime = NOON) -> RateLimiter:
    endpoint = Endpoint(URL, Secret("key"), None, is_simulated=False)
    return open_rate_limiter(settings, endpoint, Runtime(now=lambda: now))


def spend(allowance: RateLimiter, count: int) -> None:
    async def run() -> None:
        for _ in range(count):
            await allowance.acquire()

    asyncio.run(run())


def test_two_machines_share_the_hour_of_one_key(tmp_path: Path, postgres: Database) -> None:
    """Counted per machine, a key would be asked for twice what it grants, and answer with 429 for an hour."""
    one, two = machine(tmp_path / "one", postgres), machine(tmp_path / "two", postgres)
    with open_warehouse(one) as warehouse:
        warehouse.prepare()
    first = limiter(one)
    spend(first, 40)
    first.close()
    usage = read_rate_limit_usage(two, NOON)
    assert usage is not None and (usage.in_hour, usage.in_day) == (40, 40)
    second = limiter(two)
    second.per_hour = 50
    spend(second, 10)
    with pytest.raises(RateLimitExhausted):
        spend(second, 1)
    second.close()
    assert limiter(one).remaining().hour == first.per_hour - 50
    assert read_rate_limit_usage(one, NOON + timedelta(hours=1)).in_hour == 0  # type: ignore[union-attr]
    assert not list(tmp_path.glob("*/budget-*"))
    with open_warehouse(one, read_only=True) as warehouse:
        (host, counts), *more = warehouse.rows("SELECT api_host, counts FROM ops.rate_limits")
    assert host == "referral-api.debitura.com" and "key" not in counts and not more


def test_a_killed_process_leaves_its_reservation_and_the_rest_counts_on(tmp_path: Path, postgres: Database) -> None:
    settings = machine(tmp_path / "one", postgres, DEBITURA_SCHEMA_PREFIX="deb_")
    with open_warehouse(settings) as warehouse:
        warehouse.prepare()
    spend(limiter(settings), 5)  # never closed
    usage = read_rate_limit_usage(settings, NOON)
    assert usage is not None and usage.in_hour >= 5, "requests that were sent are counted"


def test_without_table_or_server_a_process_counts_on_in_memory(tmp_path: Path, postgres: Database) -> None:
    """The first run opens its client before it makes the tables."""
    settings = machine(tmp_path / "one", postgres)
    allowance = limiter(settings)
    spend(allowance, 3)
    assert read_rate_limit_usage(settings, NOON) is None
    with open_warehouse(settings) as warehouse:
        warehouse.prepare()
    allowance.close()
    usage = read_rate_limit_usage(settings, NOON)
    assert usage is not None and usage.in_hour == 3, "what was counted before the table was there is added to it"
    lost = machine(tmp_path / "lost", Database("x", "postgresql://u:p@127.0.0.1:9/x", ""))
    spend(limiter(lost), 3)
    assert read_rate_limit_usage(lost, NOON) is None
