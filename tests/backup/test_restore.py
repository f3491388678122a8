"""A backup brings everything back, on both engines, and nothing is touched where it would not."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from debitura_pipeline.backup import back_up, restore
from debitura_pipeline.backup.manifest import BackupError
from debitura_pipeline.backup.tables import count_rows, table_columns
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.sync import check_certificates
from debitura_pipeline.warehouse.dagster_processes import DAEMON, dagster_processes, refuse_while_dagster_runs
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.support.command import debitura, environment
from tests.support.day import of_the_day
from tests.support.leaks import find
from tests.support.pipeline import Pipeline
from tests.support.postgres import PostgresServer
from tests.support.sandbox import ROOT, RunningSandbox, start_sandbox

# What does not depend on the engine is tried on files alone.
on_files = pytest.mark.parametrize("source", ["duckdb"], indirect=True)

Facts = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def api() -> Iterator[RunningSandbox]:
    sandbox = start_sandbox(clients=4, cases=60, transactions=90, seed=11, no_rate_limit=True)
    yield sandbox
    sandbox.stop()


@pytest.fixture(params=["duckdb", "postgresql"], scope="module")
def source(
    request: pytest.FixtureRequest,
    api: RunningSandbox,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pipeline]:
    """A warehouse after two syncs, with a run in Dagster's storage. Read only."""
    folder = tmp_path_factory.mktemp("backup") / "data"
    with postgres_server.database() as database:
        env = {"DEBITURA_WAREHOUSE": database.url} if request.param == "postgresql" else {}
        pipeline = Pipeline(folder, api, **env)
        pipeline.sync()
        pipeline.sync()
        with open_instance(pipeline.settings) as instance:
            instance.create_run_for_job(empty, status=dg.DagsterRunStatus.SUCCESS)
        (folder / ".env").write_text(f"DEBITURA_API_KEY={api.key}\n")
        yield pipeline


@pytest.fixture
def target(
    source: Pipeline, api: RunningSandbox, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Pipeline]:
    """Another machine: an empty data directory and warehouse."""
    with postgres_server.database() as database:
        env = {"DEBITURA_WAREHOUSE": database.url} if source.settings.warehouse.dsn else {}
        yield Pipeline(tmp_path / "elsewhere", api, **env)


@pytest.fixture
def archive(source: Pipeline, tmp_path: Path) -> Path:
    back_up(source.settings, tmp_path / "backup.tar.gz")
    return tmp_path / "backup.tar.gz"


@dg.job
def empty() -> None:
    pass


def everything(pipeline: Pipeline) -> Facts:
    """All rows of `raw` and `ops`."""
    return {
        name: sorted(pipeline.rows(f"SELECT {', '.join(columns)} FROM {name}"), key=repr)
        for name, columns in table_columns().items()
    }


def runs(settings: Settings) -> list[str]:
    with closing(sqlite3.connect(settings.dagster_home / "history" / "runs.db")) as storage:
        return [row[0] for row in storage.execute("SELECT run_id FROM runs")]


def files_of(folder: Path) -> dict[str, bytes]:
    kept = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_everything_is_there_again_and_the_next_sync_is_proven(
    source: Pipeline, target: Pipeline, archive: Path
) -> None:
    """A backup that was never restored is a hope."""
    assert archive.stat().st_mode & 0o777 == 0o600
    done = restore(target.settings, archive)
    assert done.aside is None
    assert everything(target) == everything(source)
    assert runs(target.settings) == runs(source.settings)
    findings = check_certificates(target.settings).findings
    assert findings
    assert not [finding for finding in findings if finding.faults]
    assert files_of(target.settings.landing_dir) == files_of(source.settings.landing_dir)
    assert not list(target.settings.data_dir.glob(".restore*"))
    assert all(report.is_proven for report in target.sync())


@on_files
def test_no_key_to_the_api_is_in_it(archive: Path, api: RunningSandbox, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if ".env" in name or name.endswith(".lock")]
        # Python 3.11.2, as in Debian 12, has no filters.
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(tmp_path / "out", **safely)
    assert not find(tmp_path / "out", [api.key])


def test_a_directory_that_is_not_empty_is_left_alone_without_replace(
    source: Pipeline, target: Pipeline, archive: Path
) -> None:
    restore(target.settings, archive)
    before = files_of(target.settings.data_dir)
    with pytest.raises(BackupError, match="--replace"):
        restore(target.settings, archive)
    assert files_of(target.settings.data_dir) == before
    done = restore(target.settings, archive, replace=True)
    assert done.aside is not None
    assert (done.aside / "landing").is_dir()
    assert (
        list((done.aside / "warehouse").iterdir())
        if target.settings.warehouse.dsn
        else (done.aside / "warehouse.duckdb").exists()
    )
    assert everything(target) == everything(source)


