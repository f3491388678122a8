"""A machine on which one partner is loaded again and again: Redis, workers, and a new data directory and warehouse each time."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from debitura_pipeline.first_load.plan import NUMBERS_A_PART
from debitura_pipeline.landing.landing_zone import sync_folders
from debitura_pipeline.settings import load_settings
from debitura_pipeline.sync import verify
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.command import COMMAND, environment
from tests.support.pipeline import PRIVACY_KEY
from tests.support.postgres import PostgresServer
from tests.support.sandbox import ROOT, RunningSandbox

KEYS = {"clients": "creditor_id", "cases": "case_id", "transactions": "transaction_id"}
UP_WITHIN_S = 60.0
SYNC = """
import sys
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.settings import load_settings
from debitura_pipeline.sync import sync
settings = load_settings()
with open_endpoint(settings) as endpoint:
    sync(settings, endpoint, part_rows=int(sys.argv[1]))
"""


class Loads:
    """`begin`, `start_run`, look, `end`; then the next one. `workers`, `redis`: their processes."""

    def __init__(
        self,
        folder: Path,
        sandbox: RunningSandbox,
        postgres: PostgresServer | None,
        part_rows: int,
        *,
        is_limited: bool,
    ) -> None:
        self._folder, self._sandbox, self._postgres, self._is_limited = folder, sandbox, postgres, is_limited
        self._part_rows = part_rows
        self.engine = "Postgres" if postgres is not None else "DuckDB"
        self.shortest_s = float("inf")
        self.workers: list[subprocess.Popen[bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, workers: int) -> None:
        """Start Redis and workers, for an empty warehouse."""
        self._stack, self._data = ExitStack(), self._folder / "data"
        self._data.mkdir(mode=0o700)
        self._stack.callback(shutil.rmtree, self._data)
        self._log = (self._folder / "log").open("w+b")
        self._stack.callback(self._log.close)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        env = {
            "DEBITURA_API_URL": self._sandbox.url,
            "DEBITURA_API_KEY": self._sandbox.key,
            "DEBITURA_CUSTOMER_API_URL": self._sandbox.customer_url,
            "DEBITURA_DATA_DIR": str(self._data),
            "DEBITURA_PRIVACY_KEY": PRIVACY_KEY,
            # In the environment `test`, the requests of all processes are counted together.
            **({"DEBITURA_ENVIRONMENT": "test"} if self._is_limited else {"DEBITURA_REQUESTS_PER_MINUTE": "1000000"}),
        }
        if self._postgres is not None:
            env["DEBITURA_WAREHOUSE"] = self._stack.enter_context(self._postgres.database()).url
        if workers:
            env |= {"DEBITURA_CELERY_BROKER": f"redis://127.0.0.1:{port}/0"}
            env |= {"DEBITURA_FIRST_LOAD_READERS": str(workers + 1)}
        self._env, self.settings = environment(env), load_settings(env)
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        self._stack.callback(_end, self.redis)
        self._await_redis(port)
        self.workers = [self._start(COMMAND, "worker", stdout=subprocess.PIPE) for _ in range(workers)]
        for worker in self.workers:
            assert worker.stdout is not None and worker.stdout.readline(), "a worker did not start"

    def start_run(self) -> subprocess.Popen[bytes]:
        """`debitura sync`, with parts of the size that is wanted."""
        return self._start(SYNC, str(self._part_rows), stdout=self._log)

    def end(self) -> None:
        """End everything, and delete the data directory; a second call does nothing."""
        for worker in self.workers:
            _end(worker)
        self.workers = []
        self._stack.close()

    def requests(self) -> int:
        """Requests that the API has received."""
        return sum(count for name, count in self._sandbox.log().items() if name.startswith("GET"))

    def contents(self) -> dict[str, Any]:
        """Key and hash of each row and version, and the compared totals of the listings."""
        found: dict[str, Any] = {}
        with open_warehouse(self.settings, read_only=True) as warehouse:
            for name, key in KEYS.items():
                for table, more in ((name, "_deleted_at IS NULL"), (f"{name}_history", "_valid_to IS NULL")):
                    rows = warehouse.rows(f"SELECT {key}, _row_hash, {more} FROM raw.{table}")
                    found[table] = sorted(rows, key=repr)
            found["totals"] = warehouse.rows(
                "SELECT resource, check_name, scope, bucket, unit, api_value, warehouse_value, verdict FROM ops.control_totals "
                "WHERE sync_id IN (SELECT max(sync_id) FROM ops.syncs WHERE status = 'done' GROUP BY resource) "
                "ORDER BY 1, 2, 3, 4, 5"
            )
        return found

    def syncs(self) -> list[tuple[Any, ...]]:
        """Resource, requests, and whether it is proven, of each merged sync."""
        with open_warehouse(self.settings, read_only=True) as warehouse:
            return warehouse.rows(
                "SELECT resource, requests, is_proven FROM ops.syncs WHERE status = 'done' ORDER BY started_at"
            )

    def verify(self) -> list[str]:
        """Faults of the certificates."""
        return [fault for finding in verify(self.settings) for fault in finding.faults]

    def left(self) -> list[str]:
        """Objects that no part should leave behind, once no worker reads."""
        until = time.monotonic() + UP_WITHIN_S
        while (left := [path.name for path in self._data.glob("parts/**/*")]) and time.monotonic() < until:
            time.sleep(0.5)
        return left

    def windows_of_workers(self) -> dict[str, str]:
        """Windows that workers have read, of all windows, by resource."""
        found = {}
        for folder in sync_folders(self.settings.landing_dir):
            numbers = folder.end.windows if folder.end is not None else ()
            own = max(numbers, default=0) // NUMBERS_A_PART
            theirs = sum(1 for seq in numbers if 0 < seq // NUMBERS_A_PART < own)
            if theirs:
                found[folder.begin.resource] = f"{theirs} of {len(numbers)}"
        return found

    def log(self) -> str:
        """What the run wrote."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def _start(self, code: str, *arguments: str, stdout: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=self._log,
        )

    @staticmethod
    def _await_redis(port: int) -> None:
        until = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < until:
            try:
                with redis.Redis(port=port) as client:
                    client.ping()
                return
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        raise RuntimeError("Redis did not start")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
