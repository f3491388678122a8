"""Tables of the command line: one row is one row, whatever a value contains."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from debitura_pipeline.cli.tables import FittedTable


@pytest.mark.parametrize("width", [200, 30])
def test_a_value_cannot_look_like_another_row(width: int) -> None:
    out = io.StringIO()
    table = FittedTable(("reference", "state", "why"), [("INV-1\nINV-2", "planned", "no\r\x1b[2Jbody")])
    Console(width=width, file=out).print(table)
    assert "INV-1\\nINV-2" in out.getvalue()
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()
