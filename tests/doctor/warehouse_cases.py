"""What can be wrong with the warehouse: files that are none, locks, logins, rights, databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import duckdb

from debitura_pipeline.warehouse.postgres.neighbours import MARK
from debitura_pipeline.warehouse.postgres.roles import ANALYST, DBT, PIPELINE, grant_sql
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from tests.doctor.case import Case, Scene
from tests.doctor.servers import closed_port, serving
from tests.support.command import environment
from tests.support.pooler import pooled
from tests.support.postgres import Database

HOLDER = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
RUN = """
import subprocess, sys
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.run_lock import exclusive_run
with exclusive_run(load_settings(), "nightly"):
    with subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdin=subprocess.PIPE):
        sys.stdin.read()
"""


def _file(make_it: Callable[[Path], object]) -> Callable[[Scene], None]:
    """A file of the case's own as the warehouse."""

    def make(scene: Scene) -> None:
        path = scene.folder / "w.duckdb"
        make_it(path)
        scene.env["DEBITURA_WAREHOUSE"] = f"duckdb:///{path}"

    return make


def _of_something_else(path: Path) -> None:
    with duckdb.connect(str(path)) as other:
        other.execute("CREATE SCHEMA marts; CREATE TABLE marts.finance (a INTEGER)")


def _held(scene: Scene) -> None:
    _hold(scene, ["-c", HOLDER])


def _held_by_run(scene: Scene) -> None:
    """By a process that the run has started, as it starts dbt."""
    _hold(scene, ["-c", RUN, HOLDER])


