"""Dagster's SQLite event log over open connections.

Dagster connects anew for each event, some 1,600 times a night. The last connection that closes writes the log back into the
database and deletes it, which takes longer than storing the event. The files and their contents are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

BUSY_TIMEOUT_S = 30.0
MAX_OPEN = 3  # the index, and the runs that are written or read


class OpenEventLog(SqliteEventLogStorage):
    """`SqliteEventLogStorage` that keeps its connections. It serializes their use itself, so each serves all threads.

    A commit does not wait for the disk: a process may be killed at any time, but a power failure can lose the last events.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Called by Dagster with the `config` of `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        if shard not in self._initialized_dbs:
            with super()._connect(shard):  # makes the tables
                pass
        with self._db_lock:
            engine = self._engine(shard)
            try:
                with engine.begin() as connection:
                    yield connection
            except BaseException:  # such as a full disk: the next event gets a new connection
                self._engines.pop(shard, engine).dispose()
                raise

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.pop(shard, None)
        if engine is None:
            while len(self._engines) >= MAX_OPEN:
                self._engines.pop(next(iter(self._engines))).dispose()
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            )
            event.listen(engine, "connect", _commit_without_waiting)
        self._engines[shard] = engine  # the last one used is at the end
        return engine

    def wipe(self) -> None:
        """Delete all events."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close the connections."""
        self._close()
        super().dispose()

    def _close(self) -> None:
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()


def _commit_without_waiting(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def open_event_log(home: Path) -> dict[str, Any]:
    """The section of `dagster.yaml` that asks for it."""
    config = {"base_dir": str(home / "history" / "runs")}
    return {"event_log_storage": {"module": __name__, "class": OpenEventLog.__name__, "config": config}}
