"""Readers of the settings for what is sent to Debitura and to people. Their values may hold passwords, so no error shows one."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import parse_qs, urlsplit

from debitura_pipeline.secret import Secret
from debitura_pipeline.settings.addresses import LOOPBACK, POSTGRES
from debitura_pipeline.settings.declaration import Given, ValueReader

WRITES = ("clients", "cases", "webhooks")
LEAST_SECRET_BYTES = 16  # a shorter one is no secret of an HMAC
_ALERT = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
# What libpq would take; a folder may be called `host=eu`.
_CONNECTION = re.compile(r"\bpass(word|file)\s*=|^\w+\s*=\s*\S+(\s+\w+\s*=\s*\S+)+$|^postgres(ql)?:?/", re.IGNORECASE)
# A comma separates addresses where another address follows; others belong to the address.
_BETWEEN = re.compile(r"\s*,\s*(?=[a-zA-Z][a-zA-Z0-9+.-]*://)")


def writable(given: Given) -> frozenset[str]:
    """`none`, or some of `WRITES`, comma-separated."""
    words = {word.strip() for word in given.text.split(",")}
    if words == {"none"}:
        return frozenset()
    if unknown := sorted(words - {*WRITES}):
        raise given.wrong(f"names {', '.join(map(repr, unknown))}, which is not one of {', '.join(WRITES)}")
    return frozenset(words)


def source(given: Given) -> Secret:
    """A path, a glob, or the address of a Postgres table, `?table=schema.name`. Whether it can be read is checked when it is."""
    text = given.text
    if (
        _CONNECTION.search(text) and "://" not in text
    ):  # it may hold a password, which the name of a file is printed with
        raise given.wrong("is neither a path nor a postgresql:// address")
    if "://" not in text:
        path = given.root / text if not text.startswith("~") else text
        return Secret(str(path), given.name)
    if not text.startswith(POSTGRES):
        raise given.wrong("is neither a path nor a postgresql:// address")
    try:
        tables = parse_qs(urlsplit(text).query).get("table", [])
    except ValueError:
        tables = []
    if len(tables) != 1 or not all(part.strip() for part in tables[0].split(".")):
        raise given.wrong("names no table; end the address with ?table=schema.name")
    return Secret(text, given.name)


def signing_secrets(given: Given) -> tuple[Secret, ...]:
    """Base64 texts, comma-separated; the values are the decoded bytes in Base64."""
    found = []
    for number, text in enumerate((part.strip() for part in given.text.split(",")), start=1):
        try:
            decoded = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise given.wrong(f"contains a secret (number {number}) that is not Base64") from None
        if len(decoded) < LEAST_SECRET_BYTES:
            raise given.wrong(f"contains a secret (number {number}) of fewer than {LEAST_SECRET_BYTES} bytes")
        found.append(Secret(text, given.name))
    return tuple(found)


def alert_urls(given: Given) -> tuple[Secret, ...]:
    """Apprise URLs, comma-separated. Apprise itself says at `doctor` whether it knows them."""
    found = _BETWEEN.split(given.text)
    if not all(_ALERT.fullmatch(url) for url in found):
        raise given.wrong("contains something that is not a URL")
    return tuple(Secret(url, given.name) for url in found)


def heartbeat(given: Given) -> Secret:
    """An https address, or http on this machine; its path is often a secret."""
    try:
        parts = urlsplit(given.text)
        is_valid = bool(parts.hostname) and parts.port != 0 and given.text.isascii() and " " not in given.text
    except ValueError:
        raise given.wrong("is not a URL") from None
    if parts.scheme not in ("http", "https") or not is_valid:
        raise given.wrong("is not an http(s) address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise given.wrong("is http; outside this machine only https is used")
    return Secret(given.text, given.name)


WRITABLE = ValueReader("`none`, or any of `clients`, `cases`, `webhooks`, comma-separated", writable, list)
SOURCE = ValueReader("a path or glob of CSV, Parquet or NDJSON files, or a postgresql:// address with ?table=", source)
SECRETS = ValueReader("Base64 texts, comma-separated", signing_secrets)
ALERT_URLS = ValueReader("Apprise URLs, comma-separated", alert_urls)
HEARTBEAT = ValueReader("an https:// address; http:// for this machine only", heartbeat)
