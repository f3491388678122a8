"""Python, the packages and dbt: are they the ones that the lock names, and all there?"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.markers import Marker

from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, well
from debitura_pipeline.orchestration.manifest import dbt_executable
from debitura_pipeline.settings import PROJECT_ROOT, Settings

LOCK = PROJECT_ROOT / "requirements.txt"
OLDEST, BEYOND = (3, 11), (3, 14)
# Those whose behaviour results depend on; what they need in turn is locked as well.
PACKAGES = (
    "dagster", "dagster-dbt", "dagster-postgres", "dbt-core", "dbt-adapters", "dbt-duckdb", "dbt-postgres", "duckdb", "httpx",
    "httptools", "msgspec", "pandas", "psycopg", "pyarrow",
)  # fmt: skip
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+))?", re.MULTILINE)


def examine(settings: Settings) -> Iterator[Diagnosis]:
    is_known = OLDEST <= sys.version_info[:2] < BEYOND
    seen = f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    cure = "Remove .venv, then `make setup PYTHON=python3.11` (3.11 to 3.13)."
    yield well("Python", seen) if is_known else bad("Python", seen, cure)
    yield packages(locked(LOCK.read_text() if LOCK.exists() else ""))
    yield dbt(dbt_executable(), settings.warehouse.engine)


def packages(wanted: dict[str, str]) -> Diagnosis:
    """Installed packages against the lock's versions by name; a package that the lock does not name may have any."""
    missing, other, found = [], [], []
    for package in PACKAGES:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
            continue
        found.append(f"{package} {version}")
        if version != wanted.get(package, version):
            other.append(f"{package} is {version}, requirements.txt says {wanted[package]}")
    if not missing and not other:
        return well("packages", ", ".join(found))
    faults = [f"missing: {', '.join(missing)}"] if missing else []
    return bad(
        "packages", f"{'; '.join([*faults, *other])}.", "Run `make setup`; if that changes nothing, remove .venv first."
    )


def locked(text: str) -> dict[str, str]:
    """Versions by name in a lock file, as far as they are meant for this Python and system."""
    return {
        name.lower(): version
        for name, version, marker in _PINNED.findall(text)
        if not marker.strip() or Marker(marker.strip()).evaluate()
    }


def dbt(executable: str, engine: str) -> Diagnosis:
    """dbt's program and its adapter for the warehouse's engine."""
    cure = "Run `make setup`; if that changes nothing, remove .venv first."
    path, adapter = Path(executable), "postgres" if engine == "postgresql" else "duckdb"
    if not path.exists():
        return bad("dbt", f"there is no {path}, and a night builds its reports with it.", cure)
    if not os.access(path, os.X_OK):
        return bad("dbt", f"{path} may not be executed.", f"Run `chmod +x {path}`, or `make setup`.")
    if (interpreter := _interpreter(path)) is not None and not interpreter.exists():
        return bad(
            "dbt", f"{path} is to be run by {interpreter}, which is not there.", f"{cure} A .venv cannot be moved."
        )
    if find_spec(f"dbt.adapters.{adapter}") is None:
        return bad("dbt", f"its adapter for {adapter} is not installed (package dbt-{adapter}).", cure)
    return well("dbt", f"{path}, adapter for {adapter}")


def _interpreter(path: Path) -> Path | None:
    """The program that a script names in its first line; None for other programs."""
    with path.open("rb") as file:
        line = file.readline(512)
    return Path(os.fsdecode(line[2:].split()[0])) if line.startswith(b"#!/") else None
