"""SIGKILL during `clients apply`: `python -m tests.crash.registering [--kills 50]`, over both engines.

At a write point (each statement, each commit, before and after each request) or at a random moment. The rerun must end as an
undisturbed apply does, and the sandbox must not have seen one tenant with two bodies.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.crash.forks import KILLED, CommandForks
from tests.registration.partner import Partner
from tests.source.rows import client_row
from tests.support.postgres import PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

CLIENTS = 4
APPLY = ("clients", "apply")
LATEST_S = 1.5  # a random kill comes at most that long after the start
_numbers = count(1)


@dataclass(frozen=True)
class Kill:
    """At write point `point`, or `after_s` seconds late."""

    point: int = 0
    after_s: float | None = None


class Registering:
    """One partner per kill, with clients that no other has."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, forks: CommandForks) -> None:
        self.folder, self.sandbox, self.forks = folder, sandbox, forks

    def partner(self, env: dict[str, str]) -> Partner:
        numbers = [next(_numbers) for _ in range(CLIENTS)]
        partner = Partner(self.folder / str(numbers[0]), self.sandbox, **env)
        partner.wants(*(client_row(number) for number in numbers))
        return partner

    def points(self, env: dict[str, str]) -> int:
        """Write points of an apply that nobody kills."""
        partner = self.partner(env)
        end = self.forks.run(partner.env, *APPLY)
        assert end.status == 0, end.said
        self._check(partner, "undisturbed")
        return end.points

    def kill(self, kill: Kill, env: dict[str, str]) -> None:
        partner = self.partner(env)
        end = self.forks.run(partner.env, *APPLY, deadly=kill.point, after_s=kill.after_s)
        assert end.status == KILLED or kill.after_s is not None, (kill, end)
        end = self.forks.run(partner.env, *APPLY)
        assert end.status == 0, (kill, end.said)
        self._check(partner, str(kill))
        again = self.forks.run(partner.env, *APPLY)
        assert again.status == 0 and "0 sent." in again.said, (kill, again.said)

    def _check(self, partner: Partner, what: str) -> None:
        tenants = {line.partition(",")[0] for line in partner.roster.read_text().splitlines()[1:]}
        assert partner.states() == dict.fromkeys(tenants, "pending_signature"), what
        bodies = {tenant: found for tenant, found in partner.bodies().items() if tenant in tenants}
        assert bodies.keys() == tenants, what
        assert all(len(found) == 1 for found in bodies.values()), f"{what}: one tenant, two bodies"
        records = partner.rows(
            "SELECT count(*), count(creditor_id), min(attempts), max(attempts) FROM ops.registrations"
        )
        assert records[0][:3] == (CLIENTS, CLIENTS, 1) and records[0][3] <= 2, (what, records)


@contextmanager
def registering(folder: Path) -> Iterator[Registering]:
    sandbox = start_sandbox(clients=1, cases=1, transactions=1, seed=3, no_rate_limit=True)
    try:
        with CommandForks() as forks:
            yield Registering(folder, sandbox, forks)
    finally:
        sandbox.stop()


def spread(points: int, kills: int) -> Sequence[Kill]:
    """Kills at write points, evenly over all of them."""
    step = max(points / kills, 1.0)
    return [Kill(point=1 + int(place * step)) for place in range(min(kills, points))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.registering")
    parser.add_argument("--kills", type=int, default=50, help="over both engines; a fifth of them at random moments")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    chance, server, done = random.Random(wanted.seed), PostgresServer(), 0
    try:
        with tempfile.TemporaryDirectory(prefix="debitura-crash-") as folder, registering(Path(folder)) as registered:
            for engine in ("duckdb", "postgresql"):
                each = wanted.kills // 2
                with _database(server, engine) as env:
                    points = registered.points(env)
                kills = [*spread(points, each - each // 5)]
                kills += [Kill(after_s=chance.uniform(0, LATEST_S)) for _ in range(each - len(kills))]
                for kill in kills:
                    with _database(server, engine) as env:
                        registered.kill(kill, env)
                    done += 1
    finally:
        server.remove()
    sys.stdout.write(f"{done} kills of `clients apply`, each rerun ended as undisturbed\n")
    return 0


@contextmanager
def _database(server: PostgresServer, engine: str) -> Iterator[dict[str, str]]:
    if engine == "duckdb":
        yield {}
        return
    with server.database() as database:
        yield {"DEBITURA_WAREHOUSE": database.url}


if __name__ == "__main__":
    sys.exit(main())
