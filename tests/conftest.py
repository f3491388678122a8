"""Fixtures that all rooms share: sandboxes as real servers, stopped at the end whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support import command
from tests.support.postgres import Database, PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

SMALL = {"clients": 6, "cases": 120, "transactions": 300, "seed": 7, "no_rate_limit": True}


@pytest.fixture(scope="session", autouse=True)
def _fork_server_ends_with_the_session() -> Iterator[None]:
    yield
    if command.fork_server.cache_info().currsize:
        command.fork_server().close()


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
