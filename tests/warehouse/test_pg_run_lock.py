"""Two runs at once on one Postgres: the second is told who has it and touches nothing; a dead run holds nothing."""

from __future__ import annotations

import contextvars
import os
import platform
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.run_lock import PostgresRunLock
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.support.postgres import Database, PostgresServer
from tests.warehouse.landings import Landings, case, night

HOLDER = """
    import sys
    from debitura_pipeline.settings import load_settings
    from debitura_pipeline.warehouse.run_lock import exclusive_run
    with exclusive_run(load_settings({"DEBITURA_DATA_DIR": sys.argv[2], "DEBITURA_WAREHOUSE": sys.argv[1]}), "nightly"):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def engine() -> str:
    return "postgresql"


@contextmanager
def held_by_another_process(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    assert settings.warehouse.dsn is not None
    elsewhere = str(settings.data_dir.parent / "another machine's data")
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), settings.warehouse.dsn.reveal(), elsewhere]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def in_another_context(settings: Settings) -> None:
    """Take the lock as a run of another data directory that is not part of this one."""
    other = replace(settings, data_dir=settings.data_dir.parent / "other")

    def take() -> None:
        with exclusive_run(other, "other"):
            pass

    contextvars.Context().run(take)


def test_second_run_is_told_who_has_the_warehouse_since_when(settings: Settings) -> None:
    slept: list[float] = []

    def sleep(wait_s: float) -> None:
        slept.append(wait_s)
        time.sleep(wait_s)

    with held_by_another_process(settings) as holder:
        with pytest.raises(WarehouseBusy):
            PostgresRunLock(settings.warehouse, "sync", sleep)
        assert 0 < sum(slept) < 1
        with pytest.raises(WarehouseBusy) as busy, exclusive_run(settings, "sync"):
            raise AssertionError("must not get here")
        said = str(busy.value)
        assert f"debitura nightly, {platform.node()[:20]}" in said and f"process {holder.pid}" in said
        assert "user pipeline, from 127.0.0.1" in said
        assert re.search(r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said)
        assert "\n" not in said
        assert settings.warehouse.dsn is not None and settings.warehouse.dsn.reveal() not in said
        # What it says to do about a run that hangs is true.
        with open_warehouse(settings) as warehouse:
            ended = re.search(r"SELECT pg_terminate_backend\(\d+\)", said)
            assert ended and warehouse.rows(ended[0]) == [(True,)]
        with exclusive_run(settings, "sync"):
            pass


def test_second_run_touches_nothing(postgres: Database, tmp_path: Path) -> None:
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_WAREHOUSE": postgres.url}
    command = [str(Path(sys.executable).with_name("debitura")), "sync"]
    with held_by_another_process(load_settings(env)):
        done = subprocess.run(
            command, env={**os.environ, **env}, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
    assert done.returncode == 1
    assert "Another run has the warehouse" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "landing").exists()
    with (
        pytest.raises(WarehouseError, match="There is no warehouse"),
        open_warehouse(load_settings(env), read_only=True),
    ):
        pass


def test_killed_run_leaves_the_warehouse_free(settings: Settings) -> None:
    with held_by_another_process(settings) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with exclusive_run(settings):
            pass


def test_what_a_run_starts_is_part_of_it(settings: Settings) -> None:
    refused = pytest.raises(WarehouseBusy, match="debitura nightly")
    with exclusive_run(settings, "nightly"), exclusive_run(settings, "sync"), refused:
        in_another_context(settings)
    in_another_context(settings)


def test_run_takes_the_lock_again_after_the_server_was_restarted(
    settings: Settings, postgres_server: PostgresServer, landings: Landings
) -> None:
    """Reading takes an hour; a restart meanwhile must not cost the night, nor let a second run in."""
    with exclusive_run(settings, "nightly"):
        postgres_server.restart()
        with open_warehouse(settings) as warehouse:
            warehouse.merge(landings.land("cases", [case("a")]))
        with pytest.raises(WarehouseBusy):
            in_another_context(settings)


def test_run_that_lost_the_lock_to_another_writes_no_more(settings: Settings, postgres_server: PostgresServer) -> None:
    with exclusive_run(settings, "nightly"):
        postgres_server.restart()
        refused = pytest.raises(WarehouseError, match="kept other runs out was lost")
        with held_by_another_process(settings), refused, open_warehouse(settings):
            raise AssertionError("must not get here")


def test_writers_outside_of_runs_take_turns(settings: Settings, landings: Landings) -> None:
    """Onboarding notes its clients while a night merges: neither may fail, or undo the other."""
    landed = [landings.land("cases", [case(f"c{key}") for key in range(200)], at=night(number)) for number in range(3)]
    with open_warehouse(settings):
        pass
    failures: list[WarehouseError] = []

    def note(number: int) -> None:
        try:
            with open_warehouse(settings) as warehouse:
                for _ in range(5):
                    warehouse.execute(
                        "INSERT INTO ops.onboarding (partition_key) SELECT CAST($1 AS VARCHAR) "
                        "WHERE NOT EXISTS (SELECT 1 FROM ops.onboarding WHERE partition_key = CAST($1 AS VARCHAR))",
                        (f"k{number % 2}",),
                    )
        except WarehouseError as error:
            failures.append(error)

    threads = [threading.Thread(target=note, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    with open_warehouse(settings) as warehouse:
        for sync in landed:
            warehouse.merge(sync)
    for thread in threads:
        thread.join(60)
    assert not failures
    with open_warehouse(settings, read_only=True) as warehouse:
        assert warehouse.rows("SELECT count(*) FROM ops.onboarding") == [(2,)]


def test_intent_is_not_committed_once_another_run_has_the_lock(
    settings: Settings, postgres_server: PostgresServer
) -> None:
    lost = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'debitura cases apply%'"
    with exclusive_run(settings, "cases apply"), open_warehouse(settings) as warehouse:
        postgres_server.admin(lost)
        with held_by_another_process(settings):
            refused = pytest.raises(WarehouseError, match="kept other runs out was lost")
            with refused, warehouse.transaction(is_durable=True):
                warehouse.run("INSERT INTO ops.registrations (external_tenant_id, state) VALUES ('a', 'sent')")
        assert warehouse.rows("SELECT * FROM ops.registrations") == []
