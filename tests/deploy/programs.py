"""Run a program to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(
    command: Sequence[str | Path], *, text: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Its exit status, and what it printed. `text`: its standard input."""
    return subprocess.run(list(map(str, command)), input=text, env=env, capture_output=True, text=True, check=False)
