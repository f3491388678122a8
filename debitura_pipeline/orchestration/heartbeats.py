"""Heartbeats of Dagster's runs: when each run last gave a sign of life, and which runs are failed because they gave none.

Every instant is the clock of Dagster's storage, read by the statement that writes or compares it, so that the clocks of
machines need not agree. Does not import Dagster. `beating.py` writes heartbeats, `instance.py` ends runs that are silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.orchestration.heartbeat_storage import LOOKS, TABLE, storage_at
from debitura_pipeline.settings import Secret, Settings

KEPT_S = 30 * 86_400.0  # rows of failed runs, whose processes may come back


@dataclass(frozen=True)
class Rhythm:
    """Seconds. A run beats every `beat_s`, tries again after `retry_s` if it could not, and writes to the warehouse only within
    `lease_s` of a beat. A write after that waits up to `asks_for_s` for a beat.

    A run whose last beat is `suspect_s` old is suspected. It is failed if nothing was heard of it for another `confirm_s` and
    its last beat is `silent_s` old. After an outage of the storage, a machine's sleep or a step of its clock, every run seems
    to have been silent; so it is given `confirm_s` to show that it was not. If the watchdog did not look for `gap_s`, it may
    have slept as well: suspicions count from its return.
    """

    beat_s: float = 20.0
    retry_s: float = 5.0
    asks_for_s: float = 120.0  # of a write after its lease; a database's failover takes about a minute
    lease_s: float = 60.0  # not above suspect_s: a run within its lease has not been failed for its silence
    suspect_s: float = 60.0
    silent_s: float = 90.0
    confirm_s: float = 25.0  # more than beat_s
    gap_s: float = 75.0  # two of the watchdog's intervals and a half


RHYTHM = Rhythm()


@dataclass(frozen=True)
class Silence:
    """A run and how long ago its last sign of life was. `process`: its process tag (`home.py`)."""

    run_id: str
    process: str | None
    silent_s: float

    @property
    def where(self) -> str:
        """The process in words."""
        host, _, rest = (self.process or "").partition(":")
        return f"{rest.partition(':')[0]} on host {host}" if host else "not known"


class Heartbeats:
    """The heartbeats in one storage. Every method raises DebituraError if it cannot be used."""

    def __init__(self, place: Secret | Path) -> None:
        """`place`: the address of Dagster's Postgres, or DAGSTER_HOME."""
        self._storage = storage_at(place)

    def beat(self, run_id: str, process: str | None) -> bool:
        """Record a sign of life. False if the run has been failed, which stays so."""
        return self._storage.write(_BEAT, (run_id, process)) > 0

    def forget(self, run_id: str) -> None:
        """Remove the row of a run that has ended; that of a failed one is kept."""
        self._storage.write(_FORGET, (run_id,))

    def fail(self, run_id: str) -> None:
        """Record that a run has been failed, so that its process ends should it still be there."""
        self._storage.write(_FAIL, (run_id,))

    def fail_silent(self, rhythm: Rhythm = RHYTHM) -> list[Silence]:
        """Fail runs that were suspected before and are still silent, and suspect others (`Rhythm`). Returns all failed runs,
        since whoever failed one may have died before telling Dagster.

        Each is one statement: a run that beats at the same moment is either failed, and learns it, or not failed. A look at
        which no run is suspected is not recorded, since no suspicion depends on it.
        """
        found = self._storage.read(_NOTABLE, (rhythm.suspect_s,))
        if not all(is_failed for *_, is_failed in found):
            self._storage.write(_LOOK, (rhythm.gap_s,))
            self._storage.write(_FAIL_SILENT, (rhythm.silent_s, rhythm.confirm_s, rhythm.confirm_s, rhythm.gap_s))
            self._storage.write(_SUSPECT, (rhythm.suspect_s,))
            found = self._storage.read(_NOTABLE, (rhythm.suspect_s,))
        return [Silence(*row) for *row, is_failed in found if is_failed]

    def silent(self, silent_s: float = RHYTHM.silent_s) -> list[Silence]:
        """Runs that are silent and have not been failed, longest first. Changes nothing."""
        return [Silence(*row) for row in self._storage.read(_SILENT, (silent_s,))]

    def tidy(self) -> None:
        """Remove the rows of runs that were failed long ago."""
        self._storage.write(_REMOVE, (KEPT_S,))


def silent_runs(settings: Settings) -> list[Silence]:
    """Runs that are silent and have not been failed, longest first; none if no run ever beat. Raises DebituraError."""
    return Heartbeats(settings.dagster_postgres or settings.dagster_home).silent()


_BEAT = f"""
    INSERT INTO {TABLE} AS h (run_id, process, beat_at) VALUES (%s, %s, :now)
    ON CONFLICT (run_id) DO UPDATE SET process = excluded.process, beat_at = :now, suspected_at = NULL
    WHERE h.failed_at IS NULL"""
_FORGET = f"DELETE FROM {TABLE} WHERE run_id = %s AND failed_at IS NULL"
_FAIL = f"UPDATE {TABLE} SET failed_at = :now WHERE run_id = %s AND failed_at IS NULL"
_LOOK = f"""
    INSERT INTO {LOOKS} AS w (id, looked_at, awake_since) VALUES (1, :now, :now)
    ON CONFLICT (id) DO UPDATE SET
        awake_since = CASE WHEN :now - w.looked_at BETWEEN 0 AND %s THEN w.awake_since ELSE :now END, looked_at = :now"""
# The last condition is for a machine that falls asleep between the look and this statement.
_FAIL_SILENT = f"""
    UPDATE {TABLE} SET failed_at = :now
    WHERE failed_at IS NULL AND :now - beat_at >= %s AND :now - suspected_at >= %s
        AND EXISTS (SELECT 1 FROM {LOOKS} WHERE :now - awake_since >= %s AND :now - looked_at <= %s)"""
_SUSPECT = f"""
    UPDATE {TABLE} SET suspected_at = :now
    WHERE failed_at IS NULL AND suspected_at IS NULL AND :now - beat_at >= %s"""
_NOTABLE = f"""
    SELECT run_id, process, coalesce(failed_at, :now) - beat_at, failed_at IS NOT NULL FROM {TABLE}
    WHERE failed_at IS NOT NULL OR :now - beat_at >= %s"""
_SILENT = f"""
    SELECT run_id, process, :now - beat_at FROM {TABLE}
    WHERE failed_at IS NULL AND :now - beat_at >= %s ORDER BY beat_at"""
_REMOVE = f"DELETE FROM {TABLE} WHERE :now - failed_at >= %s"
