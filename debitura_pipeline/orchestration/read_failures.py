"""Count consecutive failures of a sensor to read the API: skip the first ticks, fail from the third on.

The count is kept in the sensor's cursor. A failed tick leaves the cursor unchanged, so later ticks fail too until a read succeeds,
and a wrong key or an API that is down shows up red in the UI instead of being skipped forever.
"""

from __future__ import annotations

from dataclasses import dataclass

from debitura_pipeline.errors import DebituraError

FAILS_AT = 3  # ticks; operators need not know of outages of a minute
PREFIX = "unread:"


class SensorReadError(DebituraError):
    """A sensor could not read the API for several ticks."""


@dataclass(frozen=True)
class ReadFailures:
    """The number of consecutive ticks that could not read, and the message of the last one."""

    count: int
    message: str = ""

    @classmethod
    def of(cls, cursor: str | None) -> ReadFailures:
        """The count in the cursor; zero if it contains something else."""
        text = (cursor or "").removeprefix(PREFIX)
        return cls(int(text)) if text.isdecimal() else cls(0)

    @property
    def cursor(self) -> str:
        """The cursor that holds this count."""
        return f"{PREFIX}{self.count}"

    def one_more(self, what: str, error: DebituraError) -> ReadFailures:
        """Count another failure. Raises SensorReadError from the third in a row on."""
        if self.count + 1 >= FAILS_AT:
            raise SensorReadError(f"{what}, for at least {FAILS_AT} ticks in a row: {error}") from None
        return ReadFailures(self.count + 1, f"{what}: {error}")


NONE = ReadFailures(0)
