"""Markdown tables from plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown themselves, on one line each."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def prose(text: str) -> str:
    """A description as it stands in the code, on one line; what is not in backticks cannot become HTML."""
    parts = " ".join(text.split()).split("`")
    plain = [part.replace("<", "&lt;") if number % 2 == 0 else part for number, part in enumerate(parts)]
    return "`".join(plain)
