"""Environment -> one frozen, checked `Settings`. Only `environment.py` reads the environment itself.

Belongs here: names, defaults, checks, the privacy key's file. Does not: opening connections. Called by the
command line, the Dagster resources and the tests, once each.
"""

from __future__ import annotations

import os
import re
import secrets
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args
from urllib.parse import urlsplit

from debitura_pipeline.environment import read_environment
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.proxies import DIRECT, PORTS, Network, read_network
from debitura_pipeline.secret import Secret as Secret  # noqa: PLC0414 - part of this module's names

PROJECT_ROOT = Path(__file__).resolve().parent.parent

Environment = Literal["sandbox", "test", "production"]
Privacy = Literal["pseudonymous", "full"]

API_HOSTS = {"test": "https://testreferral-api.debitura.com", "production": "https://referral-api.debitura.com"}
CUSTOMER_HOSTS = {"test": "https://testcustomer-api.debitura.com", "production": "https://customer-api.debitura.com"}
POSTGRES = ("postgresql://", "postgres://")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
API_PER_MINUTE = 2_000  # what the API grants a key; its hour is ten and its day fifty such minutes
PRIVACY_KEY_BYTES = 32
PRIVACY_KEY_FILE = "privacy.key"
LEAST_PRIVACY_KEY = 16  # characters
# With the longest name that a schema gets, `reports__previous`, Postgres's 63 bytes.
DUCKDB_MEMORY = "400MiB"  # while dbt builds
_MEMORY = re.compile(r"([1-9]\d*(?:\.\d+)?) ?([KMG])(i?)B", re.IGNORECASE)
_SCHEMA_PREFIX = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,45}")
MOST_IN_FLIGHT = 32  # where no number is set: as many as it takes to ask 1,800 a minute at 850 ms an answer

# Host and path alone, of the letters that both may hold as they are.
_PLAIN_URL = re.compile(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d*)?(/[A-Za-z0-9_.~%/-]*)?", re.IGNORECASE)

POSTGRES_EXAMPLE = "postgresql://user:password@host:5432/db?sslmode=verify-full"

T = TypeVar("T")


@dataclass(frozen=True)
class WarehouseUrl:
    """Where the warehouse is. `engine` is `duckdb` (then `path`) or `postgresql` (then `dsn`, which holds a password).

    `dbt_dsn`: the same database for dbt's own role, where it has one. `schema_prefix`: before the names of the schemas there.
    """

    engine: Literal["duckdb", "postgresql"]
    path: Path | None = None
    dsn: Secret | None = None
    dbt_dsn: Secret | None = None
    schema_prefix: str = ""

    @property
    def server(self) -> Secret:
        """The database's address. Raises ValueError where the warehouse is a file."""
        if self.dsn is None:
            raise ValueError(f"the warehouse {self.path} is a file")
        return self.dsn

    @property
    def for_dbt(self) -> Secret:
        """The same for dbt's role."""
        return self.dbt_dsn or self.server


@dataclass(frozen=True)
class Endpoint:
    """An API to talk to: where, with which key. `is_simulated`: the sandbox, whose clock is its own."""

    base_url: str
    api_key: Secret
    customer_url: str | None
    is_simulated: bool


