"""Who has a DuckDB file that cannot be opened: a run of the pipeline, or another program."""

from __future__ import annotations

import re
from pathlib import Path

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.warehouse.process_lock import Holder
from debitura_pipeline.warehouse.run_lock import CASES_APPLY, CLIENTS_APPLY, CLIENTS_LINKS, file_run

# They keep the file open from the first row to the last, which may take hours: nobody waits for them.
KEEP_IT_OPEN = frozenset({CASES_APPLY, CLIENTS_APPLY, CLIENTS_LINKS, "outbound"})  # the last is Dagster's job


def is_held(error: Exception) -> bool:
    """Whether the file is locked by another process, or open in this one with other settings."""
    text = str(error)
    return "Could not set lock" in text or "different configuration" in text


def run_with_file(path: Path, error: Exception) -> Holder | None:
    """The run whose process, or a process started by it (dbt, publishing), has the file; None if it is another program."""
    import psutil  # noqa: PLC0415 - takes a while to load, and files are seldom busy

    pid, run = _pid(error), file_run(path)
    if pid is None or run is None:
        return None
    try:
        is_its = run.pid in (pid, *(parent.pid for parent in psutil.Process(pid).parents()))
    except psutil.NoSuchProcess:
        is_its = True  # it has ended meanwhile; a notebook that is still open is seen at the next attempt
    except psutil.Error:  # another user's
        is_its = run.pid == pid
    return run if is_its else None


def keeps_it_open(run: Holder | None) -> bool:
    """Whether waiting is of no use. Dagster's runs are named with their id, as `outbound (Dagster run 1f2e3d4c)`."""
    return run is not None and run.what.partition(" (")[0] in KEEP_IT_OPEN


def busy(path: Path, error: Exception, waited_s: float) -> WarehouseBusy:
    """The error to raise, which names the holder. Facts: `pid`, and `is_run`, whether it is a run of the pipeline."""
    pid, run = _pid(error), run_with_file(path, error)
    waited = f" for more than {waited_s:.0f} s" if waited_s >= 1 else ""
    if run is not None:
        return WarehouseBusy(
            f"{path} is in use by another run{waited}: {run}.",
            cure="Wait for it, or end that process; the published copy can be read meanwhile.",
            pid=pid,
            is_run=True,
        )
    who = f"process {pid}" if pid else "another user in this process"
    return WarehouseBusy(
        f"{path} is locked by {who}{waited}.",
        cure="Close the program that uses it (a notebook, a BI tool) and try again; to read, use the published copy, which "
        "is never locked.",
        pid=pid,
        is_run=False,
    )


def _pid(error: Exception) -> int | None:
    found = re.search(r"PID (\d+)", str(error))
    return int(found[1]) if found else None
