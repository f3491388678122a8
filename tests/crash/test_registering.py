"""A few kills of `clients apply` at the worst moments; `python -m tests.crash.registering` does fifty."""

from __future__ import annotations

from pathlib import Path

from tests.crash.registering import Kill, registering


def test_apply_that_is_killed_ends_as_if_undisturbed(
    tmp_path: Path, warehouse_env: dict[str, str], engine: str
) -> None:
    """Once between intent and request, and once between answer and outcome, for a client in the middle."""
    with registering(tmp_path) as registered:
        if engine == "duckdb":
            points = registered.points({})
            registered.kill(Kill(point=points - 8), {})
            registered.kill(Kill(point=points - 12), {})
        else:
            registered.kill(Kill(after_s=0.9), warehouse_env)
