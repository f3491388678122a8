"""Commands in messages, as they have to be typed where there are several partners."""

from __future__ import annotations

import re
import shlex

# Those that serve all partners stay as they are.
_COMMAND = re.compile(r"(^|`|Example: )debitura (?!--partner |(?:partners|dev|worker|sandbox)\b)(?=[a-z])")


def for_partner(text: str, partner: str | None) -> str:
    """Text whose commands name the partner: those in backquotes, examples, and a command that is the whole text. `partner`: None
    without a partners file."""
    if partner is None:
        return text
    return _COMMAND.sub(lambda found: f"{found[1]}debitura --partner {shlex.quote(partner)} ", text)
