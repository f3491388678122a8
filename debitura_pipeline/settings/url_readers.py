"""Readers of addresses: APIs, Postgres, the warehouse, Redis. An address may hold a password, so no error shows one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from debitura_pipeline.secret import Secret
from debitura_pipeline.settings.addresses import LOOPBACK, POSTGRES, address_options
from debitura_pipeline.settings.declaration import Given, ValueReader
from debitura_pipeline.settings.readers import path_of

T = TypeVar("T")

POSTGRES_EXAMPLE = "postgresql://user:password@host:5432/db?sslmode=verify-full"
DUCKDB = "duckdb:///"
FILE = "file://"

# Host and path alone, of the letters that both may hold as they are.
_PLAIN_URL = re.compile(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d*)?(/[A-Za-z0-9_.~%/-]*)?", re.IGNORECASE)
_BUCKET_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?")
# With the longest name that a schema gets, `reports__previous`, Postgres's 63 bytes.
_SCHEMA_PREFIX = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,45}")


def http_url(given: Given) -> str:
    """An API's base address, without a slash at its end. Plain http is for this machine alone."""
    parts = _converted(given, urlsplit, "URL")
    port = _converted(given, lambda _: parts.port, "URL: its port is not a number from 1 to 65535")
    is_plain = _PLAIN_URL.fullmatch(given.text) is not None and port != 0 and parts.username is None
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise given.wrong("is not a plain http(s) address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise given.wrong("is http; outside this machine only https is used")
    return given.text.rstrip("/")


def postgres_url(given: Given) -> Secret:
    """A Postgres address that libpq understands."""
    if not given.text.startswith(POSTGRES):
        raise given.wrong("is not a postgresql:// address", POSTGRES_EXAMPLE)
    if address_options(given.text) is None:
        raise given.wrong(
            "is not an address that libpq understands. Characters like @ : / % in a password are written as "
            "%40 %3A %2F %25",
            POSTGRES_EXAMPLE,
        )
    return Secret(given.text, given.name)


def warehouse_url(given: Given) -> Path | Secret:
    """A DuckDB file's path, or a Postgres address."""
    if given.text.startswith(DUCKDB):
        tail = given.text.removeprefix(DUCKDB)
        if not tail or tail.endswith("/") or tail == ":memory:":
            raise given.wrong("names no file")
        return path_of(given._replace(text=tail))
    if given.text.startswith(POSTGRES):
        return postgres_url(given)
    raise given.wrong("is neither a duckdb:/// nor a postgresql:// address")


def schema_prefix(given: Given) -> str:
    """The beginning of a Postgres schema's name that needs no quotes."""
    if _SCHEMA_PREFIX.fullmatch(given.text) is None:
        raise given.wrong("must be a lower-case letter and at most 45 of a-z, 0-9, _ after it, and not pg_")
    return given.text


def redis_url(given: Given) -> Secret:
    """The address of a Redis server, `redis://` or, encrypted, `rediss://`; its path is the number of a database."""
    parts = _converted(given, urlsplit, "URL")
    port = _converted(given, lambda _: parts.port, "URL: its port is not a number from 1 to 65535")
    is_numbered = parts.path.strip("/") == "" or parts.path.strip("/").isdecimal()
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or port == 0 or not is_numbered:
        raise given.wrong(
            "is not a redis:// or rediss:// address. Characters like @ : / % in a password are written as %40 %3A %2F %25"
        )
    return Secret(given.text, given.name)


def _converted(given: Given, convert: Callable[[str], T], what: str) -> T:
    try:
        return convert(given.text)
    except ValueError:
        raise given.wrong(f"is not a {what}") from None


def store_url(given: Given) -> str:
    """A folder or a bucket with a prefix, without a slash at its end. Credentials have settings of their own."""
    if given.text.startswith(FILE):
        if given.text.removeprefix(FILE).startswith("/"):
            return f"{FILE}{path_of(given._replace(text=given.text.removeprefix(FILE)))}"
        raise given.wrong("names no absolute folder")
    if _BUCKET_URL.fullmatch(given.text) is None:
        raise given.wrong(
            "is neither a file:// nor an s3:// address of plain letters, without user, password and query"
        )
    return given.text.rstrip("/")


def endpoint_url(given: Given) -> str:
    """The address of a server: scheme, host and port alone."""
    parts = _converted(given, urlsplit, "URL")
    if _PLAIN_URL.fullmatch(given.text) is None or parts.path.strip("/"):
        raise given.wrong("is not the http(s) address of a server")
    return given.text.rstrip("/")


HTTP_URL = ValueReader("an https:// address; http:// for this machine only", http_url)
POSTGRES_URL = ValueReader("a postgresql:// address", postgres_url)
WAREHOUSE_URL = ValueReader("a duckdb:/// or a postgresql:// address", warehouse_url)
SCHEMA_PREFIX = ValueReader("a-z, 0-9 and _, a letter first, at most 46 characters", schema_prefix)
REDIS_URL = ValueReader("a redis:// or a rediss:// address", redis_url)
STORE_URL = ValueReader("an s3:// or a file:// address", store_url)
ENDPOINT_URL = ValueReader("an http(s) address", endpoint_url)
