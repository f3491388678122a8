"""A job that workers execute in tests: one line in a file for each time that its step runs."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg


@dg.op
def note() -> None:
    """Write which process it is, and whether that has the broker's address or the API's key."""
    seen = [name for name in ("DEBITURA_CELERY_BROKER", "DEBITURA_API_KEY") if name in os.environ]
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{os.getpid()} {' '.join(seen)}\n")


@dg.job(executor_def=dg.in_process_executor)
def noting() -> None:
    """One step."""
    note()
