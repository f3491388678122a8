"""A small file that says since when the API cannot be read between two nights, written by the sensor that reads it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.causes import cause_of
from debitura_pipeline.incidents.facts import ApiFault
from debitura_pipeline.incidents.state import FOLDER

FILE = "api-fault.json"


def note_api_fault(data_dir: Path, error: DebituraError, now: datetime) -> None:
    """Note that reading has failed; `since` is that of the first failure in a row. Never raises."""
    before = read_api_fault(data_dir)
    cause = cause_of(type(error).__name__, str(error))
    fault = ApiFault(cause, " ".join(str(error).split()), before.since if before else now)
    with suppress(OSError):
        (data_dir / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_atomically(data_dir / FOLDER / FILE, msgspec.json.encode(fault), fsync=False)


def clear_api_fault(data_dir: Path) -> None:
    """Note that reading has worked."""
    with suppress(OSError):
        (data_dir / FOLDER / FILE).unlink(missing_ok=True)


def read_api_fault(data_dir: Path) -> ApiFault | None:
    """The fault; None if reading works or was never tried."""
    try:
        return msgspec.json.decode((data_dir / FOLDER / FILE).read_bytes(), type=ApiFault)
    except (OSError, msgspec.DecodeError):
        return None
