"""The whole cluster: simulated APIs, Postgres, Redis, code server, daemon and workers; and one machine beside it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from debitura_pipeline.settings import Settings, load_partner
from debitura_pipeline.settings.partners_file import find_partners
from tests.cluster.hosts import Host, may_separate
from tests.cluster.processes import Keeper, Program
from tests.cluster.submit import NIGHT_TAG
from tests.support.command import COMMAND, environment
from tests.support.postgres import PostgresServer, _free_port
from tests.support.sandbox import ROOT, RunningSandbox, start_sandbox

UP_WITHIN_S = 120.0
CODE_SERVER, DAEMON, REDIS, POSTGRES = "code server", "daemon", "Redis", "Postgres"
TABLE = """\
[{name}]
api_url = "{url}"
customer_api_url = "{customer}"
api_key_file = "{folder}/{name}.key"
privacy_key_file = "{folder}/{name}.privacy"
warehouse_file = "{folder}/{name}.{kind}"
schedule = "{schedule}"
"""


class Cluster:
    """`start` and `stop`. Partners are called p01, p02, …; `cluster` and `alone` are the two places of their warehouses."""

    def __init__(self, folder: Path, partners: int, cases: int, workers: int, seed: int) -> None:
        self.folder, self.keeper, self._stack = folder, Keeper(), ExitStack()
        self.names = [f"p{number:02}" for number in range(1, partners + 1)]
        self._cases, self._workers, self._seed = cases, workers, seed
        self.logs, self.socket = folder / "logs", str(folder / "code-server")
        self.logs.mkdir(parents=True)
        self.sandboxes: list[RunningSandbox] = []
        self.is_separate = may_separate()

    def start(self) -> None:
        """All of it; Postgres and Redis listen on this machine's loopback address."""
        self.postgres = PostgresServer(max_connections="300")
        self._stack.callback(self.postgres.remove)
        self._dagster = self._stack.enter_context(self.postgres.database())
        self.redis_port, self._redis_password = _free_port(), secrets.token_urlsafe(12)
        self._write_partners()
        ports = [self.postgres.port, self.redis_port, *(int(box.url.rsplit(":", 1)[1]) for box in self.sandboxes)]
        self.broker = f"redis://:{quote(self._redis_password)}@127.0.0.1:{self.redis_port}/0"
        self.keeper.start(Program(REDIS, self._redis(), dict(os.environ), self.logs / "redis.log"))
        env = self.env("cluster", self.folder / "dagster")
        subprocess.run(
            [sys.executable, "-m", "debitura_pipeline.orchestration.instance"], cwd=ROOT, env=env, check=True
        )
        dagster = [sys.executable, "-m"]
        server = ["dagster", "api", "grpc", "--socket", self.socket, "--module-name", "debitura_pipeline.definitions"]
        server += ["--working-directory", str(ROOT), "--location-name", "debitura", "--log-level", "warning"]
        forget = Path(self.socket)
        self._start(CODE_SERVER, [*dagster, *server], env, before=lambda: forget.unlink(missing_ok=True))
        until(forget.exists, UP_WITHIN_S, "code server")
        (self.folder / "workspace.yaml").write_text(
            f"load_from:\n  - grpc_server:\n      socket: {self.socket}\n      location_name: debitura\n"
        )
        daemon = [
            "dagster._daemon",
            "run",
            "--workspace",
            str(self.folder / "workspace.yaml"),
            "--log-level",
            "warning",
        ]
        self._start(DAEMON, [*dagster, *daemon], env)
        for number in range(1, self._workers + 1):
            host = Host(number, ports, self.logs, is_separate=self.is_separate)
            self._stack.callback(host.remove)
            self._start(host.name, host.command("worker"), self.env("cluster", self.folder / host.name))
        logs = [self.logs / f"worker-{number}.log" for number in range(1, self._workers + 1)]
        until(lambda: all("Taking runs" in log.read_text() for log in logs), UP_WITHIN_S, "workers")
        self.keeper.watch()

    def stop(self) -> None:
        self.keeper.stop()
        for sandbox in self.sandboxes:
            sandbox.stop()
        self._stack.close()

    @property
    def workers(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, self._workers + 1)]

    def env(self, kind: str, home: Path) -> dict[str, str]:
        """Of the cluster's processes, or of one machine's commands, which know of no queue."""
        found = {
            "DEBITURA_PARTNERS": str(self.folder / f"{kind}.toml"),
            "DEBITURA_DATA_DIR": str(self.folder / kind),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        if kind == "cluster":
            found |= {"DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_URL": self._dagster.url}
            found |= {"DEBITURA_CELERY_BROKER": self.broker}
        return environment(found)

    def settings(self, kind: str, name: str) -> Settings:
        env = self.env(kind, self.folder / "dagster")
        partners = find_partners(env, ROOT)
        assert partners is not None
        return load_partner(partners, name, env)

    def submit(self, night: int) -> None:
        """Request a night of each partner."""
        command = [sys.executable, "-m", "tests.cluster.submit", self.socket, str(night)]
        subprocess.run(command, cwd=ROOT, env=self.env("cluster", self.folder / "dagster"), check=True)

    def alone(self, name: str) -> bool:
        """A partner's night as a command, on one machine."""
        command = [sys.executable, "-c", COMMAND, "--quiet", "--partner", name, "nightly"]
        with (self.logs / "alone.log").open("ab") as log:
            done = subprocess.run(command, cwd=ROOT, env=self.env("alone", ROOT), stdout=log, stderr=log, check=False)
        return done.returncode == 0

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Of Dagster's database; waits for a Postgres that is being started again."""
        until_at = time.monotonic() + UP_WITHIN_S
        while True:
            try:
                with psycopg.connect(self._dagster.url, autocommit=True, connect_timeout=5) as connection:
                    return connection.execute(sql.encode(), values).fetchall()
            except psycopg.Error:
                if time.monotonic() > until_at:
                    raise
                time.sleep(1)

    def done(self, night: int) -> set[str]:
        """The partners whose night is done."""
        return {name for (name,) in self.ask(_DONE, NIGHT_TAG, str(night))}

    def active(self) -> int:
        """Runs that are queued or on."""
        return int(self.ask(_ACTIVE)[0][0])

    def runs(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1")

    def slots(self) -> int:
        """Pool slots that a run holds."""
        return int(self.ask("SELECT count(*) FROM concurrency_slots WHERE run_id IS NOT NULL AND NOT deleted")[0][0])

    def _start(self, name: str, command: list[str], env: dict[str, str], **more: Any) -> None:
        self.keeper.start(Program(name, command, env, self.logs / f"{name.replace(' ', '-')}.log", **more))

    def _redis(self) -> list[str]:
        config, data = self.folder / "redis.conf", self.folder / "redis"
        data.mkdir()
        config.touch(mode=0o600)
        config.write_text(
            f"port {self.redis_port}\nbind 127.0.0.1\nrequirepass {self._redis_password}\nappendonly yes\ndir {data}\n"
        )
        return ["redis-server", str(config)]

    def _write_partners(self) -> None:
        """A world each, and two warehouses in databases of their own."""
        later = (
            f"{datetime.now(UTC).minute} {(datetime.now(UTC).hour + 12) % 24} * * *"  # nobody's night begins by itself
        )
        tables: dict[str, str] = {"cluster": "", "alone": ""}
        for number, name in enumerate(self.names):
            options = {"cases": self._cases, "transactions": 3 * self._cases, "clients": max(2, self._cases // 100)}
            key = f"key-of-{name}-{secrets.token_hex(8)}"
            box = start_sandbox(seed=self._seed + number, key=key, no_rate_limit=True, **options)
            self.sandboxes.append(box)
            box.key = key
            self._secret(f"{name}.key", key)
            self._secret(f"{name}.privacy", f"a privacy key for tests only, of {name}")
            for kind in tables:
                self._secret(f"{name}.{kind}", self._stack.enter_context(self.postgres.database()).url)
                tables[kind] += TABLE.format(
                    name=name, url=box.url, customer=box.customer_url, folder=self.folder, kind=kind, schedule=later
                )
        for kind, text in tables.items():
            (self.folder / f"{kind}.toml").write_text(text)

    def _secret(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)


def until(is_so: Any, within_s: float, what: str) -> None:
    """Wait. Raises RuntimeError."""
    give_up_at = time.monotonic() + within_s
    while True:
        with suppress(OSError):
            if is_so():
                return
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"{what}: not within {within_s:.0f} s")
        time.sleep(0.2)


_DONE = """
    SELECT DISTINCT p.value FROM runs AS r JOIN run_tags AS n ON n.run_id = r.run_id AND n.key = %s AND n.value = %s
    JOIN run_tags AS p ON p.run_id = r.run_id AND p.key = 'debitura/partner' WHERE r.status = 'SUCCESS'"""
_ACTIVE = "SELECT count(*) FROM runs WHERE status IN ('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')"
