"""Objects of the shared store by name, in a bucket or in a folder. An object appears whole or not at all.

A bucket is reached through pyarrow's S3 file system: a small object is one PUT, a large one a multipart upload, which nobody
sees before it is completed. In a folder, an object is written under another name and renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.settings import Secret, SharedStore
from debitura_pipeline.sharing import share

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

CHUNK = 4 * 2**20
CONNECT_TIMEOUT_S = 5.0
ATTEMPTS = 3  # per request, with the AWS SDK's own pauses: some seconds in all
DRAFT = ".draft-"
CURE = "Check the network, the address in DEBITURA_SHARED_STORE and the AWS_* settings."
_AWS = re.compile(r"AWS Error (?P<code>\w+) during (?P<call>\w+) operation: (?P<said>[^;(]*)")


class Objects(Protocol):
    """Names are relative, with slashes. Every method raises SharedStoreError; `read` and `download` FileNotFoundError, too."""

    url: str

    def names(self, prefix: str) -> dict[str, int]:
        """Names and sizes in bytes of all objects below the folder `prefix`; none if there is no such folder."""

    def read(self, name: str) -> bytes:
        """The content of a small object."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a small object."""

    def upload(self, name: str, path: Path) -> str:
        """Copy a file to the store; returns the SHA-256 of what was sent."""

    def download(self, name: str, path: Path, sha256: str) -> None:
        """Copy an object to a file, which appears if its content has the hash `sha256`. Raises SharedStoreError if not."""

    def delete(self, name: str) -> None:
        """Delete an object if it is there."""

    def delete_all(self, prefix: str) -> None:
        """Delete all objects below the folder `prefix`, if there is one."""

    def require(self) -> None:
        """Raises SharedStoreError if the bucket or the folder does not exist."""


def open_objects(store: SharedStore) -> Objects:
    """The objects at the store's address. Sends no request."""
    if store.url.startswith("s3://"):
        return BucketObjects(store)
    return FolderObjects(store.url)


