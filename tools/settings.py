"""`python -m tools.settings` writes `.env.example` and `docs/settings.md` from the declarations of the settings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from debitura_pipeline.settings.catalogue import INTERNAL, OWN, STANDARD, VARIABLES
from debitura_pipeline.settings.declaration import Setting
from tools.conventions.source import ROOT

TOML_TYPES = {str: "text", int: "number", bool: "`true`, `false`", list: "list of texts"}
COMMAND = "python -m tools.settings"
WIDTH = 118

EXAMPLE_HEAD = f"""\
# Written by `{COMMAND}`. Copy to .env and change what you need.
# Without a .env the simulated API is used and nothing leaves the machine. Variables of the environment take precedence
# over this file. Relative paths start at this folder. Comments need lines of their own: systemd, which can read this
# file too, takes them as part of the value otherwise.
"""
PAGE_HEAD = f"""\
# Settings

Written by `{COMMAND}` from the declarations in `debitura_pipeline/settings/declared.py`; `make lint` fails where
the two differ.

Settings are environment variables. They can also be set in a file `.env` in the project's folder (`.env.example` lists them);
a variable of the environment takes precedence. An unknown `DEBITURA_` name, a value that is not accepted or a line of `.env`
that cannot be read ends every command with exit status 2 and one line. Values are used literally: `$NAME` is not expanded.
Relative paths start at the project's folder. An empty value counts as not set. The keys and passwords in settings marked
*secret* are never printed, logged or stored.
"""
STANDARD_HEAD = "Variables that many programs read. Of these, only the proxies can also be set in `.env`."
PARTNERS_HEAD = """\
In a [partners file](guides/partners.md), each partner has a table with keys of these names. *Shared* settings that a table does
not set come from the environment or `.env`; *own* ones are set in tables alone. A secret is named by the key with `_variable` or
`_file` at its end; where *or by value* stands, an address without a password can be the value itself.
"""
INTERNAL_HEAD = "Set by the pipeline for the processes that it starts. Set them only to run one of those by hand."


def pages() -> dict[str, str]:
    """Path from the project's folder -> the text that its file should have."""
    return {".env.example": "\n".join(_example_lines()), "docs/settings.md": "\n".join(_page_lines())}


def _example_lines() -> Iterator[str]:
    yield EXAMPLE_HEAD
    for group, settings in groupby(OWN, lambda setting: setting.group):
        yield f"# --- {group} ---\n"
        for setting in settings:
            unset = f" Default: {setting.otherwise}." if setting.otherwise else ""
            yield textwrap.fill(
                (setting.about + unset).replace("`", ""),
                WIDTH,
                initial_indent="# ",
                subsequent_indent="# ",
                break_on_hyphens=False,
            )
            yield from (f"# {setting.name}={value}" for value in setting.examples or (setting.default or "",))
            yield ""


def _page_lines() -> Iterator[str]:
    yield PAGE_HEAD
    for group, settings in groupby(OWN, lambda setting: setting.group):
        yield f"## {group}\n\n| variable | meaning | values | default | example |\n|---|---|---|---|---|"
        yield from (_row(setting) for setting in settings)
        yield ""
    yield f"## Keys of the partners file\n\n{PARTNERS_HEAD}\n| key | type | value | without it |\n|---|---|---|---|"
    yield from (_key_row(setting) for setting in OWN if setting.scope != "process")
    yield ""
    for group, head in ((STANDARD, STANDARD_HEAD), (INTERNAL, INTERNAL_HEAD)):
        yield f"## {group}\n\n{head}\n\n| variable | meaning | read by |\n|---|---|---|"
        yield from (
            f"| `{setting.name}` | {_about(setting)} | {setting.read_by or 'this project'} |"
            for setting in VARIABLES.values()
            if setting.group == group
        )
        yield ""


def _row(setting: Setting[Any]) -> str:
    default = f"`{setting.default}`" if setting.default else setting.otherwise or "none"
    examples = " or ".join(f"`{value}`" for value in setting.examples)
    return f"| `{setting.name}` | {_about(setting)} | {setting.reader.accepts} | {default} | {examples} |"


def _key_row(setting: Setting[Any]) -> str:
    by = "variable or file, or by value" if setting.is_address else "variable or file" if setting.is_secret else "value"
    is_folder = setting.name == "DEBITURA_DATA_DIR"
    without = "a folder with the partner's name in the shared `DEBITURA_DATA_DIR`" if is_folder else setting.scope
    return f"| `{setting.key}` | {TOML_TYPES[setting.reader.toml]} | {by} | {without} |"


def _about(setting: Setting[Any]) -> str:
    return f"{setting.about} *(secret)*" if setting.is_secret else setting.about


def main() -> None:
    """Write both files."""
    for name, text in pages().items():
        Path(ROOT / name).write_text(text)


if __name__ == "__main__":
    main()
