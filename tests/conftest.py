"""Fixtures that all rooms share: sandboxes as real servers, stopped at the end whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.forks import fork_server
from tests.support.postgres import Database, PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

MAKES_FOR_SEVERAL = ("module", "package")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a fixture of their module's run in one worker of `--dist loadgroup`, so that it is made once."""
    for item in items:
        shared = [name for name, scope in _scopes(item).items() if scope in MAKES_FOR_SEVERAL]
        if shared:
            params = getattr(getattr(item, "callspec", None), "params", {})
            chosen = [str(params[name]) for name in shared if name in params]
            folder = item.path.parent if "package" in _scopes(item).values() else item.path
            item.add_marker(pytest.mark.xdist_group(" ".join([str(folder.relative_to(item.config.rootpath)), *chosen])))


def _scopes(item: pytest.Item) -> dict[str, str]:
    """The scope of each fixture that the test gets, directly or through others."""
    found = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]  # pytest has no public way to ask
    return {name: definitions[-1].scope for name, definitions in found.items()}


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
