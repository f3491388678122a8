"""What dbt has parsed, put beside a new warehouse: a night in a new data directory need not parse the project anew.

dbt takes up an earlier parse if it was made for the same connection, of which it keeps a hash. A test's warehouse has a path
or a database of its own, so that hash, and the database's name, are replaced by those of the test. Where they were wrong, dbt
would parse anew.
"""

from __future__ import annotations

import hashlib
import os
import pprint
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from filelock import FileLock
from psycopg.conninfo import conninfo_to_dict

from debitura_pipeline import memory
from debitura_pipeline.orchestration import manifest
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import private_umask
from tests.support.postgres import ANY_DATABASE

PARSED = "partial_parse.msgpack"
NEXT_SCHEMAS = '{"schema_suffix": "__next"}'
TOOK_UP_NONE = "Unable to do partial parsing"  # what dbt's log says when it parses anew
# What dbt's adapters hash, with the values that no setting of the pipeline's changes.
OF_DUCKDB = dict.fromkeys(
    ["attach", "config_options", "extensions", "filesystems", "plugins", "remote", "use_credential_provider"]
) | {"database": "warehouse", "disable_transactions": False, "external_root": ".", "schema": "staging"}
OF_POSTGRES = dict.fromkeys(["role", "search_path", "sslcert", "sslkey", "sslmode", "sslrootcert"]) | {
    "application_name": "dbt", "autocommit": False, "connect_timeout": 10, "keepalives_idle": 0, "retries": 1,
    "schema": "staging",
}  # fmt: skip


class Hash(msgspec.Struct):
    checksum: str


class StateCheck(msgspec.Struct):
    profile_hash: Hash


class Parsed(msgspec.Struct):
    """The part of dbt's file that is read here."""

    state_check: StateCheck


def reuse_parse(settings: Settings, target: Path | None = None) -> None:
    """Put dbt's parse where the next build of the whole project looks for it: in `target`, or where a night's build does."""
    database = settings.warehouse
    assert not database.schema_prefix, "the parse has every schema's name without it"
    if database.dsn is not None:
        _put(target or settings.dagster_home / "dbt-postgres", *_for_postgres(settings))
        return
    assert database.path is not None and database.path.stem == "warehouse"
    reuse_project_parse(target or settings.dagster_home / "dbt", database.path, settings.duckdb_memory)


def reuse_project_parse(target: Path, warehouse: Path, duckdb_memory: str | None = None) -> None:
    """The same for a DuckDB file that no settings belong to. dbt has to be given the same memory, by default the pipeline's."""
    _put(target, _of_project(), _of_duckdb(warehouse, duckdb_memory))


def _put(target: Path, parsed: bytes, connection: str) -> None:
    with private_umask():
        target.mkdir(parents=True, exist_ok=True)
        (target / PARSED).write_bytes(parsed.replace(_hash_in(parsed), connection.encode()))


@cache
def _hash_in(parsed: bytes) -> bytes:
    return msgspec.msgpack.decode(parsed, type=Parsed).state_check.profile_hash.checksum.encode()


def _hash(connection: Mapping[str, object]) -> str:
    return hashlib.sha256(pprint.pformat(sorted(connection.items())).encode()).hexdigest()


@cache
def _of_project() -> bytes:
    return manifest.obtain_manifest().with_name(PARSED).read_bytes()


def _of_duckdb(path: Path, duckdb_memory: str | None) -> str:
    chosen = {
        "TimeZone": "UTC", "memory_limit": duckdb_memory or memory.for_duckdb(), "threads": 2,
        "preserve_insertion_order": False,
    }  # fmt: skip
    return _hash({**OF_DUCKDB, "path": str(path), "settings": chosen})


def _for_postgres(settings: Settings) -> tuple[bytes, str]:
    given = conninfo_to_dict(settings.warehouse.for_dbt.reveal())
    name = str(given["dbname"])
    place = {"host": given["host"], "port": int(str(given["port"])), "user": given["user"], "database": name}
    return _of_any_postgres().replace(ANY_DATABASE.encode(), name.encode()), _hash({**OF_POSTGRES, **place})


@cache
def _of_any_postgres() -> bytes:
    """The project parsed for a database that does not exist; kept beside the project's own parse, for as long as that."""
    target = manifest.obtain_manifest().parent / "of-any-postgres"
    stamp, sources = target / "stamp", manifest.source_fingerprint(manifest.DBT_PROJECT)
    with FileLock(target.with_suffix(".lock")):
        if not stamp.exists() or stamp.read_text() != sources:
            _parse_for_postgres(target)
            stamp.write_text(sources)
        return (target / PARSED).read_bytes()


def _parse_for_postgres(target: Path) -> None:
    env = {
        **os.environ, **manifest.parse_environment(manifest.DBT_PROJECT), "DEBITURA_DBT_TARGET": "postgres",
        "DEBITURA_POSTGRES_DATABASE": ANY_DATABASE,
    }  # fmt: skip
    command = [manifest.dbt_executable(), "--quiet", "parse", "--no-partial-parse", "--vars", NEXT_SCHEMAS]
    subprocess.run(
        [*command, "--target-path", target, "--log-path", target], cwd=manifest.DBT_PROJECT, env=env, check=True
    )
