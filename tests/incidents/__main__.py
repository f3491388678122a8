"""Real nights with one thing wrong each, and clean ones between them: `make incidents`. Ten minutes or so per engine.

Each fault must be one message when it opens, none when it goes on, one when it is over; clean nights must be none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.kinds import KINDS
from tests.support import command
from tests.support.command import debitura
from tests.support.forks import fork_server
from tests.support.postgres import PostgresServer
from tests.support.receiver import Receiver, receiving
from tests.support.sandbox import RunningSandbox, start_sandbox

SMALL = {"clients": 6, "cases": 120, "transactions": 300, "seed": 7, "no_rate_limit": True}
SCHEDULED = """
import dagster as dg
from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.settings import load_settings
with open_instance(load_settings()) as instance:
    defs.resolve_job_def("nightly").execute_in_process(instance=instance, raise_on_error=False)
raise SystemExit
"""


@dataclass
class Nights:
    """One data directory, one sandbox, one receiver. `faults`: what did not hold."""

    sandbox: RunningSandbox
    receiver: Receiver
    env: dict[str, str]
    faults: list[str] = field(default_factory=list)

    @property
    def warehouse(self) -> Path:
        return Path(self.env["DEBITURA_DATA_DIR"]) / "warehouse.duckdb"

    def night(self, name: str, *expected: str, before: str = "", **more: str) -> None:
        """One night, and what it must have told: titles without the prefix."""
        told = len(self.receiver.alerts)
        said = debitura("nightly", env={**self.env, **more}, before=before)
        titles = sorted(title.partition("]: ")[2] for title in self.receiver.titles[told:])
        is_right = titles == sorted(expected)
        say(f"{'ok ' if is_right else 'BAD'} {name}: exit {said.status}, told {titles or 'nothing'}")
        if not is_right:
            self.faults.append(f"{name}: told {titles}, not {sorted(expected)}; {said.err.strip()[-400:]}")
        self.sandbox.admin("advance", {"days": 1})


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong for two nights. `opens`: the kinds of incident, one each."""

    name: str
    opens: tuple[str, ...]
    rules: tuple[dict[str, object], ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    before: str = ""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def rule(kind: str, path: str = "", **more: object) -> dict[str, object]:
    return {"kind": kind, "path": path, "times": 0, **more}


DRIFT = tuple(rule("drift", path) for path in ("/clients", "/cases", "/reporting/transactions"))
FAULTS = (
    Fault("a wrong key", (causes.KEY_REFUSED,), env={"DEBITURA_API_KEY": "wrong"}),
    Fault("a wrong key, by schedule", (causes.KEY_REFUSED,), env={"DEBITURA_API_KEY": "wrong"}, before=SCHEDULED),
    Fault("an API that is down", (causes.API_UNREACHABLE,), (rule("status", status=503),)),
    Fault("an answer that is no JSON", (causes.API_UNREACHABLE,), (rule("html", "/cases"),)),
    Fault("rows that do not fit", (kinds.QUARANTINE,), (rule("bad_row", "/cases", how="bad_date"),)),
    Fault("a privacy key of another's", (causes.IDENTITY_REFUSED,), env={"DEBITURA_PRIVACY_KEY": "k" * 40}),
    Fault("an address that is no API's", (causes.NIGHT_FAILED,), (rule("status", status=404),)),
)


def play(nights: Nights, clean: int, only: str) -> None:
    nights.night("the first night")
    for fault in (fault for fault in FAULTS if only in fault.name):
        if fault.rules:
            nights.sandbox.faults(*fault.rules)
        titles = [KINDS[kind].title for kind in fault.opens]
        nights.night(fault.name, *titles, before=fault.before, **fault.env)
        nights.night(f"{fault.name}, again", before=fault.before, **fault.env)
        if fault.rules:
            nights.sandbox.faults()
        nights.night(f"{fault.name}, over", *[f"over: {title}" for title in titles])
    nights.sandbox.faults(*DRIFT)
    title = KINDS[kinds.SCHEMA_DRIFT].title
    differ = KINDS[kinds.TOTALS_DIFFER].title  # the fault renames stages in the rows, and not in the API's own totals
    nights.night("fields and values that nobody announced", *[title] * 3, *[differ] * 2)
    nights.night("the same once more", *[f"over: {title}"] * 3)  # they are known now
    nights.sandbox.faults()
    nights.night("the values are back", *[f"over: {differ}"] * 2)
    if nights.env["DEBITURA_WAREHOUSE"].startswith("duckdb"):
        damaged(nights)
    for number in range(clean):
        nights.night(f"clean night {number + 1}")


def damaged(nights: Nights) -> None:
    title = KINDS[causes.WAREHOUSE_UNREADABLE].title
    kept = nights.warehouse.read_bytes()
    nights.warehouse.write_bytes(b"no DuckDB file" * 1000)
    nights.night("a damaged warehouse", title)
    nights.warehouse.write_bytes(kept)
    nights.night("the warehouse is back", f"over: {title}")


@contextmanager
def scene(engine: str) -> Iterator[Nights]:
    with tempfile.TemporaryDirectory() as folder, receiving() as receiver:
        sandbox = start_sandbox(**SMALL)
        env = {
            "DEBITURA_DATA_DIR": f"{folder}/data",
            "DEBITURA_WAREHOUSE": f"duckdb:///{folder}/data/warehouse.duckdb",
            "DEBITURA_API_URL": sandbox.url,
            "DEBITURA_API_KEY": sandbox.key,
            "DEBITURA_ALERTS": receiver.url(),
            "DEBITURA_OUTAGE_MINUTES": "0",
        }
        try:
            if engine == "duckdb":
                yield Nights(sandbox, receiver, env)
                return
            server = PostgresServer()
            try:
                with server.database() as database:
                    yield Nights(sandbox, receiver, env | {"DEBITURA_WAREHOUSE": database.url})
            finally:
                server.remove()
        finally:
            sandbox.stop()


def main() -> int:
    """Play the nights on each engine; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("duckdb", "postgresql"), action="append")
    parser.add_argument("--clean", type=int, default=5, help="clean nights at the end (365: a year, an hour or two)")
    parser.add_argument("--only", default="", help="faults with this in their name, and the last ones")
    arguments = parser.parse_args()
    command.TIME_LIMIT_S = 1800  # a busy machine
    faults: list[str] = []
    for engine in arguments.engine or ("duckdb", "postgresql"):
        with scene(engine) as nights:
            play(nights, arguments.clean, arguments.only)
            faults += [f"{engine}: {fault}" for fault in nights.faults]
    fork_server().close()
    for fault in faults:
        say(fault)
    say(f"{len(faults)} faults" if faults else "All nights told what they should")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
