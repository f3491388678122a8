"""A small disk of a test's own: a tmpfs with so many bytes and so many files, which can be given room or made read-only.

Belongs here: mounting and unmounting. Does not: assertions. Mounting takes root.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KIB = 1024
ROOMY = 512 * 1024  # KiB: more than a small night takes
MANY = 100_000


class Disk:
    """Mounted at `place`. Sizes are KiB."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @property
    def used(self) -> tuple[int, int]:
        """KiB and inodes in use."""
        facts = os.statvfs(self.place)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize // KIB, facts.f_files - facts.f_ffree

    def give_room(self) -> None:
        self.remount(f"rw,size={ROOMY}k,nr_inodes={MANY}")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], check=True, capture_output=True)


def can_mount() -> bool:
    """Whether this user may mount; root in a container often may not."""
    with tempfile.TemporaryDirectory() as folder:
        if (
            os.geteuid()
            or subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=False, capture_output=True).returncode
        ):
            return False
        subprocess.run(["umount", folder], check=True)
    return True


@contextmanager
def mounted(place: Path, *, size: int = ROOMY, inodes: int = MANY) -> Iterator[Disk]:
    """A disk at `place`, which is made; gone at the end, whatever holds it."""
    place.mkdir(parents=True)
    options = f"size={size}k,nr_inodes={inodes},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
