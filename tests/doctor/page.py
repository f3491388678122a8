"""`docs/doctor.md`: each case as doctor words it, free of what differs from machine to machine.

Belongs here: rows, and comparing one with the page. Does not: playing cases; `python -m tests.doctor.write` has them all
played and writes the page.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tests.doctor.case import Scene
from tests.support.sandbox import ROOT

PAGE = ROOT / "docs" / "doctor.md"
COLLECTED = "DOCTOR_PAGE_ROWS"  # the file into which rows go instead of being compared
CHANGING = (
    (r"user root|user \w+(?=:)", "user root"),
    (r"(127\.0\.0\.1|localhost|no-such-host\.invalid):\d+", r"\1:5432"),
    (r"(?<=port )\d+", "5432"),
    (r"process \d+\b(?! on)", "process 4711"),
    (r"test_\d+", "db"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "2026-01-05 02:00 UTC"),
    (r"[\d,]+ inodes free", "30 inodes free"),
    (r"[\d.,]+ [GM]iB, ", "39 MiB, "),
    (r"(\S+) is [\d.]+, requirements", r"\1 is 1.5.5, requirements"),
    (r"[\d,]+ requests left in this hour", "19,900 requests left in this hour"),
    (r"\[Errno -?\d+\] ", ""),
    (r"/\S*/bin/dbt|/\S*/bin/python", "/project/.venv/bin/dbt"),
)


def row(name: str, said: str, cure: str, scene: Scene) -> str:
    """One line of the table."""
    cells = [name, said, cure]
    for place, shown in ((str(scene.data), "/project/data"), (str(scene.folder), "/project")):
        cells = [cell.replace(place, shown) for cell in cells]
    for pattern, shown in CHANGING:
        cells[1:] = [re.sub(pattern, shown, cell) for cell in cells[1:]]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def on_the_page(name: str, said: str, cure: str, scene: Scene) -> None:
    """The page shows the case as it was just told; or, where the page is being written, the row is handed over."""
    line = row(name, said, cure, scene)
    if os.environ.get(COLLECTED):
        with Path(os.environ[COLLECTED]).open("a") as file:
            file.write(json.dumps([name, line]) + "\n")
        return
    assert line in PAGE.read_text().splitlines(), f"run `python -m tests.doctor.write`; the page lacks\n{line}"


def names_on(page: str) -> list[str]:
    """The cases of the page, in its order."""
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    return [line.split(" | ")[0].removeprefix("| ") for line in rows if not line.startswith("| case")]
