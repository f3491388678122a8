"""One partner's table: keys and types checked, secrets by reference, and errors in the words of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings.catalogue import OWN, VARIABLES
from debitura_pipeline.settings.declaration import Setting

VARIABLE, FILE = "_variable", "_file"
KEYS: Mapping[str, Setting[Any]] = {setting.key: setting for setting in OWN if setting.scope != "process"}
# Secrets of settings may be by reference; words of at most 20 letters tell a variable's name from a key that was put there.
REFERENCES = {
    f"{key}{end}": (key, end) for key, setting in KEYS.items() if setting.is_secret for end in (VARIABLE, FILE)
}
# Removed from the environment of every other partner's processes, which would miss them.
_OF_PROGRAMS = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|PWD|LANG|TERM|TZ|TMPDIR|TMP|TEMP|VIRTUAL_ENV|PYTHON\w*|PG(HOST|PORT|USER|DATABASE)\w*)$"
    r"|(LC|XDG|LD|SSL_CERT|PGPASS|PGSSL|DBT|DAGSTER)_"
)
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9]{0,19}(_[A-Z0-9]{1,20})*")
_HAS_PASSWORD = re.compile(r"://[^@]*:[^@]*@|[?&]\w*password=", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:DEBITURA|DAGSTER)_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
_EXAMPLE = re.compile(r"Example: (\w+)=(.*)$", re.DOTALL)
TYPES = {
    str: "text in quotes",
    int: "a whole number without quotes",
    bool: "true or false without quotes",
    list: "a list of texts",
}


class Source(NamedTuple):
    """Where a secret is. `end`: VARIABLE or FILE. `place`: the variable's name, or the path as it is written."""

    setting: Setting[Any]
    end: str
    place: str

    @property
    def key(self) -> str:
        """The key that says so."""
        return f"{self.setting.key}{self.end}"


@dataclass(frozen=True)
class PartnerTable:
    """`texts`: by setting's name, as a variable would have them. `sources`: the secrets, which are not read here."""

    file: Path
    name: str
    texts: Mapping[str, str]
    sources: Mapping[str, Source]

    def wrong(self, key: str, fault: str, example: str = "") -> SettingsError:
        """The error of one key, in one line without its value."""
        return _wrong(self.file, self.name, key, fault, example)

    def in_its_words(self, error: SettingsError, shared: Mapping[str, str]) -> SettingsError:
        """An error about variables as one about keys, except for variables that come from the environment (`shared`)."""

        def key_of(variable: str) -> str | None:
            setting = VARIABLES.get(variable)
            is_there = variable in self.texts or variable in self.sources
            is_ours = setting is not None and setting.key in KEYS and (is_there or not shared.get(variable))
            return setting.key if setting is not None and is_ours else None

        def example(found: re.Match[str]) -> str:
            key = key_of(found[1])
            return found[0] if key is None else f"Example: {example_of(KEYS[key], found[2])}"

        text = _EXAMPLE.sub(example, str(error))
        text = _NAMED.sub(lambda found: key_of(found[0]) or found[0], text)
        return SettingsError(f"{self.file}, partner {self.name}: {text}", **error.facts)


def example_of(setting: Setting[Any], text: str) -> str:
    """A line of a table. A secret is named by a variable."""
    if setting.is_secret and not setting.is_address:
        return f'{setting.key}{VARIABLE} = "ACME_{setting.key.upper()}"'
    if setting.reader.toml is bool:
        return f"{setting.key} = {'true' if text == 'yes' else 'false'}"
    first = text.partition(" or ")[0]
    if setting.is_address and has_password(first):
        return f'{setting.key}{VARIABLE} = "ACME_{setting.key.upper()}"'
    value = [word.strip() for word in first.split(",")] if setting.reader.toml is list else first
    return f"{setting.key} = {first if setting.reader.toml is int else json.dumps(value, ensure_ascii=False)}"


def has_password(text: str) -> bool:
    """Whether an address seems to contain a password."""
    return _HAS_PASSWORD.search(text) is not None


def read_partner_table(file: Path, name: str, table: Mapping[str, Any]) -> PartnerTable:
    """Check the keys and types of a table. Raises SettingsError naming file, partner and key, without a value."""
    texts: dict[str, str] = {}
    sources: dict[str, Source] = {}
    for key, value in table.items():
        if isinstance(value, str) and not value.isprintable():
            raise _wrong(file, name, key, "contains control characters")
        if key in REFERENCES:
            own, end = REFERENCES[key]
            source = Source(KEYS[own], end, _place(file, name, key, value))
            if source.setting.name in sources or own in table:
                raise _wrong(file, name, key, f"is set beside another source of {own}; keep one of them")
            sources[source.setting.name] = source
        elif key in KEYS:
            texts[KEYS[key].name] = _text(file, name, KEYS[key], value)
        else:
            raise _wrong(file, name, key, f"is not a key of a partner{_hint(key)}")
    return PartnerTable(file, name, texts, sources)


def _text(file: Path, name: str, setting: Setting[Any], value: Any) -> str:
    kind = setting.reader.toml
    if setting.is_secret and (not setting.is_address or (isinstance(value, str) and has_password(value))):
        what = "has a password, which" if setting.is_address else "is a secret, which"
        fault = f"{what} must not be in this file. Name the variable or the file that holds it"
        reference = (
            f'{setting.key}{VARIABLE} = "ACME_{setting.key.upper()}" or {setting.key}{FILE} = "/etc/debitura/acme"'
        )
        raise _wrong(file, name, setting.key, fault, reference)
    if kind is bool and isinstance(value, bool):
        return "yes" if value else "no"
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind is list and isinstance(value, list) and all(isinstance(word, str) for word in value):
        return ",".join(value)
    if kind in (str, list) and isinstance(value, str):
        return value.strip()
    raise _wrong(file, name, setting.key, f"must be {TYPES[kind]}", example_of(setting, setting.example))


def _place(file: Path, name: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(file, name, key, f"must be {TYPES[str]}")
    if key.endswith(VARIABLE):
        if _VARIABLE_NAME.fullmatch(value) is None:
            fault = "is not the name of a variable of the environment: upper-case letters, digits and _"
            raise _wrong(file, name, key, fault, f'{key} = "ACME_API_KEY"')
        if _OF_PROGRAMS.match(value):
            fault = f"names {value}, which other programs use; use another name"
            raise _wrong(file, name, key, fault, f'{key} = "ACME_API_KEY"')
        if value in VARIABLES:
            fault = f"names {value}, which is a setting of its own; use another name"
            raise _wrong(file, name, key, fault, f'{key} = "ACME_API_KEY"')
    return value.strip()


def _wrong(file: Path, name: str, key: str, fault: str, example: str = "") -> SettingsError:
    ending = f" Example: {example}" if example else ""
    return SettingsError(f"{file}, partner {name}: {key} {fault}.{ending}")


def _hint(key: str) -> str:
    import difflib  # noqa: PLC0415 - for a misspelt key alone

    near = difflib.get_close_matches(key, [*KEYS, *REFERENCES], n=1, cutoff=0.7)
    return f"; did you mean {near[0]}" if near else "; the settings page lists the keys"