@dataclass(frozen=True)
class Settings:
    """All settings, checked. `api_url` is None where the embedded sandbox is to be used."""

    environment: Environment
    api_url: str | None
    api_key: Secret | None
    customer_api_url: str | None
    warehouse: WarehouseUrl
    data_dir: Path
    privacy: Privacy
    privacy_key: Secret | None = field(repr=False)
    requests_per_minute: int
    concurrency: int
    most_in_flight: int
    refresh_days: int
    dagster_home: Path
    dagster_postgres: Secret | None = None
    network: Network = DIRECT
    outage_minutes: int = 30
    run_retries: int = 3
    keep_run_days: int = 90
    duckdb_memory: str = DUCKDB_MEMORY

    @property
    def uses_embedded_sandbox(self) -> bool:
        return self.api_url is None

    @property
    def landing_dir(self) -> Path:
        return self.data_dir / "landing"

    @property
    def published_dir(self) -> Path:
        return self.data_dir / "published"

    @property
    def reports_dir(self) -> Path:
        return self.data_dir / "reports"

    def find_privacy_key(self) -> bytes | None:
        """Key of the debtor pseudonyms: the setting, else the data directory's own; None where neither is there.

        Raises SettingsError where the file holds no usable key.
        """
        if self.privacy_key is not None:
            return self.privacy_key.reveal().encode()
        path = self.data_dir / PRIVACY_KEY_FILE
        return _read_key(path) if path.exists() else None

    def obtain_privacy_key(self) -> bytes:
        """The same; where there is none, the data directory's own is made, once, with mode 0600."""
        found = self.find_privacy_key()
        if found is not None:
            return found
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.data_dir / PRIVACY_KEY_FILE
        draft = self.data_dir / f".privacy.{os.getpid()}.key"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(PRIVACY_KEY_BYTES))
        try:
            os.link(draft, path)  # fails where another process was first: its key then stands
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return _read_key(path)


