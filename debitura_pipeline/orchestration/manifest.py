"""Build dbt's manifest when the dbt project has changed, and only then.

Dagster starts many processes that load it, and parsing the project in each would take seconds. `make setup` runs
`python -m debitura_pipeline.orchestration.manifest`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from debitura_pipeline import memory
from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.settings import PROJECT_ROOT, Settings
from debitura_pipeline.warehouse.postgres.schema_swap import dbt_access

DBT_PROJECT = PROJECT_ROOT / "dbt"
SOURCE_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md", ".py"}
NOT_SOURCES = {"target", "logs", "dbt_packages"}
# No usage statistics, no version check, no colours: dbt must not use the network.
QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "DBT_VERSION_CHECK": "false",
    "DBT_USE_COLORS": "false",
    "DBT_LOG_LEVEL_FILE": "info",  # of debug lines there are three MB a night; a tenth of dbt's time goes into them
}
# Always set: the manifest must have schema names without prefix, which are the asset keys.
SCHEMA_PREFIX = "DEBITURA_SCHEMA_PREFIX"
DUCKDB_MEMORY = "DEBITURA_DUCKDB_MEMORY"
STUCK_DAYS = "DEBITURA_STUCK_DAYS"
# Parsing opens no database. With the default path, the first build of a fresh clone can reuse the parse.
PARSED_FOR = PROJECT_ROOT / "data" / "warehouse.duckdb"
PARSE_SECONDS = 300  # usually 3, ten times that on a busy machine
LOCK_SECONDS = 600


class ManifestError(DebituraError):
    """dbt is missing, or could not parse its project."""


def dbt_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that the dbt project reads. Raises WarehouseError if Postgres cannot be reached."""
    warehouse = settings.warehouse
    patience = {STUCK_DAYS: str(settings.alerts.stuck_days)}
    if warehouse.dsn is not None:
        return {**patience, **dbt_access(warehouse.for_dbt), SCHEMA_PREFIX: warehouse.schema_prefix}
    if warehouse.path is None:
        raise WarehouseError("The settings name no warehouse; see DEBITURA_WAREHOUSE.")
    return {**patience, **_profile(warehouse.path, settings.duckdb_memory or memory.for_duckdb())}


def _profile(path: Path, duckdb_memory: str) -> dict[str, str]:
    return {
        "DEBITURA_DBT_TARGET": "duckdb",
        "DEBITURA_DUCKDB_PATH": str(path),
        DUCKDB_MEMORY: duckdb_memory,
        "DEBITURA_DBT_KEEP_OPEN": "True",
        SCHEMA_PREFIX: "",
    }


def parse_environment(project: Path) -> dict[str, str]:
    """The environment in which the manifest is parsed; dbt reuses the parse in no other."""
    folders = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project)}
    duckdb_memory = os.environ.get(DUCKDB_MEMORY) or memory.for_duckdb()
    return {**os.environ, **QUIET, **_profile(PARSED_FOR, duckdb_memory), **folders}


def dbt_executable() -> str:
    """The path of `dbt` in this Python's environment, independent of PATH."""
    return str(Path(sys.executable).with_name("dbt"))


def require_dbt() -> str:
    """`dbt_executable()`, checked. Raises ManifestError if it is missing or not executable."""
    path = dbt_executable()
    if not os.access(path, os.X_OK):
        fault = "is not executable" if Path(path).exists() else "does not exist"
        raise ManifestError(
            f"dbt, which builds the reports, is missing: {path} {fault}.",
            cure="Run `make setup`; if that does not help, remove .venv first.",
        )
    return path


def obtain_manifest(project: Path = DBT_PROJECT) -> Path:
    """The path of an up-to-date `manifest.json`, which is built if missing or outdated.

    Safe to call from several processes: one builds, the others wait. Raises ManifestError with dbt's message.
    """
    target = project / "target"
    manifest, stamp = target / "manifest.json", target / "manifest.stamp"
    wanted = source_fingerprint(project)
    if _is_current(manifest, stamp, wanted):
        return manifest
    target.mkdir(exist_ok=True)
    with FileLock(target / ".manifest.lock", timeout=LOCK_SECONDS):
        if not _is_current(manifest, stamp, wanted):
            _parse(project, target)
            stamp.write_text(wanted)
    return manifest


def source_fingerprint(project: Path) -> str:
    """SHA-256 over the names and contents of the project's sources and dbt's version."""
    digest = hashlib.sha256(version("dbt-core").encode())
    for path in sorted(project.rglob("*")):
        relative = path.relative_to(project)
        if path.suffix in SOURCE_SUFFIXES and relative.parts[0] not in NOT_SOURCES and path.is_file():
            digest.update(f"\0{relative.as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_current(manifest: Path, stamp: Path, wanted: str) -> bool:
    return manifest.exists() and stamp.exists() and stamp.read_text() == wanted


def _parse(project: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target, prefix=".parse-") as draft:
        command = [require_dbt(), "--quiet", "parse", "--no-partial-parse", "--target-path", draft]
        done = subprocess.run(  # noqa: S603 - the command is ours
            [*command, "--log-path", draft],
            cwd=project,
            env=parse_environment(project),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PARSE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise ManifestError(f"dbt could not read the project in {project.name}/: {done.stdout.strip()[-2000:]}")
        for name in ("partial_parse.msgpack", "semantic_manifest.json", "manifest.json"):
            built = Path(draft) / name
            if built.exists():
                built.replace(target / name)


if __name__ == "__main__":
    try:
        obtain_manifest()
    except ManifestError as fault:
        sys.exit(str(fault))
