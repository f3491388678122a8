"""Writes private files whole: a reader, or the run after a kill, finds the old content or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_private_atomically(
    path: Path, content: bytes | memoryview, *, fsync: bool, finish: Callable[[Path], None] | None = None
) -> None:
    """Replace `path` by a file of mode 0600 that holds `content`. The folder must be there.

    `fsync`: the content is on the disk before the old file is gone, so that a power cut loses neither. `finish` is
    called with the new file before it takes the name, to set its rights. Raises OSError; the old file is then unchanged and
    nothing is left beside it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        if finish is not None:
            finish(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
