"""The order in which workers are given files."""

from __future__ import annotations

from tests.conftest import SLOWEST
from tests.support.sandbox import ROOT


def test_every_file_that_is_begun_first_exists() -> None:
    assert [name for name in SLOWEST if not (ROOT / name).is_file()] == []