@on_files
def test_another_partners_directory_is_never_replaced(archive: Path, target: Pipeline) -> None:
    other = start_sandbox(clients=2, cases=5, transactions=5, seed=99, no_rate_limit=True)
    try:
        theirs = Pipeline(
            target.settings.data_dir, other, **{k: v for k, v in target.env.items() if k == "DEBITURA_WAREHOUSE"}
        )
        theirs.sync()
    finally:
        other.stop()
    before = everything(theirs)
    with pytest.raises(BackupError, match="of another partner"):
        restore(target.settings, archive, replace=True)
    assert everything(theirs) == before


@on_files
def test_a_damaged_archive_changes_nothing(source: Pipeline, target: Pipeline, archive: Path) -> None:
    """Flipped bytes all over, and every kind of cut."""
    whole = archive.read_bytes()
    spoilt = [whole[:cut] for cut in (0, 10, len(whole) // 2, len(whole) - 9, len(whole) - 1)]
    places = range(30, len(whole) // 10 * 9, max(1, len(whole) // 12))  # what follows is zeros, written in many ways
    spoilt += [whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :] for at in places]
    refused = 0
    for body in spoilt:
        archive.write_bytes(body)
        try:
            restore(target.settings, archive)
        except BackupError as error:
            refused += 1
            assert "Nothing was touched" in str(error)
            assert files_of(target.settings.data_dir) == {}
        else:  # a bit that the packing does not use: the contents are whole
            assert everything(target) == everything(source)
            shutil.rmtree(target.settings.data_dir)
    assert refused > len(spoilt) // 2  # zeros in the middle of the DuckDB file, too, can be written in many ways


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/tmp/outside", tarfile.REGTYPE),
        ("data/../../outside", tarfile.REGTYPE),
        ("data/landing/x", tarfile.SYMTYPE),
        ("data/landing/x", tarfile.LNKTYPE),
        ("data/landing/x", tarfile.FIFOTYPE),
        ("data/landing/x", tarfile.CHRTYPE),
        ("data/.env", tarfile.REGTYPE),
        ("data/run.lock", tarfile.REGTYPE),
        ("elsewhere/x", tarfile.REGTYPE),
    ],
)
def test_what_would_leave_the_directory_is_refused(name: str, kind: bytes, tmp_path: Path, api: RunningSandbox) -> None:
    file = tmp_path / "evil.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/hostname"
        tar.addfile(info, io.BytesIO(b""))
    pipeline = Pipeline(tmp_path / "data", api)
    with pytest.raises(BackupError, match="files that do not belong to a backup"):
        restore(pipeline.settings, file)
    assert files_of(tmp_path / "data") == {}