def _read_key(path: Path) -> bytes:
    """The key in a file. Raises SettingsError where the file cannot be read or holds none that is long enough."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); it holds the key of the pseudonyms.") from None
    if len(key) < LEAST_PRIVACY_KEY:
        raise SettingsError(
            f"{path} holds no privacy key of at least {LEAST_PRIVACY_KEY} characters. Put it back from a backup or set "
            "DEBITURA_PRIVACY_KEY to the old key; without it pseudonyms change. Nothing was changed.",
            variable="DEBITURA_PRIVACY_KEY",
        )
    return key


def load_settings(env: Mapping[str, str] | None = None, root: Path = PROJECT_ROOT) -> Settings:
    """Settings from `env` (default: the process's environment over the `.env` file at `root`).

    Relative paths are taken from `root`. Raises SettingsError with one line naming the variable, the fault and an
    example; nothing has been touched then.
    """
    values = read_environment(root) if env is None else dict(env)
    read = _Reader({name: value.strip() for name, value in values.items() if value is not None})
    environment = cast(Environment, read.choice("DEBITURA_ENVIRONMENT", "sandbox", get_args(Environment)))
    own_url = read.url("DEBITURA_API_URL")
    customer_url = read.url("DEBITURA_CUSTOMER_API_URL")
    key = read.text("DEBITURA_API_KEY")
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise _wrong(
            "DEBITURA_API_KEY", "holds spaces or characters that a header cannot carry", "the key as Debitura issued it"
        )
    if key is not None and key[0] == key[-1] and key[0] in "'\"":
        raise _wrong(
            "DEBITURA_API_KEY", "stands in quotes, which would be sent as part of it", "the key without quotes"
        )
    if key is None and (own_url is not None or environment != "sandbox"):
        why = "an API address is set" if own_url is not None else f"the environment is {environment}"
        raise _wrong("DEBITURA_API_KEY", f"is needed, since {why}", "the XApiKey that Debitura issued")
    if key is not None and own_url is None and environment == "sandbox":
        raise SettingsError(
            "DEBITURA_API_KEY is set and DEBITURA_ENVIRONMENT is sandbox, whose data is simulated. Unset the key, or set "
            "the environment that it is for. Example: DEBITURA_ENVIRONMENT=production",
            variable="DEBITURA_ENVIRONMENT",
        )
    data_dir = read.path("DEBITURA_DATA_DIR", root / "data", root)
    privacy_key = read.text("DEBITURA_PRIVACY_KEY")
    if privacy_key is not None and len(privacy_key) < LEAST_PRIVACY_KEY:
        raise _wrong(
            "DEBITURA_PRIVACY_KEY", f"is shorter than {LEAST_PRIVACY_KEY} characters", "64 random hexadecimal digits"
        )
    if privacy_key is None and (data_dir / PRIVACY_KEY_FILE).exists():
        _read_key(data_dir / PRIVACY_KEY_FILE)
    api_url = own_url or API_HOSTS.get(environment)
    customer_api_url = customer_url or (CUSTOMER_HOSTS.get(environment) if own_url is None else None)
    return Settings(
        environment=environment,
        api_url=api_url,
        api_key=Secret(key) if key is not None else None,
        customer_api_url=customer_api_url,
        warehouse=_warehouse(read, data_dir, root),
        data_dir=data_dir,
        privacy=cast(Privacy, read.choice("DEBITURA_PRIVACY", "pseudonymous", get_args(Privacy))),
        privacy_key=Secret(privacy_key) if privacy_key is not None else None,
        requests_per_minute=read.whole(
            "DEBITURA_REQUESTS_PER_MINUTE", 1800, 1, _most_a_minute(own_url or API_HOSTS.get(environment))
        ),
        concurrency=read.whole("DEBITURA_CONCURRENCY", 8, 1, 64),
        most_in_flight=read.whole("DEBITURA_CONCURRENCY", MOST_IN_FLIGHT, 1, 64),
        refresh_days=read.whole("DEBITURA_REFRESH_DAYS", 30, 1, 3650),
        dagster_home=read.path("DAGSTER_HOME", data_dir / "dagster", root),
        dagster_postgres=read.postgres("DAGSTER_POSTGRES_URL"),
        network=read_network(values, _hosts(api_url, customer_api_url), read.certificates("DEBITURA_CA_FILE", root)),
        outage_minutes=read.whole("DEBITURA_OUTAGE_MINUTES", 30, 0, 720),
        run_retries=read.whole("DEBITURA_RUN_RETRIES", 3, 0, 10),
        keep_run_days=read.whole("DEBITURA_KEEP_RUN_DAYS", 90, 0, 36500),
        duckdb_memory=read.memory("DEBITURA_DUCKDB_MEMORY", DUCKDB_MEMORY),
    )


def _hosts(*urls: str | None) -> list[tuple[str, int]]:
    """Hosts with their ports of the addresses that are set."""
    parts = [urlsplit(url) for url in urls if url is not None]
    return [(part.hostname or "", part.port or PORTS[part.scheme]) for part in parts]


def address_options(url: str) -> dict[str, Any] | None:
    """The options in a Postgres address; None where libpq does not understand it, or a password has spilt into other parts."""
    from psycopg import Error  # noqa: PLC0415 - takes a while to load, and most have no Postgres
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    with suppress(Error):  # what libpq says of an address quotes it
        options = dict(conninfo_to_dict(url))
        # A password with @ : / as they are moves its rest into the host, the port or the database, which are shown.
        shown = "".join(str(options.get(name) or "") for name in ("host", "dbname"))
        if "@" not in shown and str(options.get("port") or "0").replace(",", "").isdecimal():
            return options
    return None


def _most_a_minute(url: str | None) -> int:
    """The API's own limit; a simulated API on this machine may have another."""
    return API_PER_MINUTE if url is not None and urlsplit(url).hostname not in LOOPBACK else 1_000_000


def _wrong(name: str, fault: str, example: str) -> SettingsError:
    return SettingsError(f"{name} {fault}. Example: {name}={example}", variable=name)


def _warehouse(read: _Reader, data_dir: Path, root: Path) -> WarehouseUrl:
    name, example = "DEBITURA_WAREHOUSE", "duckdb:///data/warehouse.duckdb or postgresql://user:password@host:5432/db"
    url = read.text(name)
    dbt_dsn = read.postgres("DEBITURA_DBT_URL")
    if dbt_dsn is not None and not (url or "").startswith(POSTGRES):
        raise _wrong(
            "DEBITURA_DBT_URL", "is set, and the warehouse is not Postgres", "nothing, or see DEBITURA_WAREHOUSE"
        )
    prefix = read.schema_prefix("DEBITURA_SCHEMA_PREFIX", is_postgres=(url or "").startswith(POSTGRES))
    if url is None:
        return WarehouseUrl("duckdb", path=data_dir / "warehouse.duckdb")
    if url.startswith("duckdb:///"):
        tail = url.removeprefix("duckdb:///")
        if not tail or tail.endswith("/"):
            raise _wrong(name, "names no file", example)
        return WarehouseUrl("duckdb", path=(root / tail).resolve())
    if url.startswith(POSTGRES):
        return WarehouseUrl("postgresql", dsn=read.postgres(name), dbt_dsn=dbt_dsn, schema_prefix=prefix)
    raise _wrong(name, "is neither a duckdb:/// nor a postgresql:// address", example)


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "no such file"


def bytes_of(memory: str) -> int:
    """An amount of memory as DEBITURA_DUCKDB_MEMORY is written, such as 400MiB or 2 GB."""
    found = _MEMORY.fullmatch(memory)
    if found is None:
        raise ValueError(f"{memory!r} is no amount of memory")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** ("KMG".index(found[2].upper()) + 1))


