"""Stop an apply when most of its requests are refused or not answered. Pure."""

from __future__ import annotations

from collections import deque

from debitura_pipeline.errors import DebituraError

LAST = 20  # answers looked at; fewer say too little


class Braked(DebituraError):
    """More than half of the last answers were refusals or none at all."""


class Brake:
    """Counts answers. Not counted: 401, 429 and duplicates, which say nothing about what is sent."""

    def __init__(self, what: str) -> None:
        self._what, self._bad = what, deque[bool](maxlen=LAST)

    def note(self, *, is_bad: bool) -> None:
        """Count one answer. `is_bad`: refused (400, 422), or whether it had an effect is unknown. Raises Braked."""
        self._bad.append(is_bad)
        if len(self._bad) == LAST and 2 * sum(self._bad) > LAST:
            raise Braked(
                f"{sum(self._bad)} of the last {LAST} {self._what} were refused or not answered, so nothing more is sent.",
                cure="Check the reasons, fix the cause, then run it again.",
            )
