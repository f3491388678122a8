"""The two sides of a migration: the warehouse that the settings name, and the one at another address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import PROJECT_ROOT, Settings, WarehouseUrl, address_options, declared, load_settings
from debitura_pipeline.settings.addresses import host_of
from debitura_pipeline.settings.declaration import Given
from debitura_pipeline.settings.environment import read_environment
from debitura_pipeline.settings.load import refuse_published
from debitura_pipeline.settings.url_readers import postgres_url, schema_prefix, warehouse_url

TO, TO_PREFIX, TO_DBT_URL = "--to", "--to-schema-prefix", "--to-dbt-url"
_PASSWORD = re.compile(r"(://[^:/?#@]*:)[^@]*@")
_PASSWORD_OPTION = re.compile(r"([?&](?:ssl)?password=)[^&#]*")
_SAME_PLACE = ("host", "port", "dbname")


@dataclass(frozen=True)
class Sides:
    """Settings that differ in the warehouse alone."""

    source: Settings
    target: Settings


def read_sides(
    to: str,
    prefix: str | None = None,
    dbt_url: str | None = None,
    env: Mapping[str, str] | None = None,
    root: Path = PROJECT_ROOT,
) -> Sides:
    """The settings of both sides. `env`: the variables; the process's and `.env` by default.

    DEBITURA_SCHEMA_PREFIX is for whichever side is Postgres, and DEBITURA_DBT_URL for the source unless that is a DuckDB file;
    `prefix` and `dbt_url` are the target's. Raises SettingsError for a wrong value, and if both sides are the same.
    """
    values = dict(read_environment(root) if env is None else env)
    place = warehouse_url(Given(TO, to.strip(), " or ".join(declared.WAREHOUSE.examples), root))
    of_postgres = {}
    if not values.get(declared.WAREHOUSE.name, "").strip().startswith("postgresql"):
        names = (declared.SCHEMA_PREFIX.name, declared.DBT_URL.name)
        of_postgres = {name: values.pop(name) for name in names if values.get(name)}
    source = load_settings(values if of_postgres else env, root)
    own = source.warehouse
    if isinstance(place, Path):
        _refuse_options(prefix, dbt_url)
        refuse_published(place, source.data_dir, TO)
        target = WarehouseUrl("duckdb", path=place)
    else:
        if prefix is None:
            prefix = of_postgres.get(declared.SCHEMA_PREFIX.name, "").strip() or own.schema_prefix
        if dbt_url is None:
            dbt_url = of_postgres.get(declared.DBT_URL.name, "").strip()
        target = WarehouseUrl(
            "postgresql",
            dsn=place,
            dbt_dsn=postgres_url(Given(TO_DBT_URL, dbt_url, declared.DBT_URL.example, root)) if dbt_url else None,
            schema_prefix=schema_prefix(Given(TO_PREFIX, prefix, declared.SCHEMA_PREFIX.example, root))
            if prefix
            else "",
        )
    if _is_same(own, target):
        raise SettingsError(f"{TO} names the warehouse that the settings name already; nothing to migrate.")
    return Sides(source, replace(source, warehouse=target))


def masked_address(warehouse: WarehouseUrl, root: Path = PROJECT_ROOT) -> str:
    """The value of DEBITURA_WAREHOUSE, with asterisks for a password."""
    if warehouse.dsn is None:
        assert warehouse.path is not None
        return f"duckdb:///{warehouse.path}"
    text = warehouse.dsn.reveal()
    masked = _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))
    options = address_options(text) or {}
    if any((secret := str(options.get(name) or "")) and secret in masked for name in ("password", "sslpassword")):
        return f"the address given with {TO}"
    return masked


def _refuse_options(prefix: str | None, dbt_url: str | None) -> None:
    for option, value in ((TO_PREFIX, prefix), (TO_DBT_URL, dbt_url)):
        if value is not None:
            raise SettingsError(f"{option} is only for a Postgres database, and {TO} names a DuckDB file.")


def _is_same(own: WarehouseUrl, other: WarehouseUrl) -> bool:
    if own.path is not None or other.path is not None:
        return own.path is not None and other.path is not None and _is_same_file(own.path, other.path)
    return own.schema_prefix == other.schema_prefix and _server(own.server) == _server(other.server)


def _is_same_file(one: Path, other: Path) -> bool:
    """By a symbolic or a hard link, too."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _server(dsn: Secret) -> list[str | None]:
    options = address_options(dsn.reveal()) or {}
    options["host"] = host_of(options)
    defaults = {"port": "5432"}
    return [str(options.get(name) or defaults.get(name)) for name in _SAME_PLACE]
