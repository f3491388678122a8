"""What can be wrong with this machine: folders, disks, rights, the privacy key, other data, Dagster's files, limits."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doctor.case import Case, Scene, env
from tests.support.disk import mounted

ANOTHER_USER = 54321


def _disk(**bounds: int) -> Callable[[Scene, str], None]:
    def make(scene: Scene, variable: str) -> None:
        disk = scene.stack.enter_context(mounted(scene.folder / "disk", **bounds))
        scene.env[variable] = str(disk.place)

    return make


def _on(variable: str, **bounds: int) -> Callable[[Scene], None]:
    return lambda scene: _disk(**bounds)(scene, variable)


def _read_only(variable: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        disk = scene.stack.enter_context(mounted(scene.folder / "disk"))
        disk.remount("ro")
        scene.env[variable] = str(disk.place / "below")

    return make


def _synced(change: Callable[[Path], None], **values: str) -> Callable[[Scene], None]:
    """A copy of a data directory after a sync, then changed."""

    def make(scene: Scene) -> None:
        shutil.copytree(scene.synced, scene.data)
        change(scene.data)
        scene.env.update({**scene.sandbox_env(), **values})

    return make


def _home(change: Callable[[Path], None]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        home = scene.data / "dagster"
        home.mkdir(parents=True)
        change(home)

    return make


def _write(name: str, body: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(body)

    return write


def _left_run(home: Path) -> None:
    """A run of a process that was killed in the middle of a step, as Dagster's tables hold it."""
    (home / "history" / "runs").mkdir(parents=True)
    with sqlite3.connect(home / "history" / "runs.db") as runs:
        runs.execute("CREATE TABLE runs (run_id, pipeline_name, status, create_timestamp)")
        runs.execute("CREATE TABLE run_tags (run_id, key, value)")
        runs.execute("INSERT INTO runs VALUES ('0123abcd-x', 'nightly', 'STARTED', 1)")
        runs.execute("INSERT INTO run_tags VALUES ('0123abcd-x', 'debitura/process', 'another-host:77:1')")
    with sqlite3.connect(home / "history" / "runs" / "index.db") as index:
        index.execute("CREATE TABLE concurrency_slots (concurrency_key, run_id, deleted)")
        index.execute("INSERT INTO concurrency_slots VALUES ('warehouse', '0123abcd-x', false)")


def _no_database(home: Path) -> None:
    (home / "history").mkdir()
    (home / "history" / "runs.db").write_bytes(b"overwritten" * 1000)


def _limited(name: int, least: int) -> Callable[[Scene], None]:
    """A limit of the shell's; put back at the end."""

    def make(scene: Scene) -> None:
        before = resource.getrlimit(name)
        scene.stack.callback(resource.setrlimit, name, before)
        resource.setrlimit(name, (least, before[1]))

    return make


