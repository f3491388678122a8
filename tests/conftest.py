"""Fixtures that all rooms share: sandboxes as real servers, stopped at the end whatever happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import day
from tests.support.cpu import CpuReport
from tests.support.forks import fork_server
from tests.support.postgres import Database, PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cpu-report", type=Path, metavar="FILE", help="append CPU seconds of each test and fixture to FILE"
    )


def pytest_configure(config: pytest.Config) -> None:
    day.day()  # before there are workers
    # Images of containers set it. Each of the thousand processes started here would compile every module for itself.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    path = config.getoption("--cpu-report")
    if path is not None:
        config.pluginmanager.register(CpuReport(path.resolve()))


# Files that take longest, in this order, begun first: the workers then end at about the same time.
SLOWEST = (
    "tests/simulation/test_histories.py",
    "tests/orchestration/test_nightly_postgres.py",
    "tests/test_pairs.py",
    "tests/orchestration/test_dev_end_to_end.py",
    "tests/test_interrupts.py",
    "tests/crash/test_write_points.py",
    "tests/leaks/test_leaks.py",
    "tests/orchestration/test_nightly.py",
    "tests/partners/test_one_dagster.py",
    "tests/warehouse/test_publish_killed.py",
    "tests/dbt/test_build.py",
    "tests/engines/test_equal.py",
    "tests/example/test_example.py",
    "tests/warehouse/test_release.py",
    "tests/backup/test_restore.py",
    "tests/migration/test_migrate.py",
    "tests/warehouse/test_crash.py",
    "tests/test_nights.py",
    "tests/orchestration/test_retries.py",
    "tests/dbt/test_reports.py",
    "tests/dbt/test_money.py",
    "tests/doctor/test_doctor.py",
    "tests/bi/test_browser.py",
    "tests/bi/test_pages.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first. `make test` hands out whole files, so that what a file's tests share is made once."""
    rank = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))


SMALL = {"clients": 6, "cases": 120, "transactions": 300, "seed": 7, "no_rate_limit": True}


@pytest.fixture(scope="session", autouse=True)
def _fork_server_ends_with_the_session() -> Iterator[None]:
    yield
    if fork_server.cache_info().currsize:
        fork_server().close()


@pytest.fixture
def sandbox_factory() -> Iterator[Callable[..., RunningSandbox]]:
    """`sandbox_factory(cases=…, transactions=…, clients=…, seed=…, …)` starts a sandbox; small and unlimited unless told."""
    running: list[RunningSandbox] = []

    def start(**options: object) -> RunningSandbox:
        running.append(start_sandbox(**{**SMALL, **options}))
        return running[-1]

    yield start
    for sandbox in running:
        sandbox.stop()


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    """One small sandbox for tests that only read. Do not move its world; order no faults without clearing them."""
    sandbox = start_sandbox(**SMALL)
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres of this test session's own. A test that kills it must leave it running."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[Database]:
    """An empty database on that server, owned by a role that is no superuser."""
    with postgres_server.database() as database:
        yield database


@pytest.fixture(params=["duckdb", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """A test that asks for it, or for a fixture that does, runs once per engine."""
    return str(request.param)


@pytest.fixture
def warehouse_env(engine: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The setting that puts the warehouse on that engine: an empty database, or the default file."""
    return {"DEBITURA_WAREHOUSE": request.getfixturevalue("postgres").url} if engine == "postgresql" else {}
