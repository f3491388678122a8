"""Counts with their noun in singular or plural, for messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,250 rows`. `noun`: in the singular; its plural ends in `s`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
