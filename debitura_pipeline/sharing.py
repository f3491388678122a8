"""Group access to published files, inherited from the folder.

Folders are created with mode 0700 and files with 0600. If an administrator gives a group access to the published folder, files
of later nightly runs get the same group and permissions. Access control lists work too: their mask is the group permission.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

READ, READ_AND_ENTER = 0o040, 0o050


def share(path: Path, folder: Path) -> None:
    """Give `path` the group of `folder` and its read permission; mode 0600 or 0700 if the group has none.

    If this user is not a member of the group, `path` stays private. Raises OSError.
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
