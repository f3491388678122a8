"""Private files are replaced whole, are nobody else's to read, and leave nothing behind when that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from debitura_pipeline.files import write_private_atomically


@pytest.mark.parametrize("fsync", [True, False])
def test_the_old_content_is_replaced_and_only_the_owner_reads_the_new(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "state.json"
    path.write_text("a longer old content")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_private_atomically(path, b"new", fsync=fsync)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_fails_nothing_is_left_beside_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (path / "a folder in its place").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_private_atomically(path, b"new", fsync=True)
    assert list(tmp_path.iterdir()) == [path]
