"""Write points: every place where a sync, a merge or a replay leaves something behind, counted; at one of them the process dies.

Belongs here: the places. Does not: what must hold afterwards. Journal lines (before, halfway, after), files made, renamed and
removed, each writing statement, COPY and COMMIT on both engines.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from debitura_pipeline.api.writes import WriteClient, WriteResponse
from debitura_pipeline.landing.journal_lines import JOURNAL, Line, encode
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse

READING = ("SELECT", "DESCRIBE", "SHOW", "BEGIN", "SET", "ROLLBACK")


class Points:
    """Counts write points of this process; dies by SIGKILL at number `deadly`, 0: never."""

    def __init__(self, deadly: int) -> None:
        self.deadly, self.count = deadly, 0

    def reached(self) -> None:
        self.count += 1
        if self.count == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:
        """A point before and one after each call of `owner.name`."""
        original = getattr(owner, name)

        def watched(*args: Any, **options: Any) -> Any:
            self.reached()
            result = original(*args, **options)
            self.reached()
            return result

        setattr(owner, name, watched)


def install(deadly: int) -> Points:
    """Watch this process from now on; done once in a process of its own."""
    points = Points(deadly)
    for name in ("replace", "rename", "unlink", "mkdir"):
        points.around(Path, name)
    points.around(shutil, "rmtree")
    _watch_journal(points)
    for engine in (DuckDbWarehouse, PostgresWarehouse):
        _watch_statements(points, engine)
    points.around(PostgresWarehouse, "_copy")
    _watch_requests(points)
    return points


def _watch_requests(points: Points) -> None:
    """A point before each writing request takes its turn, and one after its answer."""
    original = WriteClient.send

    async def watched(self: WriteClient, *args: Any, **options: Any) -> WriteResponse:
        points.reached()
        answer = await original(self, *args, **options)
        points.reached()
        return answer

    WriteClient.send = watched  # type: ignore[method-assign]


def _watch_journal(points: Points) -> None:
    original = SyncFolder.append

    def watched(self: SyncFolder, line: Line) -> None:
        points.reached()
        if points.count + 1 == points.deadly:
            with (self.path / JOURNAL).open("ab") as file:
                file.write(encode(line)[:20])
        points.reached()
        original(self, line)
        points.reached()

    SyncFolder.append = watched  # type: ignore[method-assign]


def _watch_statements(points: Points, engine: Any) -> None:
    original: Callable[..., Any] = engine._execute

    def watched(self: Any, sql: str, params: Any = ()) -> Any:
        if sql.lstrip().upper().startswith(READING):
            return original(self, sql, params)
        if sql == "COMMIT":
            points.reached()
        result = original(self, sql, params)
        points.reached()
        return result

    engine._execute = watched
