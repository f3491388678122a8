"""A Postgres warehouse's own ways: connecting, what is said when that fails, roles with few rights, what readers see."""

from __future__ import annotations

import re
import traceback
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from debitura_pipeline.errors import SettingsError, WarehouseBusy, WarehouseError
from debitura_pipeline.failures import SERVER, kind_of
from debitura_pipeline.registration.record import Registration, write_registrations
from debitura_pipeline.settings import Secret, Settings, load_settings
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.connection import connect, describe_error
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from tests.support.postgres import Database, PostgresServer
from tests.warehouse.landings import Landings, case, night
from tests.warehouse.states import state


@pytest.fixture
def engine() -> str:
    return "postgresql"


def settings_for(url: str) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": "data", "DEBITURA_WAREHOUSE": url})


def refusal(url: str, *, read_only: bool = False, wait_s: float = 0) -> WarehouseError:
    with pytest.raises(WarehouseError) as failed, open_warehouse(settings_for(url), read_only=read_only, wait_s=wait_s):
        pass
    return failed.value


def all_text(error: BaseException) -> str:
    """The error as a log would show it, with everything it was raised from."""
    return "".join(traceback.format_exception(error)) + repr(error.__context__) + repr(error.__cause__)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("pipeline:", "nobody_here:"), "password authentication failed"),
        (("/test_", "/no_such_"), "does not exist"),
        (("127.0.0.1:", "127.0.0.1:1"), "refused|invalid port"),
        (("127.0.0.1", "no-such-host.invalid"), "resolve|not known"),
    ],
)
def test_connection_that_fails_is_told_in_one_line_without_the_password(
    postgres: Database, postgres_server: PostgresServer, change: tuple[str, str], reason: str
) -> None:
    error = refusal(postgres.url.replace(*change))
    text = all_text(error)
    password = postgres_server.passwords["pipeline"]
    assert password not in text and password.split("@")[0] not in text.replace(postgres.url, "")
    assert "\n" not in str(error) and "DEBITURA_WAREHOUSE" in str(error)
    assert change[1] in str(error) or "127.0.0.1" in str(error)
    assert re.search(reason, str(error))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:pass%zzword@host/db",
        "postgresql://me:pass@word/s3cret@host:5432/db",
        "postgresql://me:s3cret/rest@host/db",
        "postgresql://me:s3cret:rest@host/db",
        "postgresql://me@host:s3cret/db",
        "postgresql://me:s3cret@host/db?no_such_option=1",
        "postgresql://me:s3cret@[::1/db",
    ],
)
def test_address_that_makes_no_sense_does_not_show_its_password(url: str) -> None:
    with pytest.raises((SettingsError, WarehouseError)) as failed, open_warehouse(settings_for(url), wait_s=0):
        pass
    text = all_text(failed.value)
    assert "s3cret" not in text and "pass%zzword" not in text and "pass@word" not in text
    assert "DEBITURA_WAREHOUSE" in text


def test_options_of_the_address_reach_the_driver(postgres: Database) -> None:
    """The test server speaks no TLS: asked to insist on it, the driver must refuse rather than send the password."""
    for options in ("sslmode=require", "sslmode=verify-full&sslrootcert=system"):
        assert "SSL" in str(refusal(f"{postgres.url}?{options}"))
    with open_warehouse(settings_for(f"{postgres.url}?sslmode=disable&application_name=mine")) as warehouse:
        assert warehouse.rows("SELECT current_setting('application_name')") == [("mine",)]


