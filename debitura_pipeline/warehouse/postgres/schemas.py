"""Names of the five schemas in a Postgres database, with or without DEBITURA_SCHEMA_PREFIX.

SQL in this project says `raw`, `ops`, `staging`, `marts`, `reports`; `PostgresWarehouse` translates it on its way to the
driver. String literals, quoted names and comments are not translated: use `named` for a schema's name in a literal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

SCHEMAS = ("raw", "ops", "staging", "marts", "reports")
DBT_SCHEMAS = ("staging", "marts", "reports")  # by dbt
NEXT, PREVIOUS, OLD = "__next", "__previous", "__old"

# What can hold a schema's name that is none comes first: literals, quoted names, dollar-quoted bodies, comments. A name
# behind a point is a column or a table.
_TOKEN = re.compile(
    r"""\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/
    |\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$|\.\s*[A-Za-z_][\w$]*
    |(?P<creating>\bSCHEMA\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?)(?P<created>[A-Za-z_][\w$]*)
    |(?P<name>[A-Za-z_][\w$]*)(?P<point>(?=\s*\.))?""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Schemas:
    """The schemas of one warehouse. Two prefixes in one database are two warehouses."""

    prefix: str = ""

    def named(self, schema: str) -> str:
        """The database's name of `raw`, or `marts__next`."""
        return self.prefix + schema

    def plain(self, name: str) -> str:
        """A schema's name without the prefix."""
        return name.removeprefix(self.prefix)

    def all(self) -> Iterator[str]:
        """Every schema name that the pipeline may use, next and previous ones included."""
        yield from map(self.named, SCHEMAS)
        for suffix in (NEXT, PREVIOUS, OLD):
            yield from (self.named(schema + suffix) for schema in DBT_SCHEMAS)

    def translated(self, sql: str) -> str:
        """SQL with plain schema names, translated for the database."""
        return _renamed(sql, "", self.prefix) if self.prefix else sql

    def translated_back(self, sql: str) -> str:
        """SQL from the database (of a view, for example), with plain schema names."""
        return _renamed(sql, self.prefix, "") if self.prefix else sql

    def lock(self, number: int) -> int:
        """The second key of advisory lock `number` (1 to 3), different for each warehouse of a database."""
        if not self.prefix:
            return number
        digest = hashlib.sha256(self.prefix.encode()).digest()
        return (
            int.from_bytes(digest[:4], "big") >> 3 | 1
        ) * 4 + number  # below 2**31, and above those without a prefix


@lru_cache(maxsize=512)
def _renamed(sql: str, before: str, after: str) -> str:
    wanted = {before + schema: after + schema for schema in SCHEMAS}

    def replaced(found: re.Match[str]) -> str:
        if found["created"] is not None:
            return found["creating"] + wanted.get(found["created"].lower(), found["created"])
        if found["point"] is not None:
            return wanted.get(found["name"].lower(), found["name"])
        return found[0]

    return _TOKEN.sub(replaced, sql)
