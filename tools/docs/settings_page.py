"""All settings with default and meaning."""

from __future__ import annotations

import re
from pathlib import Path

from tools.docs.markdown import prose, table

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
_SETTING = re.compile(r"# ([A-Z][A-Z_]+)=(.*)")


def render() -> str:
    """Markdown: one row a setting, in the order of `.env.example`."""
    return table(("setting", "meaning", "example"), rows()) + "\n"


def rows() -> list[tuple[str, str, str]]:
    """Setting, meaning and example as `.env.example` has them; a comment speaks of what follows it."""
    found: dict[str, tuple[str, list[str]]] = {}
    said: list[str] = []
    for line in EXAMPLE.read_text().splitlines():
        if match := _SETTING.match(line):
            name, value = match.groups()
            found.setdefault(name, (" ".join(said), []))[1].append(value)
            said = []
        elif line.startswith("# "):
            said.append(line.removeprefix("# "))
        else:
            said = []
    return [
        (f"`{name}`", prose(meaning), "<br>".join(f"`{value}`" for value in values if value))
        for name, (meaning, values) in found.items()
    ]
