"""Group access to what is published, as the administrator has set it on the folder itself.

Folders are made with mode 0700 and files with 0600. Where group rights were added to a published folder by hand, what later nights
put into it gets the same group and the same rights, so that the access lasts. An access control list works too: the rights of
the group are its mask.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

READ, READ_AND_ENTER = 0o040, 0o050


def share(path: Path, folder: Path) -> None:
    """Give file or folder `path` the group of `folder` and the group's rights to read; 0600 or 0700 where it has none.

    To a group that this user is no member of nothing can be given: the rights then stay the owner's alone.
    """
    wanted = folder.stat()
    is_folder = path.is_dir()
    granted = wanted.st_mode & (READ_AND_ENTER if is_folder else READ)
    if granted and path.stat().st_gid != wanted.st_gid:
        with suppress(PermissionError):
            os.chown(path, -1, wanted.st_gid)
    if path.stat().st_gid != wanted.st_gid:
        granted = 0
    mode = (0o700 if is_folder else 0o600) | granted
    if stat.S_IMODE(path.stat().st_mode) & 0o777 != mode:  # else a folder would lose its setgid bit
        path.chmod(mode)