def _memory(files: dict[str, str], **values: str) -> Callable[[Scene], None]:
    """A machine or container with little of it, as Linux tells."""

    def make(scene: Scene) -> None:
        for name, body in files.items():
            (scene.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (scene.folder / name).write_text(body)
        patch = scene.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("debitura_pipeline.memory.ROOT", scene.folder)
        scene.env.update(values)

    return make


def _without_dbt(scene: Scene) -> None:
    patch = scene.stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr("sys.executable", str(scene.folder / "bin" / "python"))


def _from_another_lock(scene: Scene) -> None:
    lock = scene.folder / "requirements.txt"
    lock.write_text("duckdb==0.0.1 \\\n    --hash=sha256:0\ndbt-core==0.0.2\n")
    patch = scene.stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr("debitura_pipeline.doctor.versions.LOCK", lock)


def _chown(path: Path) -> None:
    os.chown(path, ANOTHER_USER, ANOTHER_USER)


ROOM = "Free some space there, or set {} to a folder with more"
RIGHT = "Give this user write access .*set {} to another folder"


def _claims(content: bytes) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        (scene.folder / "claims.csv").write_bytes(content)
        scene.env["DEBITURA_CLAIMS"] = str(scene.folder / "claims.csv")

    return make


CASES = [
    Case(
        "a disk that is nearly full",
        _on("DEBITURA_DATA_DIR", size=40_000),
        "data directory",
        "39 MiB.*needs 2.0 GiB",
        ROOM.format("DEBITURA_DATA_DIR"),
    ),
    Case(
        "a disk without inodes",
        _on("DEBITURA_DATA_DIR", size=3_000_000, inodes=40),
        "data directory",
        "3\\d inodes free.*needs 2,000 inodes",
        "Remove files from that disk.*DEBITURA_DATA_DIR",
    ),
    Case(
        "a read-only disk",
        _read_only("DEBITURA_DATA_DIR"),
        "data directory",
        "is not writable: Read-only file system",
        RIGHT.format("DEBITURA_DATA_DIR"),
    ),
    Case(
        "a data directory of another user",
        _synced(_chown),
        "data directory",
        "belongs to user ID 54321, but this is user root",
        "Run as user ID 54321, or .*chown -R",
    ),
    Case(
        "files of another user in it",
        _synced(lambda data: _chown(data / "warehouse.duckdb")),
        "files",
        "warehouse.duckdb belongs to user ID 54321",
        "chown",
    ),
    Case(
        "DAGSTER_HOME is full",
        _on("DAGSTER_HOME", size=8),
        "DAGSTER_HOME",
        "0 MiB.*needs 100 MiB",
        ROOM.format("DAGSTER_HOME"),
    ),
    Case(
        "DAGSTER_HOME without inodes",
        _on("DAGSTER_HOME", inodes=30),
        "DAGSTER_HOME",
        "2\\d inodes free.*needs 500 inodes",
        "Remove files from that disk.*DAGSTER_HOME",
    ),
    Case(
        "DAGSTER_HOME is read-only",
        _read_only("DAGSTER_HOME"),
        "DAGSTER_HOME",
        "is not writable: Read-only file system",
        RIGHT.format("DAGSTER_HOME"),
    ),
    Case(
        "DAGSTER_HOME below /proc",
        env(DAGSTER_HOME="/proc/dagster"),
        "DAGSTER_HOME",
        "/proc/dagster is not writable",
        RIGHT.format("DAGSTER_HOME"),
    ),
    Case(
        "dagster.yaml is not valid YAML",
        _home(_write("dagster.yaml", "storage: [\n")),
        "dagster.yaml",
        r"dagster\.yaml, line 2: is not valid YAML",
        "Correct that line. Without the file, the next run writes one",
    ),
    Case(
        "dagster.yaml with an unknown setting",
        _home(_write("dagster.yaml", "storrage: {}\n")),
        "dagster.yaml",
        "Dagster knows no setting storrage",
        "Correct its name. Without the file",
    ),
    Case(
        "the workers' Redis is not running",
        env(DEBITURA_CELERY_BROKER="redis://:s3cret@127.0.0.1:1/0"),
        "DEBITURA_CELERY_BROKER",
        r"^Redis at 127\.0\.0\.1:1, which keeps queue debitura, cannot be used \(no connection\)",
        "Check that it is running",
    ),
    Case(
        "a killed run that holds a pool slot",
        _home(_left_run),
        "Dagster run",
        r"0123abcd \(nightly\) was left unfinished, holds a slot of pool warehouse; its process is gone "
        r"\(process 77 on host another-host\)",
        "",
        is_ok=True,
    ),
    Case(
        "Dagster's storage is damaged",
        _home(_no_database),
        "Dagster's storage",
        r"/history/runs\.db cannot be read: file is not a database\.$",
        r"stop `debitura dev` and all runs and move .*/history/runs\.db away",
    ),
    Case(
        "the privacy key is lost",
        _synced(lambda data: (data / "privacy.key").unlink()),
        "identity",
        r"privacy key .* is missing: .*privacy\.key does not exist and DEBITURA_PRIVACY_KEY",
        "Restore the old key",
    ),
    Case(
        "another privacy key",
        _synced(_write("privacy.key", "another key, of more than 16 characters")),
        "identity",
        "privacy key .* is not the one in",
        "Restore the old key",
    ),
    Case(
        "a privacy.key that others can read",
        _synced(lambda data: (data / "privacy.key").chmod(0o644)),
        "privacy key",
        r"privacy\.key has mode 644",
        r"chmod 600 .*privacy\.key",
    ),
    Case(
        "DEBITURA_PRIVACY=full with pseudonymous data",
        _synced(lambda _: None, DEBITURA_PRIVACY="full"),
        "privacy",
        "DEBITURA_PRIVACY is full, but .* holds only pseudonyms",
        "debitura sync --full",
    ),
    Case(
        "the data of another API",
        _synced(lambda _: None, DEBITURA_API_URL="https://no-such-host.invalid"),
        "identity",
        "holds the data of the sandbox API at this machine, but the settings name",
        "another DEBITURA_DATA_DIR",
    ),
    Case(
        "an identity that cannot be read",
        _synced(_write("identity.json", "{")),
        "identity",
        r"identity\.json cannot be read",
        "from a backup",
    ),
    Case(
        "dbt is not installed",
        _without_dbt,
        "dbt",
        r"/dbt does not exist, and the nightly run needs it to build the reports",
        "make setup",
    ),
    Case(
        "packages in other versions than locked",
        _from_another_lock,
        "packages",
        r"duckdb is [\d.]+, requirements.txt says 0\.0\.1; ?|dbt-core is",
        "make setup",
    ),
    Case(
        "a machine with little memory",
        _memory({"proc/meminfo": "MemAvailable: 512000 kB\n"}),
        "memory",
        r"^500 MiB available \(this machine\), but a nightly run needs 1,024\.$",
        "Close other programs, or give the machine more memory",
    ),
    Case(
        "a container with little memory",
        _memory(
            {
                "proc/meminfo": "MemAvailable: 8192000 kB\n",
                "proc/self/cgroup": "0::/debitura\n",
                "sys/fs/cgroup/debitura/memory.max": f"{768 * 1024**2}\n",
                "sys/fs/cgroup/debitura/memory.current": f"{256 * 1024**2}\n",
            }
        ),
        "memory",
        r"^512 MiB available \(limit of the container or service, .*/debitura\)",
        "Raise the memory limit of the container or service",
    ),
    Case(
        "more memory for DuckDB than is available",
        _memory({"proc/meminfo": "MemAvailable: 8192000 kB\n"}, DEBITURA_DUCKDB_MEMORY="16GiB"),
        "memory",
        r"^8,000 MiB available \(this machine\), but a nightly run needs 17,008, including DEBITURA_DUCKDB_MEMORY=16GiB",
        "Reduce DEBITURA_DUCKDB_MEMORY \\(400MiB is enough for most\\)",
    ),
    Case(
        "a low limit on open files",
        _limited(resource.RLIMIT_NOFILE, 200),
        "open files",
        r"at most 200 at a time .* needs 256",
        "ulimit -n 1024",
    ),
    Case(
        "a roster that does not exist",
        env(DEBITURA_ROSTER="roster.csv"),
        "roster",
        r"^DEBITURA_ROSTER: /.*/roster.csv is not there\.$",
        "Check the path in DEBITURA_ROSTER",
    ),
    Case(
        "claims in a spreadsheet",
        _claims(b"PK\x03\x04"),
        "claims",
        r"claims.csv is a zip archive or a spreadsheet \(xlsx\)\.$",
        "Save it as CSV in UTF-8, Parquet or NDJSON",
    ),
]

TAKE_ROOT = {
    "a disk that is nearly full",
    "a disk without inodes",
    "a read-only disk",
    "a data directory of another user",
    "files of another user in it",
    "DAGSTER_HOME is full",
    "DAGSTER_HOME without inodes",
    "DAGSTER_HOME is read-only",
}
