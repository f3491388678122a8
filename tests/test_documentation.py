"""The generated pages leave nothing out: every table and column that there is, every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from debitura_pipeline.cli.app import click_command
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.settings import PROJECT_ROOT
from debitura_pipeline.warehouse.tables import create_statements
from tools.conventions import wheel
from tools.docs import __main__ as docs
from tools.docs import offline
from tools.docs.catalogue import read_catalogue
from tools.docs.dbt_site import TRACKERS, write_dbt_docs

DBT = PROJECT_ROOT / "dbt"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: text() for name, text in docs.parts().items()}


def test_tables_and_columns_of_a_warehouse_are_all_described(pages: dict[str, str]) -> None:
    with duckdb.connect() as warehouse:
        for statement in create_statements():
            warehouse.execute(statement)
        found = warehouse.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        ).fetchall()
    sections = {name: section for page in pages.values() for name, section in _sections(page)}
    assert len(found) > 250
    assert [row for row in found if f"| `{row[2]}` |" not in sections.get(f"{row[0]}.{row[1]}", "")] == []


def test_every_table_and_column_has_a_description(pages: dict[str, str]) -> None:
    sections = {
        name: text for page, body in pages.items() if page.startswith("tables-") for name, text in _sections(body)
    }
    assert len(sections) > 40
    assert [name for name, text in sections.items() if re.search(r"^\| `\w+` \|.*\|\s*\|$", text, re.MULTILINE)] == []
    assert [name for name, text in sections.items() if text.lstrip().startswith("|")] == []


def test_every_model_and_seed_has_a_section(pages: dict[str, str]) -> None:
    names = {
        path.stem
        for folder in ("models", "seeds")
        for path in (DBT / folder).rglob("*")
        if path.suffix in {".sql", ".csv"}
    }
    sections = {name.partition(".")[2]: section for page in pages.values() for name, section in _sections(page)}
    assert len(names) > 25
    assert names - set(sections) == set()


def test_every_command_is_listed(pages: dict[str, str]) -> None:
    root = click_command()
    groups = {name: group.commands for name, group in root.commands.items() if hasattr(group, "commands")}
    names = set(root.commands) - set(groups)
    names |= {f"{group} {name}" for group, commands in groups.items() for name in commands}
    assert names - set(re.findall(r"^## `(.+?)`", pages["commands.md"], re.MULTILINE)) == set()


def test_files_that_the_documentation_names_exist() -> None:
    """A file that was renamed leaves a reader looking for it."""
    pages = [*(PROJECT_ROOT / "docs").rglob("*.md"), *PROJECT_ROOT.glob("*.md")]
    roots = (PROJECT_ROOT, PROJECT_ROOT / "debitura_pipeline")
    files = {
        (page.name, path)
        for page in pages
        for path in re.findall(r"`([\w./-]+/[\w-]+\.(?:py|md|sql|yml))`", page.read_text())
    }
    assert len(files) > 15
    assert [pair for pair in sorted(files) if not any((root / pair[1]).exists() for root in roots)] == []


def test_shell_completion_knows_the_options_of_a_command() -> None:
    assert {"--plan", "--only"} <= set(_completions("debitura sync --").split())


def test_diagram_can_stand_inside_a_page(pages: dict[str, str]) -> None:
    """Markdown ends a block of HTML at a blank line."""
    assert "\n\n" not in pages["marts.svg"]


def test_diagram_joins_what_dbt_relates() -> None:
    tables = {table.name: table for table in read_catalogue(obtain_manifest())}
    joins = {
        (name, join.column, join.table) for name in ("fct_cases", "fct_transactions") for join in tables[name].joins
    }
    assert joins >= {
        ("fct_cases", "creditor_id", "dim_clients"),
        ("fct_transactions", "creditor_id", "dim_clients"),
        ("fct_transactions", "case_id", "fct_cases"),
    }


def test_dbt_documentation_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    page = write_dbt_docs(tmp_path).read_text()
    assert "model.debitura.fct_transactions" in page
    assert list(offline.loads(tmp_path)) == []
    assert not [text for text in (*TRACKERS, str(PROJECT_ROOT)) if text in page]


def test_pages_that_load_from_another_host_are_found(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<a href="https://example.com">link</a><script src="own.js"></script>')
    (tmp_path / "bad.html").write_text('<script src="https://cdn.example.com/x.js"></script>')
    (tmp_path / "bad.css").write_text("@import url(//fonts.example.com/css);")
    assert [line.partition(":")[0] for line in offline.loads(tmp_path)] == ["bad.css", "bad.html"]


def test_wheel_check_names_what_is_missing_and_what_does_not_belong() -> None:
    held = (set(wheel.needed()) - {"debitura_pipeline/py.typed"}) | {"tests/conftest.py"}
    assert list(wheel.differences(held)) == [
        "debitura_pipeline/py.typed is not in the wheel",
        "tests/conftest.py does not belong in the wheel",
    ]


def _completions(line: str) -> str:
    """What the shell is told for the last word of a line."""
    env = {"_DEBITURA_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    command = Path(sys.executable).with_name("debitura")
    done = subprocess.run([command], env=os.environ | env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def _sections(page: str) -> list[tuple[str, str]]:
    """Full name of each table of a page, and what is said of it."""
    parts = re.split(r"^## `(.+?)`.*$", page, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))
