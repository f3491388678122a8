"""Python for `debitura(..., before=...)`: the process kills itself with SIGKILL at a named point, as a power cut would.

Belongs here: the points. Does not: what must hold afterwards. The process dies in the middle of its own step, so that
no test has to guess at a moment; moments guessed at are tested besides.
"""

from __future__ import annotations

SMALL_WINDOWS = "import debitura_pipeline.extract.calendar_parts as r; r.MAX_WINDOW_ROWS = {rows}\n"

_DIE = "import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"

_AT_LINE = (
    _DIE
    + """
from debitura_pipeline.landing.landing_zone import SyncFolder
append, left = SyncFolder.append, [{count}]
def dying(self, line):
    kind = line.__struct_config__.tag
    if self.begin_is("{resource}", kind) and kind == "{kind}":
        left[0] -= 1
        if left[0] == 0 and "{when}" == "before":
            die()
        if left[0] == 0 and "{when}" == "halfway":
            with (self.path / "journal.jsonl").open("ab") as file:
                file.write(b'{{"line":"window","na' + b"x" * 200_000)
            die()
    append(self, line)
    if left[0] == 0:
        die()
SyncFolder.begin_is = lambda self, resource, kind: self.path.parent.name == resource
SyncFolder.append = dying
"""
)

_IN_MERGE = (
    _DIE
    + """
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
left = [0]
def deadly(engine, merge, run):
    def merging(self, landed, **options):
        left[0] = {statement} if landed.resource == "{resource}" else 0
        counts = merge(self, landed, **options)
        if left[0]:
            die()
        return counts
    def running(self, sql, params=()):
        touched = run(self, sql, params)
        if left[0]:
            left[0] -= 1
            if left[0] == 0:
                die()
        return touched
    engine.merge, engine.run = merging, running
for engine in (DuckDbWarehouse, PostgresWarehouse):
    deadly(engine, engine.merge, engine.run)
"""
)


def at_line(kind: str, count: int = 1, *, resource: str = "cases", when: str = "after") -> str:
    """Before, halfway through, or after the `count`-th journal line of that kind: `window`, `end`, `merged`."""
    return _AT_LINE.format(kind=kind, count=count, resource=resource, when=when)


def in_merge(statement: int, *, resource: str = "cases") -> str:
    """After the n-th statement of the merge's transaction; a large number: right after its commit."""
    return _IN_MERGE.format(statement=statement, resource=resource)
