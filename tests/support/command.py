"""The command `debitura` as a process of its own, as a user or cron would start it, and what it said.

Belongs here: starting, waiting, the environment. Does not: assertions. Processes end with their test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.sandbox import ROOT

COMMAND = "from debitura_pipeline.cli.app import main; main()"
TIME_LIMIT_S = 240


@dataclass(frozen=True)
class Said:
    """Exit status (negative: the signal that ended it) and everything that was printed."""

    status: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The one line on standard error; more, or a stack trace, fails the test."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.out
        return lines[0]


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without settings of the project's, and with `env`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITURA_", "DAGSTER_"))}
    kept.pop("COLUMNS", None)  # the width of the terminal that the tests run in
    return {**kept, "PYTHONPATH": str(ROOT), **env}


def debitura(*arguments: str, env: Mapping[str, str], before: str = "") -> Said:
    """Run the command to its end. `before`: Python that runs first in that process."""
    process = start(arguments, env, before)
    out, err = process.communicate(timeout=TIME_LIMIT_S)
    return Said(process.returncode, out, err)


def start(arguments: Sequence[str], env: Mapping[str, str], before: str = "") -> subprocess.Popen[str]:
    code = f"{before}\n{COMMAND}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(env["DEBITURA_DATA_DIR"]).parent,  # no .env of this checkout's, and no path that only works here
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
