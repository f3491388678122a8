"""One case of a setup that is wrong: how it is made, and what `debitura doctor` has to say of it.

Belongs here: the record and the place that a case is played in. Does not: the cases (`settings_cases.py` and its neighbours),
playing them (`test_doctor.py`), the page of them (`write.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.postgres import PostgresServer
from tests.support.sandbox import RunningSandbox


@dataclass
class Scene:
    """A folder of the case's own and what it may use. `env`: the settings; a case adds what is wrong with them."""

    folder: Path
    sandbox: RunningSandbox
    synced: Path  # a data directory after a sync against the sandbox; to be copied
    server: PostgresServer
    stack: ExitStack
    env: dict[str, str] = field(default_factory=dict)
    dotenv: bytes | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def sandbox_env(self) -> dict[str, str]:
        """Settings that point at the sandbox."""
        return {
            "DEBITURA_API_URL": self.sandbox.url,
            "DEBITURA_API_KEY": self.sandbox.key,
            "DEBITURA_CUSTOMER_API_URL": self.sandbox.customer_url,
        }


@dataclass(frozen=True)
class Case:
    """`name`: what is wrong, as the page of cases says it. `make`: makes it so. `line`: which line says FAIL; empty: the settings
    are refused. `seen`, `cure`: what its two parts must say (regular expressions). `words`: what the page shows."""

    name: str
    make: Callable[[Scene], None]
    line: str
    seen: str
    cure: str
    is_ok: bool = False  # told, and no fault


def env(**values: str) -> Callable[[Scene], None]:
    """A case that is made by settings alone."""
    return lambda scene: scene.env.update(values)


def at_the_sandbox(**values: str) -> Callable[[Scene], None]:
    """The same, beside settings that point at the sandbox."""
    return lambda scene: scene.env.update({**scene.sandbox_env(), **values})
