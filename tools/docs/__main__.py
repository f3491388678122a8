"""`python -m tools.docs`: writes the generated parts of the documentation to `build/docs`, where pages include them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from debitura_pipeline.orchestration.manifest import obtain_manifest
from tools.docs import commands_page, diagram, tables_page
from tools.docs.catalogue import SCHEMAS, read_catalogue

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "docs"


def parts() -> dict[str, Callable[[], str]]:
    """Generated files by name, each with the function that gives its text."""
    tables = read_catalogue(obtain_manifest())
    of_schema = {f"tables-{schema}.md": lambda schema=schema: tables_page.render(tables, schema) for schema in SCHEMAS}
    return {
        **of_schema,
        "marts.svg": lambda: diagram.render(tables),
        "commands.md": commands_page.render,
    }


def main() -> int:
    """Write every part; those that are unchanged keep their time stamp."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text_of in parts().items():
        text, path = text_of(), OUT / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