class _Reader:
    """Typed look-ups over the environment; an empty value counts as not set."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        return self._values.get(name) or None

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name) or default
        if value not in allowed:
            raise _wrong(name, f"is {value!r}, which is none of {', '.join(allowed)}", default)
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name)
        value = self._converted(name, text, int, "whole number", str(default)) if text is not None else default
        if not low <= value <= high:
            raise _wrong(name, f"is {value}, outside {low} to {high}", str(default))
        return value

    def memory(self, name: str, default: str) -> str:
        value = self.text(name) or default
        if _MEMORY.fullmatch(value) is None:
            raise _wrong(name, f"is {value!r}, which is no amount of memory", default)
        return value

    def path(self, name: str, default: Path, root: Path) -> Path:
        text = self.text(name)
        path = (root / Path(text).expanduser()).resolve() if text is not None else default
        if path.exists() and not path.is_dir():
            raise _wrong(name, f"is {path}, which is a file, not a folder", str(default.name))
        return path

    def certificates(self, name: str, root: Path) -> Path | None:
        """A PEM bundle of at least one certificate, each of them readable."""
        text, example = self.text(name), "/etc/ssl/certs/company-ca.pem"
        if text is None:
            return None
        path, found = (root / Path(text).expanduser()).resolve(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            found.load_verify_locations(cafile=path)
        except ssl.SSLError:  # an OSError, too
            pass
        except (OSError, ValueError) as error:
            raise _wrong(name, f"is {path}, which cannot be read ({_why(error)})", example) from None
        else:
            if found.cert_store_stats()["x509"]:
                return path
        raise _wrong(name, f"is {path}, which is not a bundle of certificates in PEM format", example)

    def url(self, name: str) -> str | None:
        text = self.text(name)
        if text is None:
            return None
        example = API_HOSTS["test"]
        parts = self._converted(name, text, urlsplit, "URL", example)
        port = self._converted(name, text, lambda _: parts.port, "URL: its port is no number from 1 to 65535", example)
        is_plain = _PLAIN_URL.fullmatch(text) is not None and port != 0 and parts.username is None
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
            raise _wrong(name, "is not a plain http(s) address", example)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise _wrong(name, "is http; outside this machine only https is used", example)
        return text.rstrip("/")

    def postgres(self, name: str) -> Secret | None:
        text = self.text(name)
        if text is None:
            return None
        if not text.startswith(POSTGRES):
            raise _wrong(name, "is not a postgresql:// address", POSTGRES_EXAMPLE)
        if address_options(text) is None:
            raise _wrong(
                name,
                "is no address that Postgres's library understands. Characters like @ : / % in a password are written as "
                "%40 %3A %2F %25",
                POSTGRES_EXAMPLE,
            )
        return Secret(text, name)

    def schema_prefix(self, name: str, *, is_postgres: bool) -> str:
        text = self.text(name)
        if text is None:
            return ""
        if not is_postgres:
            raise _wrong(name, "is set, and the warehouse is not Postgres", "nothing, or see DEBITURA_WAREHOUSE")
        if _SCHEMA_PREFIX.fullmatch(text) is None:
            raise _wrong(
                name, "must be a lower-case letter and at most 45 of a-z, 0-9, _ after it, and not pg_", "deb_"
            )
        return text

    @staticmethod
    def _converted(name: str, text: str, convert: Callable[[str], T], what: str, example: str) -> T:
        try:
            return convert(text)
        except ValueError:
            raise _wrong(name, f"is not a {what}", example) from None
