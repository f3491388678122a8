"""Check that Python, the packages and dbt are installed in the locked versions."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.markers import Marker

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.orchestration.manifest import dbt_executable
from debitura_pipeline.settings import PROJECT_ROOT, Settings

LOCK = PROJECT_ROOT / "requirements.txt"
OLDEST, BEYOND = (3, 11), (3, 14)
# Direct dependencies that affect results; their own dependencies are locked as well.
PACKAGES = (
    "dagster", "dagster-dbt", "dagster-postgres", "dbt-core", "dbt-adapters", "dbt-duckdb", "dbt-postgres", "duckdb", "httpx",
    "httptools", "msgspec", "pandas", "psycopg", "pyarrow",
)  # fmt: skip
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+))?", re.MULTILINE)


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check Python, the packages and dbt."""
    is_known = OLDEST <= sys.version_info[:2] < BEYOND
    seen = f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    cure = "Remove .venv, then `make setup PYTHON=python3.11` (3.11 to 3.13)."
    yield passed("Python", seen) if is_known else failed("Python", seen, cure)
    yield packages(locked(LOCK.read_text() if LOCK.exists() else ""))
    yield dbt(dbt_executable(), settings.warehouse.engine)


def packages(wanted: dict[str, str]) -> Diagnosis:
    """Compare installed packages with `wanted`, the locked versions by name. Packages missing in `wanted` may have any."""
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
        return passed("packages", ", ".join(found))
    faults = [f"missing: {', '.join(missing)}"] if missing else []
    return failed(
        "packages", f"{'; '.join([*faults, *other])}.", "Run `make setup`; if that does not help, remove .venv first."
    )


def locked(text: str) -> dict[str, str]:
    """Locked versions by package name that apply to this Python and system. `text`: a pip requirements file."""
    return {
        name.lower(): version
        for name, version, marker in _PINNED.findall(text)
        if not marker.strip() or Marker(marker.strip()).evaluate()
    }


def dbt(executable: str, engine: str) -> Diagnosis:
    """Check dbt's executable and its adapter for `engine`."""
    cure = "Run `make setup`; if that does not help, remove .venv first."
    path, adapter = Path(executable), "postgres" if engine == "postgresql" else "duckdb"
    if not path.exists():
        return failed("dbt", f"{path} does not exist, and the nightly run needs it to build the reports.", cure)
    if not os.access(path, os.X_OK):
        return failed("dbt", f"{path} is not executable.", f"Run `chmod +x {path}`, or `make setup`.")
    if (interpreter := _interpreter(path)) is not None and not interpreter.exists():
        return failed("dbt", f"{path} needs {interpreter}, which does not exist.", f"{cure} A .venv cannot be moved.")
    if find_spec(f"dbt.adapters.{adapter}") is None:
        return failed("dbt", f"its adapter for {adapter} is not installed (package dbt-{adapter}).", cure)
    return passed("dbt", f"{path}, adapter for {adapter}")


def _interpreter(path: Path) -> Path | None:
    """The interpreter in a script's first line; None for other programs."""
    with path.open("rb") as file:
        line = file.readline(512)
    return Path(os.fsdecode(line[2:].split()[0])) if line.startswith(b"#!/") else None