def test_a_bomb_costs_no_disk(tmp_path: Path, api: RunningSandbox) -> None:
    """A member that the manifest does not have is found before anything is written."""
    file = tmp_path / "bomb.tar.gz"
    with gzip.open(file, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        info = tarfile.TarInfo("data/landing/zeros")
        info.size = 64 * 2**20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(BackupError, match="its manifest is missing"):
        restore(Pipeline(tmp_path / "data", api).settings, file)
    assert files_of(tmp_path / "data") == {}


KILLED = """
import os, signal, sys
from pathlib import Path
import importlib
room = importlib.import_module("debitura_pipeline.backup.restore")
from debitura_pipeline.settings import load_settings
left, move = [int(sys.argv[2])], room._move
def deadly(source, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    move(source, target)
room._move = deadly
room.restore(load_settings(), Path(sys.argv[1]), replace=True)
"""


@pytest.mark.parametrize(
    ("source", "moves"),
    of_the_day([("duckdb", 0), ("postgresql", 3), ("postgresql", 0), ("duckdb", 3)]),
    indirect=["source"],
)
def test_a_restore_that_is_killed_can_be_given_again_and_keeps_runs_out_meanwhile(
    source: Pipeline, target: Pipeline, archive: Path, moves: int
) -> None:
    restore(target.settings, archive)
    command = [sys.executable, "-c", KILLED, str(archive), str(moves)]
    killed = subprocess.run(command, env=environment(target.env), cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    with pytest.raises(DebituraError, match="Run `debitura restore FILE` again"):
        target.sync()
    restore(target.settings, archive)  # no --replace: it was said the first time
    assert everything(target) == everything(source)
    assert all(report.is_proven for report in target.sync())


@on_files
def test_neither_runs_beside_a_run(source: Pipeline, archive: Path, tmp_path: Path) -> None:
    with exclusive_run(source.settings, "nightly"):
        for arguments in (("backup", str(tmp_path / "other.tar.gz")), ("restore", str(archive), "--replace")):
            said = debitura(*arguments, env=source.env)
            assert said.status == 1
            assert f"nightly, process {os.getpid()}" in said.error_line
    assert not (tmp_path / "other.tar.gz").exists()


@on_files
def test_a_file_that_is_there_stays_unless_forced(source: Pipeline, archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(BackupError, match="already exists"):
        back_up(source.settings, archive)
    assert archive.read_bytes() == before
    back_up(source.settings, archive, force=True)


@on_files
def test_a_full_disk_leaves_no_half_file(source: Pipeline, tmp_path: Path) -> None:
    import resource

    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {resource.RLIM_INFINITY}))"
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    said = debitura("backup", str(tmp_path / "b.tar.gz"), env=source.env, before=f"{ignore}\n{limit}")
    assert said.status == 1
    assert "No partial file is left" in said.error_line
    assert list(tmp_path.iterdir()) == []


@on_files
def test_the_commands_say_what_they_did(source: Pipeline, target: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    made = debitura("backup", str(file), env=source.env)
    assert made.status == 0, made.err
    assert f"to {file}. It contains the privacy key" in made.out
    done = debitura("restore", str(file), env=target.env)
    assert done.status == 0, done.err
    rows = sum(table.rows for name, table in count_rows(source.settings).items() if name.startswith("raw."))
    assert f"{rows:,} rows in raw" in done.out
    assert "certificates checked, 0 failed" in done.out
    assert debitura("verify", env=target.env).status == 0
    synced = debitura("sync", env=target.env)
    assert synced.status == 0, synced.err
    assert "differs" not in synced.out
    assert "not proven" not in synced.out


def test_another_api_or_engine_is_refused(target: Pipeline, archive: Path, api: RunningSandbox, tmp_path: Path) -> None:
    real = Pipeline(tmp_path / "x", api, DEBITURA_ENVIRONMENT="production")
    if target.settings.warehouse.dsn is not None:
        with pytest.raises(BackupError, match="names a duckdb one"):
            restore(real.settings, archive)
        return
    with pytest.raises(BackupError, match="but the settings name the production API"):
        restore(real.settings, archive)


@on_files
def test_the_daemon_must_be_stopped_first(target: Pipeline, archive: Path) -> None:
    holder = "import sys\nfrom debitura_pipeline.settings import load_settings\n"
    holder += "from debitura_pipeline.warehouse.run_lock import exclusive_dev\n"
    holder += "with exclusive_dev(load_settings()):\n    print('on', flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", holder]
    dev = subprocess.Popen(
        command, env=environment(target.env), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with dev:
        assert dev.stdout is not None
        assert dev.stdout.readline() == "on\n"
        with pytest.raises(WarehouseBusy, match="Another `debitura dev`"):
            restore(target.settings, archive)
        assert dev.stdin is not None
        dev.stdin.close()


@on_files
@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["dagster-daemon", "run", "--workspace", "w.yaml"], "daemon"),
        (["python", "-m", "dagster_webserver", "--host", "127.0.0.1"], "web server"),
        (["dagster", "api", "grpc", "--socket", "s"], "code server"),
    ],
)
def test_services_that_systemd_started_must_be_stopped_first(
    target: Pipeline, archive: Path, command: list[str], named: str
) -> None:
    """They would go on writing to the files that were moved aside, and keep them as their own."""
    env = environment({"DAGSTER_HOME": str(target.settings.dagster_home)})
    others = load_settings({"DEBITURA_DATA_DIR": str(target.settings.data_dir / "other")})
    with subprocess.Popen([str(Path(sys.executable).with_name(command[0])), *command[1:]], env=env) as service:
        try:
            while not Path(f"/proc/{service.pid}/cmdline").read_bytes():  # for a moment after its start
                time.sleep(0.005)
            with pytest.raises(WarehouseBusy) as refused:
                restore(target.settings, archive)
            assert str(refused.value).startswith(f"Dagster's {named} (process {service.pid}) works on DAGSTER_HOME /")
            with pytest.raises(WarehouseBusy) if named == "daemon" else nullcontext():
                refuse_while_dagster_runs(target.settings, (DAEMON,), 1.0, lambda _: None)
            assert list(dagster_processes(others)) == [], "another home's are none of ours"
        finally:
            service.kill()
    assert list(dagster_processes(target.settings)) == []


@on_files
def test_a_warehouse_that_cannot_be_read_is_replaced_when_told_to(
    source: Pipeline, target: Pipeline, archive: Path
) -> None:
    """That is what a backup is for."""
    assert target.settings.warehouse.path is not None
    restore(target.settings, archive)
    target.settings.warehouse.path.write_bytes(b"garbage" * 5000)
    with pytest.raises(DebituraError, match="--replace"):
        restore(target.settings, archive)
    restore(target.settings, archive, replace=True)
    assert everything(target) == everything(source)
    shutil.rmtree(target.settings.data_dir / "aside")
