"""Readers of values that any setting may have: numbers, choices, text, folders, amounts of memory, certificates."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from debitura_pipeline.settings.declaration import Given, ValueReader

_QUEUE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MEMORY = re.compile(r"([1-9]\d*(?:\.\d+)?) ?([KMG])(i?)B", re.IGNORECASE)


def whole(low: int, high: int, accepts: str = "") -> ValueReader[int]:
    """A whole number from `low` to `high`."""

    def read(given: Given) -> int:
        try:
            value = int(given.text)
        except ValueError:
            raise given.wrong("is not a whole number") from None
        if not low <= value <= high:
            raise given.wrong(f"is {value}, outside {low} to {high}")
        return value

    return ValueReader(accepts or f"{low} to {high}", read, int)


def choice(*allowed: str) -> ValueReader[str]:
    """One of some words."""

    def read(given: Given) -> str:
        if given.text not in allowed:
            raise given.wrong(f"is {given.text!r}, which is not one of {', '.join(allowed)}")
        return given.text

    return ValueReader(", ".join(f"`{word}`" for word in allowed), read)


def yes_or_no(given: Given) -> bool:
    """Whether something is to be done."""
    return choice("yes", "no").read(given) == "yes"


def text(accepts: str) -> ValueReader[str]:
    """Text that is not checked here: what reads it says what it takes."""
    return ValueReader(accepts, lambda given: given.text)


def header_value(given: Given) -> str:
    """A key that an HTTP header can carry as it is. The value itself is never shown."""
    key = given.text
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise given.wrong(
            "contains spaces or characters that are not allowed in a header", "the key as Debitura issued it"
        )
    if key[0] == key[-1] and key[0] in "'\"":
        raise given.wrong("is in quotes, which would be sent as part of it", "the key without quotes")
    return key


def memory(given: Given) -> str:
    """An amount of memory as DuckDB takes it."""
    if _MEMORY.fullmatch(given.text) is None:
        raise given.wrong(f"is {given.text!r}, which is not an amount of memory")
    return given.text


def bytes_of(memory: str) -> int:
    """An amount of memory such as `400MiB` or `2 GB`, in bytes. Raises ValueError."""
    found = _MEMORY.fullmatch(memory)
    if found is None:
        raise ValueError(f"{memory!r} is no amount of memory")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** ("KMG".index(found[2].upper()) + 1))


def queue_name(given: Given) -> str:
    """The name of a queue, which is a key in Redis and part of messages."""
    if _QUEUE.fullmatch(given.text) is None:
        raise given.wrong(f"is {given.text!r}; a name has a-z, 0-9, - and _, a letter first, at most 63 characters")
    return given.text


def path_of(given: Given) -> Path:
    """The absolute path; `~` is the user's home. Raises SettingsError for what no path can be."""
    try:
        path = (given.root / Path(given.text).expanduser()).resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError):  # too long, nobody's home, a null character
        raise given.wrong("is not a path") from None
    return path


def folder(given: Given) -> Path:
    """A folder, which need not exist yet."""
    path = path_of(given)
    if path.exists() and not path.is_dir():
        raise given.wrong(f"is {path}, which is a file, not a folder")
    return path


def certificates(given: Given) -> Path:
    """A PEM bundle of at least one certificate, each of them readable."""
    path, found = path_of(given), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        found.load_verify_locations(cafile=path)
    except ssl.SSLError:  # an OSError, too
        pass
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "no such file"
        raise given.wrong(f"is {path}, which cannot be read ({why})") from None
    else:
        if found.cert_store_stats()["x509"]:
            return path
    raise given.wrong(f"is {path}, which is not a bundle of certificates in PEM format")


API_KEY = ValueReader("a key of printable ASCII characters", header_value)
QUEUE_NAME = ValueReader("a-z, 0-9, - and _, a letter first, at most 63 characters", queue_name)
MEMORY = ValueReader("a number with KB, MB, GB, KiB, MiB or GiB", memory)
FOLDER = ValueReader("a path", folder)
CERTIFICATES = ValueReader("path of a PEM file", certificates)
TOML_FILE = ValueReader("path of a TOML file", path_of)
YES_OR_NO = ValueReader("`yes`, `no`", yes_or_no, bool)
