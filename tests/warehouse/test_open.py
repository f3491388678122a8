"""Opening: who waits for whom, what is said when waiting does not help, and who may read the files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse, private_umask
from tests.support.command import environment
from tests.warehouse.landings import night


@pytest.fixture
def engine() -> str:
    """What is told here is DuckDB's file alone."""
    return "duckdb"


HOLDER = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1])
    print("held", flush=True)
    sys.stdin.read()
"""


RUN = """
    import sys
    from debitura_pipeline.settings import load_settings
    from debitura_pipeline.warehouse.opening import open_warehouse
    from debitura_pipeline.warehouse.run_lock import exclusive_run
    settings = load_settings()
    with exclusive_run(settings, sys.argv[2]), open_warehouse(settings):
        print("held", flush=True)
        sys.stdin.read()
"""


@contextmanager
def held_by_another_process(
    path: Path, program: str = HOLDER, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(program), str(path), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


class Clock:
    """A clock that moves when somebody sleeps; `on_pause` runs at each pause."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.on_pause = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self.on_pause()


@pytest.fixture
def path(settings: Settings) -> Path:
    with open_warehouse(settings):
        pass
    assert settings.warehouse.path is not None
    return settings.warehouse.path


def test_file_held_by_another_process_is_waited_for_and_the_holder_named(settings: Settings, path: Path) -> None:
    clock = Clock()
    with held_by_another_process(path) as holder:
        waiting = open_warehouse(settings, sleep=clock.sleep, clock=clock)
        with pytest.raises(WarehouseBusy, match=f"process {holder.pid}.*published copy") as busy, waiting:
            pass
    assert busy.value.is_retryable and busy.value.facts == {"pid": holder.pid, "is_run": False}
    assert 60 <= clock.now < 62
    assert max(clock.pauses) == 1.0


@pytest.mark.parametrize(
    ("purpose", "waited_s"),
    [("nightly", 60), ("cases apply", 0), ("clients apply", 0), ("outbound (Dagster run 1f2e3d4c)", 0)],
)
def test_run_that_has_the_file_is_named_and_an_apply_is_not_waited_for(
    settings: Settings, path: Path, tmp_path: Path, purpose: str, waited_s: int
) -> None:
    """Also where the run is another data directory's, which has the same warehouse."""
    clock = Clock()
    env = environment({"DEBITURA_WAREHOUSE": f"duckdb:///{path}", "DEBITURA_DATA_DIR": str(tmp_path / "other")})
    with held_by_another_process(path, RUN, purpose, env=env) as run:
        waiting = open_warehouse(settings, read_only=True, sleep=clock.sleep, clock=clock)
        named = rf"in use by another run.*: {re.escape(purpose)}, process {run.pid} on .*Wait for it"
        with pytest.raises(WarehouseBusy, match=named) as busy, waiting:
            pass
    assert busy.value.facts == {"pid": run.pid, "is_run": True}
    assert waited_s <= clock.now < waited_s + 2


@pytest.mark.parametrize("read_only", [False, True])
def test_opens_as_soon_as_the_holder_lets_go(settings: Settings, path: Path, read_only: bool) -> None:
    clock = Clock()
    with held_by_another_process(path) as holder:

        def release_run() -> None:
            if len(clock.pauses) == 3:
                holder.kill()
                holder.wait()

        clock.on_pause = release_run
        with open_warehouse(settings, read_only=read_only, sleep=clock.sleep, clock=clock) as warehouse:
            assert warehouse.rows("SELECT count(*) FROM raw.cases") == [(0,)]
    assert len(clock.pauses) == 3


def test_own_process_reading_and_writing_at_once_is_told_apart(settings: Settings, path: Path) -> None:
    clock = Clock()
    waiting = open_warehouse(settings, wait_s=2, sleep=clock.sleep, clock=clock)
    with open_warehouse(settings, read_only=True), pytest.raises(WarehouseBusy, match="this process"), waiting:
        pass


