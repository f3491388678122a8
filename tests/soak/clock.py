"""The machine's wall clock, moved: a shared library that programs are started with, and the file that says by how much."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
VARIABLE = "SOAK_CLOCK"  # where the library looks for the file


class ShiftedClock:
    """A wall clock that `move_to` moves forward for every program started with `env`; waits take as long as ever."""

    def __init__(self, folder: Path) -> None:
        self._library, self._file = folder / "clock.so", folder / "shift"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"], check=True)
        self.shift_s = 0
        self._file.write_bytes(struct.pack("<q", 0))
        self.env = {"LD_PRELOAD": str(self._library), VARIABLE: str(self._file)}

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.shift_s, UTC)

    def move_to(self, at: datetime) -> None:
        """Forward only, as the clock of a machine that nobody looks after."""
        self.skip((at - self.now()).total_seconds())

    def skip(self, seconds: float) -> None:
        self.shift_s += max(0, round(seconds))
        with self._file.open("r+b") as file:  # in place: it is mapped by every program
            os.pwrite(file.fileno(), struct.pack("<q", self.shift_s), 0)