def _hold(scene: Scene, arguments: list[str]) -> None:
    path = scene.folder / "w.duckdb"
    scene.env["DEBITURA_WAREHOUSE"] = f"duckdb:///{path}"
    env = environment({**scene.env, "DEBITURA_DATA_DIR": str(scene.data)})
    process = subprocess.Popen(
        [sys.executable, *arguments, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    scene.stack.callback(process.__exit__, None, None, None)
    scene.stack.callback(process.kill)
    assert process.stdout is not None and process.stdout.readline() == "held\n"


def _pg(change: Callable[[str], str], variable: str = "DEBITURA_WAREHOUSE") -> Callable[[Scene], None]:
    """An empty database, whose address is changed."""

    def make(scene: Scene) -> None:
        database = _database(scene)
        scene.env["DEBITURA_WAREHOUSE"] = database.url
        scene.env[variable] = change(database.url)

    return make


def _database(scene: Scene) -> Database:
    return scene.stack.enter_context(scene.server.database())


def _role(scene: Scene, database: Database, name: str = "reader") -> str:
    """The address for a role that may log in and nothing else."""
    scene.server.admin(f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'")
    scene.stack.callback(scene.server.admin, f"DROP ROLE {name}")
    return f"postgresql://{name}:s3cret@127.0.0.1:{scene.server.port}/{database.name}"


def _without_rights(variable: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        database = _database(scene)
        scene.env["DEBITURA_WAREHOUSE"] = database.url
        scene.server.admin(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
        scene.env[variable] = _role(scene, database)
        scene.server.admin(f"GRANT CONNECT ON DATABASE {database.name} TO reader")
        scene.stack.callback(scene.server.admin, f"REVOKE ALL ON DATABASE {database.name} FROM reader")

    return make


def _pooler(scene: Scene) -> None:
    database = _database(scene)
    pooler = scene.stack.enter_context(pooled(scene.server.port, "transaction"))
    scene.env["DEBITURA_WAREHOUSE"] = database.url.replace(f":{scene.server.port}/", f":{pooler.port}/")


def _beside(sql: str, *, prefix: str = "") -> Callable[[Scene], None]:
    """A database in which others have made something."""

    def make(scene: Scene) -> None:
        database = _database(scene)
        for statement in sql.split(";"):
            scene.server.admin(statement, database.name)
        scene.env |= {"DEBITURA_WAREHOUSE": database.url, "DEBITURA_SCHEMA_PREFIX": prefix}

    return make


def _other_than_the_roles(scene: Scene) -> None:
    """The warehouse belongs to the roles of the grant script; the settings name a user of the operator's own."""
    database = _database(scene)
    scene.env["DEBITURA_WAREHOUSE"] = database.url
    scene.stack.callback(_drop_roles, scene, database)
    scene.server.admin(grant_sql(Schemas()), database.name)
    scene.env["DEBITURA_WAREHOUSE"] = _role(scene, database)
    scene.server.admin(f"GRANT CONNECT ON DATABASE {database.name} TO reader")
    scene.stack.callback(scene.server.admin, f"REVOKE ALL ON DATABASE {database.name} FROM reader")


def _drop_roles(scene: Scene, database: Database) -> None:
    for role in (PIPELINE, DBT, ANALYST):
        scene.server.admin(f"DROP OWNED BY {role} CASCADE", database.name)
        scene.server.admin(f"DROP ROLE {role}")


def _two_databases(scene: Scene) -> None:
    scene.env["DEBITURA_WAREHOUSE"] = _database(scene).url
    scene.env["DEBITURA_DBT_URL"] = _database(scene).url


def _silent(scene: Scene) -> None:
    port = scene.stack.enter_context(serving(None))
    scene.env["DEBITURA_WAREHOUSE"] = f"postgresql://pipeline:s3cret@127.0.0.1:{port}/db"


def _password(url: str) -> str:
    user, rest = url.split("@", 1)
    return f"{user.rsplit(':', 1)[0]}:{quote('s3cret wrong')}@{rest}"


def _closed(_: str) -> str:
    return f"postgresql://pipeline:s3cret@127.0.0.1:{closed_port()}/db"


def _elsewhere(url: str) -> str:
    return url.replace("127.0.0.1", "no-such-host.invalid")


PLACE = r"Postgres at 127\.0\.0\.1:\d+, database \w+"
CASES = [
    Case(
        "the warehouse is a folder",
        _file(Path.mkdir),
        "warehouse",
        r"w\.duckdb is a folder, not a file",
        "DEBITURA_WAREHOUSE to a file",
    ),
    Case(
        "a file that is not a database",
        _file(lambda path: path.write_bytes(b"garbage " * 2000)),
        "warehouse",
        r"w\.duckdb cannot be opened: it is not a DuckDB file",
        "DEBITURA_WAREHOUSE .*debitura replay",
    ),
    Case(
        "a DuckDB file of another program",
        _file(_of_something_else),
        "warehouse",
        r"w\.duckdb belongs to another program: it contains tables \(1\)",
        "DEBITURA_WAREHOUSE",
    ),
    Case(
        "a file that another program has open",
        _held,
        "warehouse",
        r"w\.duckdb is locked by process \d+",
        "Close the program that uses it",
    ),
    Case(
        "a file that the run in progress has open",
        _held_by_run,
        "warehouse",
        r"w\.duckdb is in use by the run in progress, so it was not opened",
        "",
        is_ok=True,
    ),
    Case(
        "Postgres: a wrong password",
        _pg(_password),
        "warehouse",
        rf"{PLACE} .*password authentication failed",
        "The user or the password is wrong.*DEBITURA_WAREHOUSE",
    ),
    Case(
        "Postgres: nothing is listening",
        _pg(_closed),
        "warehouse",
        r"127\.0\.0\.1:\d+.*refused",
        "Nothing is listening there: check host and port in DEBITURA_WAREHOUSE",
    ),
    Case(
        "Postgres: no such database",
        _pg(lambda url: f"{url}_not"),
        "warehouse",
        r"database .* does not exist",
        "no such database .*DEBITURA_WAREHOUSE.*CREATE DATABASE",
    ),
    Case(
        "Postgres: no such host",
        _pg(_elsewhere),
        "warehouse",
        r"no-such-host\.invalid:\d+.*(resolve|not known)",
        "name was not found: check the host in DEBITURA_WAREHOUSE",
    ),
    Case(
        "Postgres: a server that never answers",
        _silent,
        "warehouse",
        r"no answer from Postgres at 127\.0\.0\.1:\d+",
        "reachable",
    ),
    Case(
        "Postgres: a pooler in transaction mode",
        _pooler,
        "warehouse",
        r"127\.0\.0\.1:\d+, database \w+, is a pooler in transaction mode",
        "Set DEBITURA_WAREHOUSE to the server's own address, or to a pool in session mode",
    ),
    Case(
        "Postgres: tables of others in the pipeline's schemas",
        _beside("CREATE SCHEMA marts; CREATE TABLE marts.finance (a integer)"),
        "warehouse",
        r"contain objects that it did not create: marts\.finance \(table, owner postgres\)",
        "DEBITURA_SCHEMA_PREFIX .*a separate database",
    ),
    Case(
        "Postgres: foreign tables of others in the pipeline's schemas",
        _beside(
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER elsewhere FOREIGN DATA WRAPPER w; CREATE SCHEMA reports; "
            "CREATE FOREIGN TABLE reports.orders (a integer) SERVER elsewhere"
        ),
        "warehouse",
        r"contain objects that it did not create: reports\.orders \(foreign table, owner postgres\)",
        "DEBITURA_SCHEMA_PREFIX",
    ),
    Case(
        "Postgres: views of others on the pipeline's tables",
        _beside(
            f"CREATE SCHEMA deb_marts; COMMENT ON SCHEMA deb_marts IS '{MARK}'; CREATE TABLE deb_marts.fct_cases (a integer); "
            f"COMMENT ON TABLE deb_marts.fct_cases IS '{MARK}'; CREATE VIEW public.board AS SELECT a FROM deb_marts.fct_cases",
            prefix="deb_",
        ),
        "warehouse",
        r"contain objects that it did not create: public\.board \(view, on deb_marts\.fct_cases\)",
        "Drop them and build them as models in dbt/models",
    ),
    Case(
        "Postgres: a role without privileges",
        _without_rights("DEBITURA_WAREHOUSE"),
        "privileges in DEBITURA_WAREHOUSE",
        r"user reader at 127.* may not create the schemas raw, ops .*, nor create temporary tables",
        r'GRANT CREATE, TEMPORARY ON DATABASE "\w+" TO "reader"\. Or .*--grant-sql.*debitura_pipeline in DEBITURA_WAREHOUSE',
    ),
    Case(
        "Postgres: another user than the roles that own the schemas",
        _other_than_the_roles,
        "privileges in DEBITURA_WAREHOUSE",
        r"user reader at 127.* may not .*use and create in schema raw",
        r"Set DEBITURA_WAREHOUSE to the owner \(debitura_dbt or debitura_pipeline\).* does not help reader",
    ),
    Case(
        "Postgres: dbt's wrong password",
        _pg(_password, "DEBITURA_DBT_URL"),
        "DEBITURA_DBT_URL",
        rf"{PLACE} .*password authentication failed",
        "wrong: correct it in DEBITURA_DBT_URL",
    ),
    Case(
        "Postgres: dbt's role without privileges",
        _without_rights("DEBITURA_DBT_URL"),
        "privileges in DEBITURA_DBT_URL",
        r"user reader at 127.* may not create schemas to build in",
        r'GRANT CREATE, TEMPORARY ON DATABASE "\w+" TO "reader"',
    ),
    Case(
        "Postgres: dbt in another database",
        _two_databases,
        "DEBITURA_DBT_URL",
        "is not the database of DEBITURA_WAREHOUSE",
        "same server and database",
    ),
    Case(
        "Dagster's Postgres: a wrong password",
        _pg(_password, "DAGSTER_POSTGRES_URL"),
        "DAGSTER_POSTGRES_URL",
        rf"{PLACE} .*password authentication failed",
        "DAGSTER_POSTGRES_URL",
    ),
    Case(
        "Dagster's Postgres: nothing is listening",
        _pg(_closed, "DAGSTER_POSTGRES_URL"),
        "DAGSTER_POSTGRES_URL",
        "refused",
        "check host and port in DAGSTER_POSTGRES_URL",
    ),
    Case(
        "Dagster's Postgres: no privilege to create tables",
        _without_rights("DAGSTER_POSTGRES_URL"),
        "DAGSTER_POSTGRES_URL",
        "may not create tables there",
        "GRANT CREATE ON SCHEMA public",
    ),
]
