"""Published files and reports in the shared store: a folder per night, and one small object that names the current one.

`<kind>/current.json` is replaced in one request, after all files of its night. A reader that follows it meets one night, whole;
the two nights before stay for readers that are still downloading them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.shared_store.objects import DRAFT, Objects

PUBLISHED, REPORTS, CURRENT = "published", "reports", "current.json"
NIGHTS_KEPT = 3
TRIES = 5  # a reader that is overtaken by three nights during one download starts again


class NightFile(msgspec.Struct, frozen=True):
    """Size in bytes and hex SHA-256 of one file."""

    size: int
    sha256: str


class Night(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `current.json`. `folder`: of the files, beside it. `links`: other names of files. `nights`: the folders that
    are kept, oldest first. `source`: the name of the night on the machine that made it."""

    format: int = 1
    folder: str
    source: str
    as_of: datetime | None
    published_at: datetime
    files: dict[str, NightFile]
    links: dict[str, str] = {}
    nights: tuple[str, ...] = ()


@dataclass(frozen=True)
class SharedNights:
    """The nights of one kind, PUBLISHED or REPORTS."""

    objects: Objects
    kind: str

    def current(self) -> Night | None:
        """The night that readers meet; None before the first one. Raises SharedStoreError."""
        name = f"{self.kind}/{CURRENT}"
        try:
            return msgspec.json.decode(self.objects.read(name), type=Night)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise SharedStoreError(f"{self.objects.url}/{name} is not what this version writes.") from None

    def publish(self, folder: Path, source: str, *, as_of: datetime | None, published_at: datetime) -> Night:
        """Upload the files of `folder`, then make them current. Raises SharedStoreError, OSError; readers then keep the night
        before."""
        paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
        before = self.current()
        files = {path.name: _facts(path) for path in paths if not path.is_symlink()}
        links = {path.name: path.readlink().name for path in paths if path.is_symlink()}
        name = f"{published_at:%Y%m%dT%H%M%SZ}-{_digest(files)[:8]}"
        if before is not None and before.files == files and before.source == source:
            return before
        for file, facts in files.items():
            if self.objects.upload(f"{self.kind}/{name}/{file}", folder / file) != facts.sha256:
                raise SharedStoreError(f"{folder / file} was changed while it was copied to the shared store.")
        kept = [one for one in (before.nights if before is not None else ()) if one != name]
        night = Night(
            folder=name,
            source=source,
            as_of=as_of,
            published_at=published_at,
            files=files,
            links={link: target for link, target in links.items() if target in files},
            nights=(*kept, name)[-NIGHTS_KEPT:],
        )
        self.objects.write(f"{self.kind}/{CURRENT}", msgspec.json.encode(night))
        self._remove_others(night)
        return night

    def download(self, folder: Path) -> Night | None:
        """Put the current night's files into `folder`, an empty one; None before the first night. Raises SharedStoreError."""
        for _ in range(TRIES):
            night = self.current()
            if night is None:
                return None
            try:
                self._download(night, folder)
            except FileNotFoundError:  # removed meanwhile, three nights later
                for path in folder.iterdir():
                    path.unlink()
                continue
            return night
        raise SharedStoreError(f"Nights in {self.objects.url} are replaced faster than they can be downloaded.")

    def _download(self, night: Night, folder: Path) -> None:
        for name in (*night.files, *night.links, *night.links.values()):
            if Path(name).name != name or name.startswith("."):
                raise SharedStoreError(f"{self.objects.url}/{self.kind}/{CURRENT} names files that no night has.")
        for name, facts in night.files.items():
            self.objects.download(f"{self.kind}/{night.folder}/{name}", folder / name, facts.sha256)
        for link, target in night.links.items():
            (folder / link).symlink_to(target)

    def _remove_others(self, night: Night) -> None:
        """Remove nights that are no longer kept, and what a killed run has left."""
        for name in self.objects.names(self.kind):
            _, _, rest = name.partition("/")
            folder, _, file = rest.partition("/")
            if file and folder not in night.nights:
                self.objects.delete(name)


def set_digest(folder: Path) -> str:
    """Hex SHA-256 of names and contents of the files in `folder`."""
    return _digest({path.name: _facts(path) for path in sorted(folder.glob("*")) if _is_report(path)})


def _is_report(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", DRAFT))


def _facts(path: Path) -> NightFile:
    with path.open("rb") as file:
        return NightFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _digest(files: Mapping[str, NightFile]) -> str:
    digest = hashlib.sha256()
    for name, facts in sorted(files.items()):
        digest.update(f"{name}\0{facts.sha256}\0".encode())
    return digest.hexdigest()
