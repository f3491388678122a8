"""The machine that nobody looks after: `debitura dev` on a small disk, started again when it ends, as an init system would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import duckdb

CONSOLE = (sys.executable, "-c", "from debitura_pipeline.cli.app import main; main()")
RESTART_S = 5.0
DISK_MIB = 1500
ROLES = {  # by what stands in the command line of the process
    "run worker": ("spawn_main", "execute_run"),
    "daemon": ("dagster-daemon", "dagster._daemon", "daemon run"),
    "code server": ("code-server", "api grpc", "dagster._cli.api"),
    "web server": ("dagster-webserver", "dagster_webserver"),
    "dbt": ("dbt build",),
}


class Machine:
    """`disk` is a file system of its own; `name` the host name. `keep_up` is called often and restarts what ended."""

    def __init__(self, disk: Path, env: Mapping[str, str], log: Path) -> None:
        self.disk, self.name, self._env = disk, "host-1", dict(env)
        self._log: IO[bytes] = log.open("ab")
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at = 0.0
        disk.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", disk], check=True)

    def keep_up(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and self._ended_at == 0.0:
            self._ended_at = time.monotonic()
        if self._process is None or time.monotonic() - self._ended_at >= RESTART_S:
            self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            ["unshare", "-u", "sh", "-c", 'hostname "$0"; exec "$@"', self.name, *CONSOLE, "dev"],
            env=self._env, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        self._ended_at, self.starts = 0.0, self.starts + 1

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command of the console, as a job of the same machine would give it."""
        return subprocess.run(
            [*CONSOLE, *arguments], env=self._env, capture_output=True, text=True, timeout=300, check=False
        )

    def kill(self, role: str) -> int:
        """SIGKILL to all processes of a role, or to everything at once; how many there were."""
        if self._process is None:
            return 0
        found = [
            pid for pid, line in descendants(self._process.pid) if any(part in line for part in ROLES.get(role, ("",)))
        ]
        if role == "everything":
            found.append(self._process.pid)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def rename(self, name: str) -> None:
        """Another host name, and a restart: a container that comes up elsewhere with its old volume."""
        self.name = name
        self.kill("everything")

    def fill(self) -> None:
        with suppress(OSError), (self.disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65_536)

    def free(self) -> None:
        (self.disk / "filler").unlink(missing_ok=True)

    def used_mib(self) -> int:
        return shutil.disk_usage(self.disk).used // 2**20

    def published(self) -> tuple[str | None, bool]:
        """The instant that the published copy is of, and whether every resource in it is proven; None: there is none."""
        path = self.disk / "data" / "published" / "warehouse.duckdb"
        if not path.exists():
            return None, False
        with duckdb.connect(path, read_only=True) as copy:
            rows = copy.execute(
                """SELECT resource, max(as_of)::VARCHAR, arg_max(is_proven, as_of) FROM ops.syncs
                WHERE mode <> 'client' AND status = 'done' GROUP BY resource"""
            ).fetchall()
        return min((at for _, at, _ in rows), default=None), len(rows) == 3 and all(proven for *_, proven in rows)

    def is_idle(self) -> bool:
        """No run is queued or on."""
        told = self.run("status", "--json")
        queue = json.loads(told.stdout or "{}").get("queue") or {}
        return told.returncode == 0 and not queue.get("queued") and not queue.get("on")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
            self.kill("everything")
        subprocess.run(["umount", "-l", self.disk], check=False)
        self._log.close()


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Processes below `pid`, with their command lines."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parents.setdefault(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), []).append(
                    int(entry.name)
                )
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            waiting.append(child)
            with suppress(OSError):
                yield child, Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