def test_file_that_is_no_warehouse_is_an_error_at_once(settings: Settings) -> None:
    assert settings.warehouse.path is not None
    settings.data_dir.mkdir()
    settings.warehouse.path.write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(WarehouseError, match="cannot be opened") as failed, open_warehouse(settings):
        pass
    assert not failed.value.is_retryable


def test_warehouse_appears_whole_or_not_at_all(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was killed while being made would be taken for a damaged warehouse, every night from then on."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed)
        with pytest.raises(KeyboardInterrupt), open_warehouse(settings):
            pass
    assert settings.warehouse.path is not None and not settings.warehouse.path.exists()
    with open_warehouse(settings) as warehouse:
        assert warehouse.rows("SELECT count(*) FROM raw.cases") == [(0,)]
    assert {path.name for path in settings.data_dir.iterdir()} == {"warehouse.duckdb", "tmp"}


def test_file_is_prepared_again_only_if_something_may_be_missing(
    settings: Settings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync opens the file half a dozen times; what another program took away in between must be there all the same."""
    prepared, prepare = [], DuckDbWarehouse.prepare

    def counted(self: DuckDbWarehouse) -> None:
        prepared.append(self)
        prepare(self)

    monkeypatch.setattr(DuckDbWarehouse, "prepare", counted)
    for _ in range(2):
        with open_warehouse(settings) as warehouse:
            warehouse.execute("INSERT INTO ops.syncs (sync_id) VALUES ('a')")
    assert not prepared, "it stands as this process has left it"
    with duckdb.connect(path) as other:
        other.execute("DROP TABLE ops.identity")
    with open_warehouse(settings) as warehouse:
        assert warehouse.columns("ops", "identity")
        warehouse.execute("DROP TABLE ops.identity")
    with open_warehouse(settings) as warehouse:
        assert warehouse.columns("ops", "identity")
    assert len(prepared) == 2


def test_reading_a_warehouse_that_is_not_there_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match="debitura nightly"), open_warehouse(settings, read_only=True):
        pass
    assert not settings.data_dir.exists()


def test_reader_cannot_write(settings: Settings, path: Path) -> None:
    with open_warehouse(settings, read_only=True) as warehouse, pytest.raises(WarehouseError):
        warehouse.execute("DELETE FROM raw.cases")


def test_files_are_their_owners_alone(settings: Settings) -> None:
    before = os.umask(0o022)
    try:
        with open_warehouse(settings) as warehouse:
            warehouse.execute("INSERT INTO ops.webhook_events (event_id) VALUES ('e')")
            found = {path.name: path.stat().st_mode & 0o777 for path in settings.data_dir.rglob("*")}
            spill = [name for name in found if name.startswith("duckdb-")]
            assert found == {"warehouse.duckdb": 0o600, "warehouse.duckdb.wal": 0o600, "tmp": 0o700, spill[0]: 0o700}
            assert settings.data_dir.stat().st_mode & 0o777 == 0o700
        assert list((settings.data_dir / "tmp").iterdir()) == []
    finally:
        assert os.umask(before) == 0o022


def test_file_that_others_could_read_is_closed_to_them(settings: Settings, path: Path) -> None:
    path.chmod(0o644)
    with open_warehouse(settings):
        assert path.stat().st_mode & 0o777 == 0o600


def test_mask_comes_back_when_the_last_user_leaves() -> None:
    before = os.umask(0o027)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with private_umask():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    try:
        with private_umask():
            thread.start()
            assert entered.wait(10)
        assert os.umask(0o077) == 0o077
        leave.set()
        thread.join(10)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_instants_are_utc_whatever_the_machine_thinks(settings: Settings, path: Path) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute("INSERT INTO ops.webhook_events (event_id, received_at) VALUES ('e', '2026-03-01 02:00:00')")
        assert warehouse.rows("SELECT received_at FROM ops.webhook_events") == [(night(0),)]


def test_connection_does_not_outlive_the_block(settings: Settings, path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_warehouse(settings):
        raise ZeroDivisionError
    with open_warehouse(settings) as warehouse:
        pass
    duckdb.connect(path, read_only=True).close()
    warehouse.close()
