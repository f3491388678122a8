"""A string that must not be displayed: an API key, a password, a URL with a password."""

from __future__ import annotations

import secrets


class Secret:
    """A string whose `str()` and `repr()` are asterisks; `reveal()` returns it.

    `variable`: the setting that it comes from, for messages.
    """

    def __init__(self, text: str, variable: str = "DEBITURA_WAREHOUSE") -> None:
        self._text, self.variable = text, variable

    def reveal(self) -> str:
        """The string itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))
