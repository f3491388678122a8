"""The command `debitura` as a process of its own, and what it said.

Belongs here: starting, waiting, the environment. Does not: assertions. Processes end with their test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.forks import SETTINGS, fork_server
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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    kept.pop("COLUMNS", None)  # the width of the terminal that the tests run in
    return {**kept, "PYTHONPATH": str(ROOT), **env}


def debitura(*arguments: str, env: Mapping[str, str], before: str = "") -> Said:
    """Run the command to its end, in a process that has the libraries imported. `before`: Python that runs first in it."""
    whole = environment(env)
    if not fork_server().can_run(whole):
        return ended(start(arguments, env, before))
    code = f"{before}\n{COMMAND}"
    return Said(*fork_server().run(code, arguments, _folder(env), whole, TIME_LIMIT_S, has_modules=not before))


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=TIME_LIMIT_S)
    return Said(process.returncode, out, err)


def _folder(env: Mapping[str, str]) -> Path:
    """No `.env` of this checkout's is found from there, and no path that only works here."""
    return Path(env["DEBITURA_DATA_DIR"]).parent


def start(arguments: Sequence[str], env: Mapping[str, str], before: str = "") -> subprocess.Popen[str]:
    """The command as a user or cron would start it, interpreter, imports and all."""
    code = f"{before}\n{COMMAND}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=_folder(env),
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
