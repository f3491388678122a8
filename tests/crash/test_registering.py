"""One kill of `clients apply` on each engine; `python -m tests.crash.registering` does fifty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.registering import Kill, registering
from tests.support.day import engine_of_the_day

# Of some hundred write points; clients are sent during the last forty.
POINTS = {"duckdb": 86, "postgresql": 74}


@pytest.mark.slow
@engine_of_the_day("postgresql")
def test_apply_that_is_killed_ends_as_if_undisturbed(
    tmp_path: Path, warehouse_env: dict[str, str], engine: str
) -> None:
    with registering(tmp_path) as ground:
        ground.kill(Kill(point=POINTS[engine]), warehouse_env)
