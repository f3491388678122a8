"""A sensor that cannot read the API: skipped at first, failed from the third tick in a row on, until a reading succeeds.

Belongs here: that count, which lives in the sensor's cursor. Does not: reading. A tick that fails leaves the cursor as it was, so
every further one fails, too: a wrong key or an API that is down is then red in the UI, and not grey for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from debitura_pipeline.errors import DebituraError

FAILS_AT = 3  # ticks; an outage of a minute is none of the operator's business
PREFIX = "unread:"


class SensorBlind(DebituraError):
    """A sensor has not been able to read what it decides by, for several ticks."""


@dataclass(frozen=True)
class Refusals:
    """How many ticks in a row could not read, and what the last one says."""

    count: int
    message: str = ""

    @classmethod
    def of(cls, cursor: str | None) -> Refusals:
        """What the cursor holds; none where it holds something else."""
        text = (cursor or "").removeprefix(PREFIX)
        return cls(int(text)) if text.isdecimal() else cls(0)

    @property
    def cursor(self) -> str:
        return f"{PREFIX}{self.count}"

    def one_more(self, what: str, error: DebituraError) -> Refusals:
        """One more tick that could not read. Raises SensorBlind when it is the third in a row, or a later one."""
        if self.count + 1 >= FAILS_AT:
            raise SensorBlind(f"{what}, for at least {FAILS_AT} ticks in a row: {error}") from None
        return Refusals(self.count + 1, f"{what}: {error}")


NONE = Refusals(0)
