"""Addresses: Debitura's hosts, which hosts are this machine, and libpq's reading of a URL."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

API_HOSTS = {"test": "https://testreferral-api.debitura.com", "production": "https://referral-api.debitura.com"}
CUSTOMER_HOSTS = {"test": "https://testcustomer-api.debitura.com", "production": "https://customer-api.debitura.com"}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
POSTGRES = ("postgresql://", "postgres://")


def is_remote(url: str | None) -> bool:
    """Whether an API's address leads off this machine."""
    return url is not None and urlsplit(url).hostname not in LOOPBACK


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


def host_of(options: Mapping[str, Any]) -> str:
    """The server that options of a Postgres address name; each way to say "this machine" is `localhost`."""
    host = str(options.get("hostaddr") or options.get("host") or "localhost").lower()
    return "localhost" if host in LOOPBACK or host == "0.0.0.0" else host  # noqa: S104 - only compared
