"""Reads environment variables and the `.env` file; environment variables take precedence. Names and lines are checked.

A line that cannot be read, or a name that nobody knows, is an error: a setting that is silently dropped leaves the default,
and the default is simulated data.
"""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings.catalogue import OWN, VARIABLES

PREFIX = "DEBITURA_"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_environment(root: Path) -> dict[str, str]:
    """All variables of `root/.env` and the environment, which wins. Raises SettingsError naming the file, line and fault."""
    file = root / ".env"
    values = dict(_pairs(file)) if file.is_file() else {}
    found = {**values, **os.environ}
    of_partners = _of_partners(found, root) if _unknown(found) else set()
    _refuse_unknown(set(values) - of_partners, str(file))
    _refuse_unknown(set(os.environ) - of_partners, "the environment")
    return found


def _of_partners(values: Mapping[str, str], root: Path) -> set[str]:
    """The variables that the partners file names. Raises SettingsError."""
    from debitura_pipeline.settings.partners_file import find_partners  # noqa: PLC0415 - most have no partners file

    partners = find_partners(values, root)
    return set(partners.variables) if partners else set()


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    """Names and values as they are written: nothing inside of a value is replaced."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - takes 10 ms to load, and many have no `.env`

    for binding in parse_stream(io.StringIO(_text(file))):
        place = f"{file}, line {binding.original.line}"
        if binding.error:
            raise SettingsError(f"{place}: cannot be read. Example of a line: {PREFIX}ENVIRONMENT=production")
        if binding.key is None:
            continue
        if binding.value is None:
            raise SettingsError(f"{place}: {binding.key} has no value. Example of a line: {binding.key}=value")
        yield binding.key, binding.value


def _text(file: Path) -> str:
    try:
        body = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from None
    if body.startswith(_UTF_16) or b"\0" in body:
        raise SettingsError(f"{file} is not UTF-8 text; it looks like UTF-16. Save it as UTF-8.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise SettingsError(f"{file}, line {line}: is not UTF-8 text. Save it as UTF-8.") from None


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    for name in _unknown(names):
        raise SettingsError(f"{name} in {where} is not a setting; {_hint(name)}", variable=name)


def _unknown(names: Iterable[str]) -> list[str]:
    return [name for name in sorted(names) if name.upper().startswith(PREFIX) and name not in VARIABLES]


def _hint(name: str) -> str:
    import difflib  # noqa: PLC0415 - for a misspelt name alone

    ends = [own.name.removeprefix(PREFIX) for own in OWN]  # the prefix alone makes all names alike
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), ends, n=1, cutoff=0.7)
    return f"did you mean {PREFIX}{near[0]}?" if near else "known settings are listed in .env.example."
