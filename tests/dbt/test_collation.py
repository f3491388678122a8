"""What is chosen or numbered by text is the same on every engine, whatever the collation of a Postgres database.

DuckDB compares bytes; a Postgres database may sort by the rules of a language, and the one that the tests bring has only its own.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.dbt.worlds import PROJECT

MODELS = PROJECT / "models"
BYTEWISE = ' collate "C"'
AGGREGATE = re.compile(r"\b(?:max|min)\((?:\w+\.)?(\w+)\)")
ORDER = re.compile(r"(?<!\n)\border by\b")  # of a window or an aggregate; that of a table is nobody's figure
COMPARED = re.compile(r"\w+ = '[^']*'")  # equality is the same everywhere
COLUMN = re.compile(r"\b(?:\w+\.)?(\w+)\b(?P<tail> collate \"C\")?(?! *\()")


def text_columns() -> set[str]:
    found = set()
    for file in MODELS.rglob("*.yml"):
        for model in yaml.load(file.read_text(), yaml.CSafeLoader).get("models", ()):
            found |= {column["name"] for column in model["columns"] if column.get("data_type") == "varchar"}
    return found | {"subject", "finding", "partition_key"}


def by_language(sql: str, text: set[str]) -> list[str]:
    """Places that compare text by the database's collation."""
    code = "\n".join(line.partition("--")[0] for line in sql.splitlines())
    found = [match[0] for match in AGGREGATE.finditer(code) if match[1] in text]
    for order in ORDER.finditer(code):
        keys = COMPARED.sub("", up_to_its_bracket(code[order.end() :]))
        found += [match[0] for match in COLUMN.finditer(keys) if match[1] in text and not match["tail"]]
    return found


def up_to_its_bracket(code: str) -> str:
    """What comes before the bracket that closes the surrounding one."""
    depth = 0
    for place, letter in enumerate(code):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth < 0:
            return code[:place]
    return code


def test_no_figure_depends_on_the_language_of_a_database() -> None:
    text = text_columns()
    assert {"company_name", "transaction_id", "next_step"} <= text
    found = {str(path.relative_to(MODELS)): by_language(path.read_text(), text) for path in MODELS.rglob("*.sql")}
    assert {path: places for path, places in found.items() if places} == {}


def test_the_search_itself_finds_such_places() -> None:
    text = {"name"}
    assert by_language("  max(a.name) as x,", text) and by_language("  row_number() over (order by\n a.name) as x", text)
    assert not by_language(f"  max(a.name{BYTEWISE}) as x, over (order by name{BYTEWISE}, place) as name", text)
