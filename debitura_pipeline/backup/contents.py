"""Which files of the data directory and of DAGSTER_HOME a backup contains: everything but what is named here.

State that nothing else has, so that it must never be among the names: the warehouse (in `ops`, what was registered and submitted),
`landing`, `privacy.key`, `identity.json`, `inbox` (events that wait, and how far they were read), `incidents`, `nights.jsonl`,
`sources.json` (the last row counts of roster and claims), `write-facts.json` (what the API is known to do with repeated requests),
`reached.json`, and the embedded sandbox's `state.json`.

Left out: what the next run recreates (published files, reports, metrics), what belongs to a process or a machine (locks, logs,
temporary files, parts of a first load that is on, what the key has spent of its limits), and everything that contains an API key.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from debitura_pipeline.settings import Settings

DATA, WAREHOUSE, DAGSTER, MANIFEST = "data", "warehouse", "dagster", "manifest.json"
DUCKDB_FILE = "warehouse.duckdb"
RESTORING = ".restore"  # the work of a restore; `run_lock.py` knows its marker
_REBUILT = ("published", "reports", "metrics")
_LEFT_OUT = (*_REBUILT, "tmp", "parts", "aside", "logs", RESTORING, "dagster", ".env", "budget-*.json")
_IN_SANDBOX = ("users", "lock", "server.json")


def is_backed_up(relative: Path) -> bool:
    """Whether a backup includes this file of the data directory."""
    first, name = relative.parts[0], relative.name
    if any(fnmatch(first, pattern) for pattern in _LEFT_OUT) or name.endswith(".lock") or name == ".env":
        return False
    if any(part.startswith(".") for part in relative.parts):  # half-written files
        return False
    return not (first == "sandbox" and name in _IN_SANDBOX)


def data_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Files of the data directory to back up: name in the archive, path. The warehouse and DAGSTER_HOME are not among them."""
    home, warehouse = settings.dagster_home.resolve(), settings.warehouse.path
    for path in sorted(settings.data_dir.rglob("*")):
        if path.is_symlink() or not path.is_file() or home in path.resolve().parents:
            continue
        if (
            warehouse is not None
            and path.name.startswith(warehouse.name)
            and path.parent.resolve() == warehouse.parent.resolve()
        ):
            continue
        relative = path.relative_to(settings.data_dir)
        if is_backed_up(relative):
            yield f"{DATA}/{relative.as_posix()}", path


def dagster_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Dagster's configuration and SQLite files; only the configuration if Dagster's storage is in Postgres."""
    home = settings.dagster_home
    found = [home / "dagster.yaml", *sorted(home.glob("history/**/*.db")), *sorted(home.glob("schedules/*.db"))]
    for path in found:
        if path.is_file() and not path.is_symlink():
            yield f"{DAGSTER}/{path.relative_to(home).as_posix()}", path


def existing_data(settings: Settings) -> list[Path]:
    """What a restore moves aside: everything that a backup contains or the next run recreates."""
    found = []
    if settings.data_dir.is_dir():
        for path in sorted(settings.data_dir.iterdir()):
            is_warehouse = settings.warehouse.path is not None and path.name.startswith(settings.warehouse.path.name)
            if path.name in _REBUILT or (is_backed_up(path.relative_to(settings.data_dir)) and not is_warehouse):
                found.append(path)
    warehouse = settings.warehouse.path
    if warehouse is not None:
        found += [path for path in (warehouse, warehouse.with_name(f"{warehouse.name}.wal")) if path.exists()]
    return [path for path in found if path.resolve() != settings.dagster_home.resolve()]


def existing_home(settings: Settings) -> list[Path]:
    home = settings.dagster_home
    return [home / name for name in ("dagster.yaml", "history", "schedules", "storage") if (home / name).exists()]
