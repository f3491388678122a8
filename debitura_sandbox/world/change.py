"""What a change of the world is: a journal entry, and the error for one that cannot be made."""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]


class UnknownChangeError(Exception):
    """The change refers to something that does not exist, or is not possible; the message says what."""