class BucketObjects:
    """Objects below a prefix of a bucket."""

    def __init__(self, store: SharedStore) -> None:
        self.url, self._store = store.url, store
        self._base = store.url.removeprefix("s3://")

    def names(self, prefix: str) -> dict[str, int]:
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415

        with _translated(self.url, "listed"):
            found = self._files.get_file_info(
                FileSelector(f"{self._base}/{prefix}", recursive=True, allow_not_found=True)
            )
        return {info.path.removeprefix(f"{self._base}/"): info.size for info in found if info.type is FileType.File}

    def read(self, name: str) -> bytes:
        with _translated(self.url, "read"), self._files.open_input_stream(f"{self._base}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        with _translated(self.url, "written"), self._files.open_output_stream(f"{self._base}/{name}") as stream:
            stream.write(content)

    def upload(self, name: str, path: Path) -> str:
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file, _translated(self.url, "written"):
                stream = self._files.open_output_stream(f"{self._base}/{name}")
                try:
                    while chunk := _read(file):
                        digest.update(chunk)
                        stream.write(chunk)
                finally:
                    stream.close()
        except BaseException:
            with suppress(SharedStoreError):  # closing it has completed the upload of a part of the file
                self.delete(name)
            raise
        return digest.hexdigest()

    def download(self, name: str, path: Path, sha256: str) -> None:
        with _translated(self.url, "read"), self._files.open_input_stream(f"{self._base}/{name}") as stream:
            _save(stream, path, sha256, f"{self.url}/{name}")

    def delete(self, name: str) -> None:
        with _translated(self.url, "written"), suppress(FileNotFoundError):
            self._files.delete_file(f"{self._base}/{name}")

    def delete_all(self, prefix: str) -> None:
        with _translated(self.url, "written"), suppress(FileNotFoundError):
            self._files.delete_dir(f"{self._base}/{prefix}")

    def require(self) -> None:
        """Raises SharedStoreError if there is no such bucket."""
        from pyarrow.fs import FileType  # noqa: PLC0415

        bucket = self._base.partition("/")[0]
        with _translated(self.url, "reached"):
            info = self._files.get_file_info(bucket)
        if info.type is FileType.NotFound:
            raise SharedStoreError(
                f"The shared store {self.url} cannot be used: there is no bucket {bucket}.",
                cure="Create it, or correct DEBITURA_SHARED_STORE, AWS_REGION or AWS_ENDPOINT_URL.",
            )

    @property
    def _files(self) -> S3FileSystem:
        return _file_system(self._store)


class FolderObjects:
    """Objects as files below a folder, which must exist. Access rights follow that folder's."""

    def __init__(self, url: str) -> None:
        self.url, self._root = url, Path(url.removeprefix("file://"))

    def names(self, prefix: str) -> dict[str, int]:
        found = {}
        with _translated(self.url, "listed"):
            for folder, _, names in os.walk(self._root / prefix, onerror=_raise_unless_gone):
                for path in (Path(folder, name) for name in names if not name.startswith(".")):
                    with suppress(FileNotFoundError):  # another process has deleted it meanwhile
                        found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def read(self, name: str) -> bytes:
        with _translated(self.url, "read"):
            return (self._root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        with _translated(self.url, "written"):
            write_private_atomically(
                self._made(name), content, fsync=True, finish=lambda draft: share(draft, self._root)
            )

    def upload(self, name: str, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file, _translated(self.url, "written"):
            target = self._made(name)
            draft = target.with_name(f"{DRAFT}{target.name}")
            try:
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                    while chunk := _read(file):
                        digest.update(chunk)
                        out.write(chunk)
                    out.flush()
                    os.fsync(out.fileno())
                share(draft, self._root)
                draft.replace(target)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        return digest.hexdigest()

    def download(self, name: str, path: Path, sha256: str) -> None:
        with _translated(self.url, "read"), (self._root / name).open("rb") as stream:
            _save(stream, path, sha256, f"{self.url}/{name}")

    def delete(self, name: str) -> None:
        path = self._root / name
        with _translated(self.url, "written"):
            path.unlink(missing_ok=True)
            self._drop_empty(path)

    def delete_all(self, prefix: str) -> None:
        path = self._root / prefix
        with _translated(self.url, "written"), suppress(FileNotFoundError):
            shutil.rmtree(path)
            self._drop_empty(path)

    def require(self) -> None:
        """Raises SharedStoreError if there is no such folder."""
        if not self._root.is_dir():
            raise SharedStoreError(
                f"The shared store {self._root} is not a folder: it does not exist, or its drive is not mounted.",
                cure="Create it once, or correct DEBITURA_SHARED_STORE.",
            )

    def _drop_empty(self, path: Path) -> None:
        with suppress(OSError):  # another process has deleted it, or written to it, meanwhile
            for folder in path.parents:
                if folder == self._root:
                    break
                folder.rmdir()

    def _made(self, name: str) -> Path:
        """The path of an object, its folders made."""
        path = self._root / name
        self.require()
        for folder in reversed(path.parents):
            if folder.is_relative_to(self._root) and not folder.exists():
                folder.mkdir(mode=0o700)
                share(folder, self._root)
        return path


@contextmanager
def _translated(url: str, verb: str) -> Iterator[None]:
    """Raise an OSError as SharedStoreError, but FileNotFoundError as it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SharedStoreError(f"The shared store {url} cannot be {verb}: {_reason(error)}.", cure=CURE) from None


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _read(file: IO[bytes]) -> bytes:
    return file.read(CHUNK)


def _save(stream: Any, path: Path, sha256: str, name: str) -> None:
    """Write what `stream` has to `path`, mode 0600, by way of a draft."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft, digest = path.with_name(f"{DRAFT}{path.name}"), hashlib.sha256()
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise SharedStoreError(f"{name} is not what was uploaded: its SHA-256 differs. It was not used.")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@lru_cache(maxsize=4)
def _file_system(store: SharedStore) -> S3FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem  # noqa: PLC0415 - its start takes a fifth of a second

    endpoint = urlsplit(store.endpoint) if store.endpoint else None
    return S3FileSystem(
        access_key=_revealed(store.access_key),
        secret_key=_revealed(store.secret_key),
        session_token=_revealed(store.session_token),
        region=store.region,
        scheme=endpoint.scheme if endpoint else "https",
        endpoint_override=endpoint.netloc if endpoint else None,
        connect_timeout=CONNECT_TIMEOUT_S,
        allow_delayed_open=True,  # one PUT for what is small
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _reason(error: OSError) -> str:
    """What the server or the SDK said, in a few words; never a request's headers."""
    found = _AWS.search(str(error))
    if found is None:
        return error.strerror or type(error).__name__
    said = found["said"].strip().rstrip(".")[:160]
    return f"{found['code'].lower().replace('_', ' ')} ({said or found['call']})"
