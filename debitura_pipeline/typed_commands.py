"""Commands in messages, as somebody has to type them who works for one of several partners."""

from __future__ import annotations

import re
import shlex

_COMMAND = re.compile(
    r"(^|`|Example: )debitura (?!--partner |(?:partners|dev|worker|sandbox)\b)(?=[a-z])"
)  # those serve all partners


def for_partner(text: str, partner: str | None) -> str:
    """Text whose commands name the partner: those in backquotes, examples, and a command that is the whole text. `partner`: None
    without a partners file."""
    if partner is None:
        return text
    return _COMMAND.sub(lambda found: f"{found[1]}debitura --partner {shlex.quote(partner)} ", text)
