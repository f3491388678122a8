"""A small file that says since when a source cannot be read or an apply has stopped, written by whoever meets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from debitura_pipeline.errors import DebituraError, RefusedError, SettingsError, SourceError, WarehouseBusy
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.causes import KEY_REFUSED
from debitura_pipeline.incidents.facts import OutboundFault
from debitura_pipeline.incidents.kinds import OUTBOUND_STOPPED, SOURCE_UNREADABLE
from debitura_pipeline.incidents.state import FOLDER
from debitura_pipeline.outbound.applied import KEY_IS_REFUSED
from debitura_pipeline.outbound.plan_document import PlanMoved
from debitura_pipeline.settings import Settings

FILE = "outbound-faults.json"
UNAUTHORIZED = 401
# Of a command that did nothing: somebody reads its message at the terminal.
_NOT_TOLD = (SettingsError, WarehouseBusy, PlanMoved)


@contextmanager
def outbound_noted(settings: Settings, source: str) -> Iterator[Callable[[str | None], None]]:
    """Note how an apply of a source ends. Call the result with the reason if it stopped early, else with None."""
    stopped: list[str | None] = []
    try:
        yield stopped.append
    except SourceError as error:
        note_fault(settings.data_dir, source, SOURCE_UNREADABLE, error)
        raise
    except _NOT_TOLD:
        raise
    except Exception as error:
        # HTTP 403 may concern writing alone, so it does not say that the key is refused.
        is_key = isinstance(error, RefusedError) and error.status == UNAUTHORIZED
        note_fault(settings.data_dir, source, KEY_REFUSED if is_key else OUTBOUND_STOPPED, error)
        raise
    reason = next(filter(None, stopped), None)
    if reason is None:
        clear_fault(settings.data_dir, source)
    else:
        kind = KEY_REFUSED if reason.startswith(KEY_IS_REFUSED) else OUTBOUND_STOPPED
        note_fault(settings.data_dir, source, kind, DebituraError(reason))


def note_fault(data_dir: Path, source: str, kind: str, error: Exception, *, is_passing: bool = False) -> None:
    """Note a fault; `since` is that of the first one of its kind in a row. `is_passing`: it may be over in a moment."""
    faults = {one.source: one for one in read_faults(data_dir)}
    before = faults.get(source)
    reason = " ".join(str(error).split()) if isinstance(error, DebituraError) else f"{type(error).__name__}."
    is_same = before is not None and before.kind == kind
    now = datetime.now(UTC)
    since = before.since if before is not None and is_same else now
    is_passing = is_passing and (not is_same or (before is not None and before.is_passing))
    _write(data_dir, {**faults, source: OutboundFault(source, kind, reason, since, is_passing, now)})


def clear_fault(data_dir: Path, source: str, *, passing_only: bool = False) -> None:
    """Note that an apply of a source was complete, or with `passing_only` that the source can be read."""
    faults = {one.source: one for one in read_faults(data_dir)}
    if source in faults and (faults[source].is_passing or not passing_only):
        del faults[source]
        _write(data_dir, faults)


def read_faults(data_dir: Path) -> tuple[OutboundFault, ...]:
    """The faults; none if everything works or was never tried."""
    try:
        return msgspec.json.decode((data_dir / FOLDER / FILE).read_bytes(), type=tuple[OutboundFault, ...])
    except (OSError, msgspec.DecodeError):
        return ()


def _write(data_dir: Path, faults: dict[str, OutboundFault]) -> None:
    with suppress(OSError):  # a full disk is an incident of its own
        (data_dir / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_atomically(data_dir / FOLDER / FILE, msgspec.json.encode(list(faults.values())), fsync=False)
