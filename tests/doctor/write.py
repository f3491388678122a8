"""`python -m tests.doctor.write` plays every case and writes `docs/doctor.md` anew."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.doctor import api_cases, machine_cases, settings_cases, warehouse_cases, webhooks_cases
from tests.doctor.page import COLLECTED, PAGE
from tests.support.sandbox import ROOT

HEAD = """\
# What `debitura doctor` says

Written by `python -m tests.doctor.write`; a test compares it with the command's output. Paths, ports and dates are examples.
Each line of the output begins with `ok` or `FAIL`; the fix follows on an indented line. The command exits with 0 if every check
passes and with 2 otherwise, within ten seconds whatever a server does. Invalid settings end every command with status 2 and
one line.
"""
PARTS = (
    ("Settings", settings_cases.CASES),
    ("Machine, folders, data", machine_cases.CASES),
    ("Warehouse", warehouse_cases.CASES),
    ("Webhooks", webhooks_cases.CASES),
    ("APIs", api_cases.CASES),
)
TABLE = "| case | output | fix |\n|---|---|---|\n"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        os.environ[COLLECTED] = str(rows)
        pytest.main([str(ROOT / "tests/doctor/test_doctor.py"), "-q", "-k", "named_with_its_place or cannot_be_meant"])
        lines = dict(json.loads(line) for line in rows.read_text().splitlines())
    missing = [case.name for _, cases in PARTS for case in cases if case.name not in lines]
    if missing:
        sys.stderr.write(f"Nothing is written: these cases fail: {', '.join(missing)}\n")
        return 1
    parts = [f"## {title}\n\n{TABLE}" + "".join(f"{lines[case.name]}\n" for case in cases) for title, cases in PARTS]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join([HEAD, *parts]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
