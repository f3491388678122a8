"""Two machines, one Postgres and one store: nights that are killed, who goes on, and what must then hold.

A machine is a data directory. Nothing of a kill may be seen after the next night, whichever machine it runs on.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.settings import load_settings
from debitura_pipeline.shared_store.nights import PUBLISHED, SharedNights
from debitura_pipeline.shared_store.objects import open_objects
from debitura_pipeline.shared_store.position import FILE
from debitura_pipeline.sync import replay
from debitura_pipeline.sync.proof import check_certificates
from tests.shared_store.runner import Ended, Runner
from tests.support.pipeline import Pipeline
from tests.support.postgres import Database
from tests.support.s3 import READER, S3Server
from tests.support.sandbox import RunningSandbox
from tests.warehouse.folders import NAMES, marks

BETWEEN_READS_S = 0.7  # a night takes several seconds
IN_A_NIGHT = NAMES | {"debitura.duckdb", "night.json"}


@dataclass
class Trial:
    """`folder`: of the machines' data directories. Machine names are chosen by the caller; a new name is a new machine."""

    folder: Path
    sandbox: RunningSandbox
    server: S3Server
    database: Database
    runner: Runner
    prefix: str = "trial"
    number: int = 0
    _names: Iterator[int] = field(default_factory=itertools.count)

    def machine(self, name: str) -> Pipeline:
        env = {**self.server.env(self.prefix), "DEBITURA_WAREHOUSE": self.database.url}
        return Pipeline(self.folder / name, self.sandbox, **env)

    def new_machine(self) -> str:
        return f"machine-{next(self._names)}"

    def night(self, name: str, **kill: Any) -> Ended:
        """The next night, on that machine."""
        self.number += 1
        return self.runner.night(self.machine(name).env, self.number, **kill)

    def next_day(self) -> None:
        """The world moves on, and a case disappears."""
        self.sandbox.admin("advance", {"days": 1})
        self.sandbox.admin(
            "change", {"op": "row", "resource": "cases", "action": "delete", "row": self.number % 40 + 3}
        )

    def check(self, name: str) -> None:
        """After a whole night on that machine: warehouse, certificates and publication are right."""
        pipeline = self.machine(name)
        for resource, table in TABLES.items():
            live = pipeline.records(resource)
            wanted = len(self.sandbox.truth(resource))
            assert len(live) == wanted, f"{resource}: {len(live)} live rows, and the API has {wanted}"
            twice = pipeline.rows(
                f"SELECT count(*) - count(DISTINCT {table.key}) FROM raw.{resource}_history WHERE _valid_to IS NULL"
            )
            assert twice == [(0,)], f"{resource}: {twice} current versions too many"
        verification = check_certificates(pipeline.settings)
        faulty = [finding for finding in verification.findings if finding.faults]
        assert not faulty and not verification.notes, (faulty, verification.notes)
        done = pipeline.rows("SELECT count(*) FROM ops.syncs WHERE status = 'done'")[0][0]
        assert len(verification.findings) == done, f"{len(verification.findings)} certificates of {done} merged syncs"
        assert not [one for one in self.server.objects(f"{self.prefix}/pending/") if one.endswith(".jsonl")]
        with tempfile.TemporaryDirectory() as folder:
            assert self.read(Path(folder)) == self.number

    def check_replay(self) -> None:
        """A machine that has nothing but the store and the privacy key rebuilds the same warehouse."""
        pipeline = self.machine(self.new_machine())
        before = pipeline.state()
        replay(pipeline.settings)
        assert pipeline.state() == before, "rebuilt from the store, it is another one"
        shutil.rmtree(pipeline.settings.data_dir)

    def read(self, folder: Path) -> int:
        """Download the current night, as a reader does; returns its number."""
        store = load_settings(self.server.env(self.prefix, READER)).shared_store
        assert store is not None
        night = SharedNights(open_objects(store), PUBLISHED).download(folder)
        assert night is not None, "nothing is published"
        assert {path.name for path in folder.iterdir()} == IN_A_NIGHT
        (number,) = marks(folder)  # one mark in all files, or it is not one night
        return number

    def base(self, name: str) -> Path:
        return self.folder / name / FILE


@contextmanager
def reading(trial: Trial) -> Iterator[list[int]]:
    """A reader in a loop; the numbers of the nights that it met. Raises what it met, if that was no whole night."""
    met: list[int] = []
    faults: list[BaseException] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.wait(BETWEEN_READS_S):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    met.append(trial.read(Path(folder)))
                except BaseException as error:  # noqa: BLE001 - raised below
                    faults.append(error)
                    return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield met
    finally:
        is_over.set()
        thread.join()
    if faults:
        raise faults[0]
    assert met == sorted(met), f"nights came back: {met}"
