"""The archive: a gzipped tar of plain files, its manifest last. Read and written in one pass, with little memory.

Nothing of an archive is used before its checksums were verified.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from debitura_pipeline.backup.contents import DAGSTER, DATA, MANIFEST, WAREHOUSE, is_backed_up
from debitura_pipeline.backup.manifest import MAX_MANIFEST_BYTES, BackupError, Manifest, Member

LEVEL = 1  # Parquet is compressed already; more costs much time for little space
CHUNK = 2**20
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


class ArchiveWriter:
    """An archive being written. `members`: those so far."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, Member] = {}

    def add(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            reader = _Hashing(file)
            self._tar.addfile(_info(name, size), reader)
        self.members[name] = Member(size, reader.digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        body = manifest.to_json()
        self._tar.addfile(_info(MANIFEST, len(body)), io.BytesIO(body))


@contextmanager
def archive_writer(file: Path) -> Iterator[ArchiveWriter]:
    """Write next to `file`, mode 0600, and rename when all is on disk; on any error nothing is left. Raises OSError."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            with (
                gzip.GzipFile("", "wb", LEVEL, out) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                yield ArchiveWriter(tar)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def verify_archive(file: Path) -> Manifest:
    """The manifest, after every member was read and verified. Writes nothing. Raises BackupError."""
    found: dict[str, Member] = {}
    manifest = None
    try:
        with _read(file) as members:
            for name, stream, size in members:
                if manifest is not None:
                    raise _damaged(file, f"{name} follows the manifest")
                if name == MANIFEST:
                    manifest = _manifest(file, stream, size)
                elif name in found:
                    raise _damaged(file, f"{name} occurs twice")
                else:
                    found[name] = Member(size, _copied(stream, None))
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror or error}. Nothing was touched.") from None
    if manifest is None:
        raise _damaged(file, "its manifest is missing")
    if found != manifest.members:
        wrong = sorted(
            name for name in found.keys() | manifest.members if found.get(name) != manifest.members.get(name)
        )
        raise _damaged(
            file, f"{wrong[0]} does not match its checksum" + (f", and {len(wrong) - 1} more" if wrong[1:] else "")
        )
    return manifest


def extract_archive(file: Path, manifest: Manifest, folder: Path) -> None:
    """Write the members below `folder`, files 0600 and folders 0700, verified again. Raises BackupError, OSError."""
    with _read(file) as members:
        for name, stream, _ in members:
            if name == MANIFEST:
                continue
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                sha256 = _copied(stream, out)
            if name not in manifest.members or sha256 != manifest.members[name].sha256:
                raise _damaged(file, f"{name} changed while it was being read")


@contextmanager
def _read(file: Path) -> Iterator[Iterator[tuple[str, IO[bytes], int]]]:
    """Name, content and size of each member. Raises BackupError for damage, also while a content is read."""
    try:
        with gzip.open(file, "rb") as packed:
            yield _members(file, packed)
    except _DAMAGE as error:
        raise _damaged(file, f"it is cut short or was changed ({type(error).__name__})") from None


def _members(file: Path, packed: gzip.GzipFile) -> Iterator[tuple[str, IO[bytes], int]]:
    with tarfile.open(fileobj=packed, mode="r|") as tar:
        for info in tar:
            if not info.isreg() or not _is_ours(info.name):
                raise _damaged(file, "it contains files that do not belong to a backup")
            stream = tar.extractfile(info)
            assert stream is not None
            yield info.name, stream, info.size
    while packed.read(CHUNK):  # to the very end, whose checksum counts too
        pass


def _is_ours(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if name == MANIFEST:
        return True
    if len(parts) < 2 or "/".join(parts) != name or any(part in ("..", ".", "/") or "\\" in part for part in parts):
        return False
    return parts[0] in (WAREHOUSE, DAGSTER) or (parts[0] == DATA and is_backed_up(Path(*parts[1:])))


def _manifest(file: Path, stream: IO[bytes], size: int) -> Manifest:
    if size > MAX_MANIFEST_BYTES:
        raise _damaged(file, "its manifest is too long")
    try:
        return Manifest.from_json(stream.read())
    except BackupError as error:
        raise BackupError(f"{file} cannot be restored. {error} Nothing was touched.") from None


def _copied(stream: IO[bytes], out: IO[bytes] | None) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
        if out is not None:
            out.write(chunk)
    return digest.hexdigest()


def _damaged(file: Path, why: str) -> BackupError:
    return BackupError(f"{file} is not a complete backup: {why}. Nothing was touched; use another one.")


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk
