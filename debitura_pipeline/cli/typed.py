"""What a command prints, with its commands as they have to be typed again."""

from __future__ import annotations

import os

from debitura_pipeline.settings import declared
from debitura_pipeline.typed_commands import for_partner


def as_typed(text: str) -> str:
    """Text whose commands name the partner that was chosen, if one was."""
    return for_partner(text, os.environ.get(declared.PARTNER.name) or None)
