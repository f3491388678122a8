"""`python -m tests.disk_sweep`: nights on disks that fill up, or become read-only, at many different moments, and the night after.

For data directory and DAGSTER_HOME, each on a disk of its own, bytes and inodes are bounded in even steps up to what a night
takes; and each becomes read-only for whatever is opened after a step of the night has ended. Each night must end with 0, or with
1 and one line that names the folder; the one after it must be right. Takes root, and about a minute per point.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import Said, debitura
from tests.support.disk import MANY, ROOMY, mounted
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox
from tests.support.truth import expected

RESOURCES = ("clients", "cases", "transactions")
SANDBOX = {"clients": 2, "cases": 30, "transactions": 60, "seed": 7, "no_rate_limit": True}


READ_ONLY = "read-only after"
READ_ONLY_AFTER = ("raw__clients", "raw__transactions", "dbt_build", "reports__partner_report")
# A disk with files open for writing cannot be remounted; a read-only mount of it on top meets all that is opened later.
COVERED = """
import subprocess
import debitura_pipeline.cli.nightly as night
tell = night._print_step
def covering(step):
    tell(step)
    if (step.name, step.state) == ("{step}", "done"):
        subprocess.run(["mount", "--bind", "{place}", "{place}"], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", "{place}"], check=True)
night._print_step = covering
"""


@dataclass(frozen=True)
class Point:
    """Which folder is short of what (KiB, inodes), and of how much it has; or read-only from the end of which step on."""

    folder: str
    what: str
    room: int = 0
    step: str = ""

    def __str__(self) -> str:
        return f"{self.folder} {self.what} {self.step}" if self.step else f"{self.folder} with {self.room} {self.what}"

    @property
    def bounds(self) -> dict[str, int]:
        if self.step:
            return {}
        return {"size": ROOMY, "inodes": MANY, "size" if self.what == "KiB" else "inodes": self.room}


def faults_of(point: Point, sandbox: RunningSandbox, work: Path) -> list[str]:
    """What is wrong with a night on that disk and with the next one; empty: nothing."""
    with ExitStack() as disks:
        places = {"data": work / "disk", "home": work / "home"}
        disk = disks.enter_context(mounted(places[point.folder], **point.bounds))
        data = places["data"] / "data"
        data.parent.mkdir(exist_ok=True)
        pipeline = Pipeline(data, sandbox, DAGSTER_HOME=str(places["home"] / "dagster"))
        before = COVERED.format(step=point.step, place=disk.place) if point.step else ""
        faults = list(_first(point, debitura("nightly", env=pipeline.env, before=before), disk.place))
        if point.step:
            subprocess.run(["umount", "-l", str(disk.place)], check=True)
        disk.give_room()
        faults += _second(debitura("nightly", env=pipeline.env), pipeline)
    return faults


def _first(point: Point, said: Said, place: Path) -> Iterator[str]:
    lines = said.err.splitlines()
    if said.status not in (0, 1):
        yield f"exit status {said.status}"
    if "Traceback" in said.out + said.err or len(lines) != said.status:
        yield f"{len(lines)} lines of error: {said.err[:3000]}"
    elif said.status == 1 and str(place) not in lines[0]:
        yield f"{place} is not named: {lines[0]}"


def _second(said: Said, pipeline: Pipeline) -> Iterator[str]:
    if said.status or said.err:
        yield f"the next night: exit status {said.status}, {said.err[:3000]}"
        return
    key = pipeline.settings.obtain_privacy_key()
    for resource in RESOURCES:
        if pipeline.records(resource) != expected(resource, pipeline.sandbox.truth(resource), key):
            yield f"the next night: {resource} are not those of the API"


def points(sandbox: RunningSandbox, work: Path, steps: int) -> Iterator[Point]:
    """Even steps up to what a night took on roomy disks."""
    with mounted(work / "disk") as data, mounted(work / "home") as home:
        pipeline = Pipeline(data.place / "data", sandbox, DAGSTER_HOME=str(home.place / "dagster"))
        said = debitura("nightly", env=pipeline.env)
        assert said.status == 0, said.err
        used = {"data": data.used, "home": home.used}
    for folder, (size, inodes) in used.items():
        for what, most in (("KiB", size), ("inodes", inodes)):
            for step in range(1, steps + 1):
                yield Point(folder, what, max(most * step // (steps + 1), 1))
        yield from (Point(folder, READ_ONLY, step=step) for step in READ_ONLY_AFTER)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.disk_sweep", description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="points per folder and kind of room (12)")
    parser.add_argument("--only", default="", help="only points whose name holds this")
    wanted = parser.parse_args()
    sandbox = start_sandbox(**SANDBOX)
    is_well = True
    try:
        with tempfile.TemporaryDirectory(prefix="debitura-sweep-") as folder:
            found = list(points(sandbox, Path(folder) / "measure", wanted.steps))
            for number, point in enumerate(point for point in found if wanted.only in str(point)):
                work = Path(folder) / str(number)
                faults = faults_of(point, sandbox, work)
                sys.stdout.write(f"{'BAD' if faults else 'ok '} {point}\n" + "".join(f"    {f}\n" for f in faults))
                sys.stdout.flush()
                is_well = is_well and not faults
    finally:
        sandbox.stop()
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
