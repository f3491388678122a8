"""Give signs of life while a run is executed, and end this process if the run was failed in the meantime.

A process that was stopped, or whose machine lost its network, may continue after its run was failed (`instance.py`). It then
finds that out at its next heartbeat. Between two heartbeats a lease applies: a transaction that commits later than
`Rhythm.lease_s` after the last one asks first (`warehouse/write_guard.py`), and for up to `Rhythm.asks_for_s` again if there is no
answer. In the meantime the run lock keeps other runs out, since a stopped process still holds it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.interrupts import end_now
from debitura_pipeline.orchestration.heartbeats import RHYTHM, Heartbeats, Rhythm
from debitura_pipeline.orchestration.home import process_mark
from debitura_pipeline.orchestration.liveness import storage_address
from debitura_pipeline.orchestration.periodic import periodically
from debitura_pipeline.warehouse.write_guard import guarded

OVER = "Run {run} was failed while this process gave no sign of life, or was ended by somebody; the process ends."
FAILED = 1

log = logging.getLogger(__name__)


class RunIsOver(WarehouseError):
    """The run of this process has been failed or canceled; it writes nothing any more."""


def heartbeats_of(instance: dg.DagsterInstance) -> Heartbeats:
    """The heartbeats of an instance's runs."""
    return Heartbeats(storage_address(instance) or Path(instance.root_directory))


def end_process(message: str) -> None:
    """End this process and its descendants."""
    end_now(message, FAILED)


@contextmanager
def beating(
    instance: dg.DagsterInstance,
    run_id: str,
    *,
    on_over: Callable[[str], None] = lambda _: None,
    rhythm: Rhythm = RHYTHM,
    end: Callable[[str], None] = end_process,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Write heartbeats of the run within the block, and guard what it writes to the warehouse.

    If the run was failed or ended by somebody else, calls `on_over` with a line that says so, then `end`. Heartbeats that cannot
    be written fail nothing: another run can only be failed for its silence after its first one.
    """
    if instance.is_ephemeral:  # nobody else knows its runs
        yield
        return
    heart = _Heart(instance, run_id, on_over, rhythm, end, sleep)
    heart.beat_if_due()
    every_s = min(rhythm.retry_s, rhythm.beat_s)
    try:
        with guarded(heart.guard), periodically(every_s, heart.beat_if_due, ends_within_s=None):
            yield
    finally:
        heart.stop()


class _Heart:
    def __init__(
        self,
        instance: dg.DagsterInstance,
        run_id: str,
        on_over: Callable[[str], None],
        rhythm: Rhythm,
        end: Callable[[str], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._instance, self._run_id, self._rhythm = instance, run_id, rhythm
        self._on_over, self._end, self._sleep = on_over, end, sleep
        self._heartbeats, self._process = heartbeats_of(instance), process_mark()
        self._alone = threading.Lock()
        self._beaten_at: float | None = None
        self._failing_since: float | None = None
        self._is_over = self._has_warned = False

    def beat_if_due(self) -> None:
        """Called every few seconds. A beat that fails is tried again by the next call."""
        if self._age() >= self._rhythm.beat_s:
            try:
                self._beat(self._rhythm.beat_s)
                self._failing_since = None
            except Exception as error:  # noqa: BLE001 - of whatever kind Dagster's storage raises
                self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        """Warn once, after a lease without a beat: on a full disk, say, the run itself ends before that with a line of its own."""
        self._failing_since = _now() if self._failing_since is None else self._failing_since
        if not self._has_warned and _now() - self._failing_since >= self._rhythm.lease_s:
            log.warning("Run %s cannot give signs of life: %s", self._run_id[:8], _said(error))
            self._has_warned = True

    def guard(self) -> None:
        """Before a write. Without any heartbeat the run cannot have been failed for its silence, so there is no lease."""
        asks_until = _now() + self._rhythm.asks_for_s
        while self._beaten_at is not None and self._age() >= self._rhythm.lease_s and not self._is_over:
            try:
                self._beat(self._rhythm.lease_s)
                break
            except Exception as error:  # noqa: BLE001 - of whatever kind Dagster's storage raises
                if _now() + self._rhythm.retry_s > asks_until:
                    raise WarehouseError(
                        f"Nothing was written: this run gave no sign of life for {self._age():.0f} s, and whether it was failed "
                        f"meanwhile cannot be found out. {_said(error)}"
                    ) from None
            self._sleep(self._rhythm.retry_s)
        if self._is_over:
            raise RunIsOver(OVER.format(run=self._run_id[:8]))

    def stop(self) -> None:
        with suppress(DebituraError):  # then the row says that a run was silent which Dagster knows to have ended
            self._heartbeats.forget(self._run_id)

    def _age(self) -> float:
        return float("inf") if self._beaten_at is None else _now() - self._beaten_at

    def _beat(self, due_s: float) -> None:
        """One at a time; whoever waited for another's beat needs none of its own."""
        with self._alone:
            if self._is_over or self._age() < due_s:
                return
            began = _now()
            if self._heartbeats.beat(self._run_id, self._process) and not self._has_ended():
                self._beaten_at = began
                return
            self._is_over = True
            message = OVER.format(run=self._run_id[:8])
            with suppress(Exception):  # above all, the process ends
                self._on_over(message)
            self._end(message)

    def _has_ended(self) -> bool:
        run = self._instance.get_run_by_id(self._run_id)
        return run is not None and run.is_finished


def _now() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _said(error: Exception) -> str:
    """Other libraries' messages may quote an address with its password."""
    return str(error) if isinstance(error, DebituraError) else f"Dagster's storage: {type(error).__name__}."