def test_server_that_is_coming_up_is_waited_for(settings: Settings, postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            postgres_server.start()

    with open_warehouse(settings, sleep=sleep) as warehouse:
        assert warehouse.rows("SELECT count(*) FROM raw.cases") == [(0,)]
    assert len(pauses) >= 3


def test_server_that_stays_away_is_said_to_be_away(postgres: Database, postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    try:
        error = refusal(postgres.url)
    finally:
        postgres_server.start()
    assert "refused" in str(error) and f"127.0.0.1:{postgres_server.port}, database {postgres.name}" in str(error)


def test_reading_a_warehouse_that_is_not_there_says_what_to_do(postgres: Database) -> None:
    assert "debitura nightly" in str(refusal(postgres.url, read_only=True))


def test_reader_cannot_write(settings: Settings) -> None:
    with open_warehouse(settings):
        pass
    with open_warehouse(settings, read_only=True) as warehouse, pytest.raises(WarehouseError):
        warehouse.execute("DELETE FROM raw.cases")


def test_schemas_made_by_an_administrator_are_enough(
    postgres: Database, postgres_server: PostgresServer, landings: Landings
) -> None:
    """Least privilege: the role owns its two schemas and may create no other."""
    postgres_server.admin(f"ALTER DATABASE {postgres.name} OWNER TO postgres")
    for schema in ("raw", "ops"):
        postgres_server.admin(f"CREATE SCHEMA {schema} AUTHORIZATION pipeline", postgres.name)
    for number in range(2):
        with open_warehouse(settings_for(postgres.url)) as warehouse:
            warehouse.merge(landings.land("cases", [case("a")], at=night(number)))
            with pytest.raises(WarehouseError, match="permission denied"):
                warehouse.execute("CREATE SCHEMA another")


def test_role_without_rights_is_told_so(postgres: Database, postgres_server: PostgresServer) -> None:
    postgres_server.admin(f"ALTER DATABASE {postgres.name} OWNER TO postgres")
    assert "permission denied for database" in str(refusal(postgres.url))


def test_reader_in_one_statement_never_meets_half_a_merge(settings: Settings, landings: Landings) -> None:
    with open_warehouse(settings) as writer:
        writer.merge(landings.land("cases", [case("a"), case("b")]))
        with open_warehouse(settings, read_only=True) as reader, writer.transaction():
            writer.run("DELETE FROM raw.cases")
            assert reader.rows("SELECT count(*) FROM raw.cases") == [(2,)]


def test_values_of_a_row_that_is_refused_are_not_repeated(settings: Settings, landings: Landings) -> None:
    """An error that quotes the row would carry it into logs and the event log."""
    value = " ".join(["Somebody's", "private", "matter"])
    with open_warehouse(settings) as warehouse:
        warehouse.execute("ALTER TABLE raw.cases ADD CONSTRAINT short CHECK (length(reference) < 10)")
        with pytest.raises(WarehouseError) as failed:
            warehouse.merge(landings.land("cases", [case("a", reference=value)]))
        assert "private matter" not in all_text(failed.value)
        with pytest.raises(WarehouseError) as failed:
            warehouse.rows("SELECT CAST(CAST($1 AS VARCHAR) AS BIGINT)", (value,))
        assert "private matter" not in all_text(failed.value)


def test_instants_are_utc_whatever_the_server_thinks(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute("INSERT INTO ops.webhook_events (event_id, received_at) VALUES ('e', '2026-03-01 02:00:00')")
        assert warehouse.rows("SELECT received_at FROM ops.webhook_events") == [(night(0),)]
        assert str(warehouse.rows("SELECT received_at FROM ops.webhook_events")[0][0]) == "2026-03-01 02:00:00+00:00"


def test_connection_does_not_outlive_the_block(settings: Settings, postgres_server: PostgresServer) -> None:
    with pytest.raises(ZeroDivisionError), open_warehouse(settings) as warehouse:
        raise ZeroDivisionError
    warehouse.close()
    open_sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'debitura%'"
    for _ in range(100):
        if postgres_server.admin(open_sessions) == [(0,)]:
            break
    assert postgres_server.admin(open_sessions) == [(0,)]


def test_lost_connection_is_said_to_be_lost_and_nothing_stays(
    settings: Settings, landings: Landings, postgres: Database
) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.merge(landings.land("cases", [case("a")]))
        before = state(warehouse)
    connection = connect(Secret(postgres.url), "test")
    other = PostgresWarehouse(connection)
    admin = psycopg.connect(postgres.admin_url, autocommit=True)
    with admin, pytest.raises(WarehouseError, match="connection to Postgres was lost"), other.transaction():
        other.run("DELETE FROM raw.cases")
        admin.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        other.run("DELETE FROM ops.syncs")
    with open_warehouse(settings) as warehouse:
        assert state(warehouse) == before


def test_writer_that_waits_too_long_says_that_another_has_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("debitura_pipeline.warehouse.postgres.engine.LOCK_WAIT_MS", 200)
    with open_warehouse(settings) as first, open_warehouse(settings) as second, first.transaction():
        busy = pytest.raises(WarehouseBusy, match="Another writer")
        with busy:
            second.execute("DELETE FROM raw.cases")


def test_application_is_named_to_the_server(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        name = warehouse.rows("SELECT current_setting('application_name')")[0][0]
    assert name.startswith("debitura writer, ") and len(name.encode()) <= 63


def test_intents_outlast_a_crash_of_a_server_that_does_not_wait_for_its_disk(
    settings: Settings, postgres: Database
) -> None:
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{postgres.name}" SET synchronous_commit = off')
    with open_warehouse(settings) as warehouse:
        warehouse.execute("""
            CREATE FUNCTION pg_temp.is_durable() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                ASSERT current_setting('synchronous_commit') = 'on'; RETURN NEW; END $$""")
        for table in ("registrations", "submissions"):
            warehouse.execute(
                f"CREATE TRIGGER durable BEFORE INSERT ON ops.{table} FOR EACH ROW EXECUTE FUNCTION pg_temp.is_durable()"
            )
        write_registrations(warehouse, [Registration("tenant", None, "sent")])
        Records(warehouse).store([Record("tenant", "reference", state="sent")])
        with pytest.raises(WarehouseError):
            warehouse.execute("INSERT INTO ops.registrations (external_tenant_id, state) VALUES ('other', 'sent')")


class DiskIsFull(psycopg.errors.DiskFull):
    """As the server says it while it takes a COPY, or as a function of somebody's says it."""

    def __init__(self, context: str) -> None:
        super().__init__('could not extend file "base/1/2": No space left on device')
        self._context = context

    @property
    def diag(self) -> Any:
        return SimpleNamespace(context=self._context)


def test_full_disk_during_a_copy_is_said_and_the_text_of_a_function_is_not() -> None:
    full = describe_error(DiskIsFull("COPY incoming, line 7"))
    assert "No space left on device" in full and kind_of(full) == SERVER
    assert "may quote a row" in describe_error(DiskIsFull("PL/pgSQL function f() line 1\nCOPY incoming, line 7"))
    assert kind_of("permission denied to create temporary tables in database x") is None, "no folder is in the way"


def test_a_character_that_the_databases_encoding_lacks_is_said_so(postgres: Database) -> None:
    with open_warehouse(settings_for(postgres.url)) as warehouse, pytest.raises(WarehouseError, match="encoding UTF8"):
        warehouse.rows("SELECT convert_to('\u8a9e', 'LATIN1')")
