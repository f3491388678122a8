"""The partners file: a TOML table per partner, whose keys are names of settings in lower case without `DEBITURA_`.

A secret is never in the file: `<key>_variable` names the variable that holds it, `<key>_file` the file. A table is checked when
it is used, so that a fault in one partner's table stops nobody else.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.catalogue import OWN, VARIABLES
from debitura_pipeline.settings.declaration import Values
from debitura_pipeline.settings.partner_names import fault_of
from debitura_pipeline.settings.partner_table import VARIABLE, PartnerTable, read_partner_table

SHOWN_NAMES = 12
MAX_BYTES = 16 * 1024**2
_AGAIN = re.compile(r"Cannot (declare|overwrite)")
_LINE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True, eq=False)
class PartnersFile:
    """The file and its tables as they are written. `root`: where relative paths start."""

    path: Path
    root: Path
    tables: Mapping[str, Mapping[str, Any]]

    def table(self, name: str) -> PartnerTable:
        """One partner's table, checked. Raises SettingsError for a fault in it, or where there is none of that name."""
        if name not in self.tables:
            raise SettingsError(f"{self.path} has no partner {name!r}; its partners are {self.names()}.")
        return read_partner_table(self.path, name, self.tables[name])

    def names(self) -> str:
        """The partners' names for a message."""
        found = list(self.tables)
        more = f" and {len(found) - SHOWN_NAMES} more" if len(found) > SHOWN_NAMES else ""
        return ", ".join(found[:SHOWN_NAMES]) + more

    @cached_property
    def variables(self) -> Mapping[str, set[str]]:
        """The variables that tables name for secrets, each with the partners whose tables do."""
        users: dict[str, set[str]] = defaultdict(set)
        for name, table in self.tables.items():
            for key, value in table.items():
                if key.endswith(VARIABLE) and isinstance(value, str) and value not in VARIABLES:
                    users[value].add(name)
        return users

    def foreign_variables(self, name: str) -> set[str]:
        """Variables that only other partners' tables name, which nothing that works for `name` may have."""
        return {variable for variable, users in self.variables.items() if name not in users}


def find_partners(given: Mapping[str, str], root: Path) -> PartnersFile | None:
    """The file that DEBITURA_PARTNERS names; None if it is not set. Raises SettingsError."""
    path = Values({declared.PARTNERS.name: given.get(declared.PARTNERS.name)}, root).optional(declared.PARTNERS)
    if path is None:
        return None
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_BYTES:
            what = "is too large" if stat.S_ISREG(facts.st_mode) else "is not a file"
            raise SettingsError(
                f"{declared.PARTNERS.name} is {path}, which {what}. Example: {declared.PARTNERS.name}=partners.toml",
                variable=declared.PARTNERS.name,
            )
        return _read(path, root, (facts.st_mtime_ns, facts.st_size, facts.st_ino))
    except OSError as error:
        raise SettingsError(
            f"{declared.PARTNERS.name} is {path}, which cannot be read ({error.strerror}).",
            variable=declared.PARTNERS.name,
        ) from None


@lru_cache(maxsize=2)
def _read(path: Path, root: Path, _version: tuple[int, ...]) -> PartnersFile:
    """The tables. What the parser says of a line is left out: the line may hold a key."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        tables = tomllib.loads(text)
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        at = _LINE.search(str(error))
        line = at[1] if at else len(text.splitlines())
        what = "has a table or a key a second time" if _AGAIN.match(str(error)) else "is not TOML"
        raise SettingsError(f'{path}, line {line}: {what}. Example of a line: environment = "production"') from None
    for fault in _faults(tables):
        raise SettingsError(f"{path}: {fault}. Example: [acme]")
    return PartnersFile(path, root, tables)


def _faults(tables: Mapping[str, object]) -> Iterator[str]:
    if not tables:
        yield "has no partner; each is a table"
    keys = {setting.key for setting in OWN}
    for name, table in tables.items():
        if not isinstance(table, dict):
            what = "a setting outside of a partner's table" if _stem(name) in keys else "not a table"
            yield f"{name if _stem(name) in keys else 'an entry before the first table'} is {what}"
        elif (fault := fault_of(name)) is not None:
            yield f"partner {name!r}: {fault}"
    same = Counter(name.replace("-", "_") for name in tables)  # as schemas and roles of Postgres have it
    for name in (name for name, count in same.items() if count > 1):
        yield f"two partners are called {name}, apart from - and _"


def _stem(key: str) -> str:
    return re.sub(r"_(variable|file)$", "", key)
