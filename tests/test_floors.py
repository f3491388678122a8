"""The house has floors: a file imports only from lower ones, or from its own room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "errors": 0,
    "interrupts": 0,
    "secret": 0,
    "document": 1,
    "notes": 1,
    "environment": 1,
    "proxies": 1,
    "settings": 2,
    "places": 3,
    "failures": 4,
    "api": 3,
    "landing": 4,
    "extract": 5,
    "warehouse": 5,
    "sync": 6,
    "onboarding": 6,
    "webhooks": 6,
    "sandbox": 6,
    "report": 6,
    "backup": 7,
    "orchestration": 7,
    "assets": 8,
    "tables": 8,
    "doctor": 8,
    "console": 9,
    "progress": 10,
    "proving": 10,
    "status": 10,
    "syncing": 11,
    "nightly": 11,
    "definitions": 9,
    "cli": 12,
}
FILES = sorted([*ROOT.glob("debitura_pipeline/**/*.py"), *ROOT.glob("assets/**/*.py")])


def room_of(module: str) -> str | None:
    """`debitura_pipeline.api.client` -> `api`; None for the package itself and for other people's modules."""
    parts = module.split(".")
    if parts[0] == "assets":
        return "assets"
    return parts[1] if parts[0] == "debitura_pipeline" and len(parts) > 1 else None


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    """An import upwards makes two rooms one; after a few, nothing can be changed alone."""
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if room is None or room == "__init__":
        return
    for imported in map(room_of, imports_of(path)):
        if imported is not None and imported != room:
            assert FLOORS[imported] < FLOORS[room], (
                f"{room} (floor {FLOORS[room]}) imports {imported} ({FLOORS[imported]})"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_stay_on_their_floors(path: Path) -> None:
    """Dagster above, httpx in the exchange and its transport: extraction can be used, tested and understood without either."""
    libraries = {name.split(".")[0] for name in imports_of(path)}
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if room in FLOORS and FLOORS[room] <= 6:
        assert not {name for name in libraries if name.startswith("dagster")}
    if path.name not in ("exchange.py", "transport.py") or room != "api":
        assert "httpx" not in libraries


def test_the_sandbox_knows_nothing_of_the_pipeline() -> None:
    """A simulated API that shares code with its client shares the client's mistakes."""
    for path in ROOT.glob("debitura_pipeline/sandbox/*.py"):
        rooms = {room for room in map(room_of, imports_of(path)) if room}
        assert rooms <= {"sandbox", "errors", "settings"}, path
