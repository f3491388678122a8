"""The small files of a data directory, as one object per version: what a run on another machine must know besides its landing zone.

An object holds all of them and is written at once, under a name that no other has. The one with the highest number counts. The
privacy key is never among them, nor is the inbox of webhook events, which belongs to the machine that receives them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.shared_store.objects import Objects

FOLDER, KEPT = "records", 3
# A closed list: nothing else is uploaded, and nothing else is accepted from the store.
FILES = (
    "identity.json",
    "nights.jsonl",
    "reached.json",
    "sources.json",
    "write-facts.json",
    "incidents/state.json",
    "landing/gaps.jsonl",
    "sandbox/state.json",
)
_NAME = re.compile(FOLDER + r"/(\d{10})-[0-9a-f]{8}\.json")


class RecordsVersion(msgspec.Struct, kw_only=True):
    """One version. `number`: one above its predecessor's. `owner`: of the data directory that wrote it; `files`: by path."""

    format: int = 1
    number: int
    owner: str
    engine: str
    host: str
    written_at: datetime
    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the files."""
        return digest_of(self.files)


@dataclass(frozen=True)
class SharedRecords:
    """The records of `data_dir`, and their copies."""

    objects: Objects
    data_dir: Path

    def newest(self) -> tuple[int, list[str]]:
        """The highest number and the names of the versions that have it, the one that counts last; 0 if the store has none.

        There are several only where runs have begun to use a new store at once. Raises SharedStoreError.
        """
        found = [(int(named[1]), name) for name in self.objects.names(FOLDER) if (named := _NAME.fullmatch(name))]
        highest = max((number for number, _ in found), default=0)
        return highest, sorted(name for number, name in found if number == highest)

    def read(self, name: str) -> RecordsVersion:
        """Raises SharedStoreError if it cannot be read, or is of a later version."""
        try:
            found = msgspec.json.decode(self.objects.read(name), type=RecordsVersion)
        except (msgspec.DecodeError, FileNotFoundError) as error:
            raise SharedStoreError(f"{self.objects.url}/{name} cannot be read ({type(error).__name__}).") from None
        if found.format != 1:
            raise SharedStoreError(
                f"The shared store {self.objects.url} was written by a later version of the pipeline; upgrade this one."
            )
        return found

    def write(self, records: RecordsVersion) -> str:
        """Add a version, and delete all but the last three; returns its name. Raises SharedStoreError."""
        name = f"{FOLDER}/{records.number:010d}-{secrets.token_hex(4)}.json"
        self.objects.write(name, msgspec.json.encode(records))
        for old in sorted(self.objects.names(FOLDER))[:-KEPT]:
            self.objects.delete(old)
        return name

    def here(self) -> dict[str, bytes]:
        """The files of the data directory."""
        return {name: path.read_bytes() for name in FILES if (path := self.data_dir / name).is_file()}

    def replace(self, files: dict[str, bytes]) -> None:
        """Put files in place, each at once; those that are not among them stay."""
        for name in FILES:
            path = self.data_dir / name
            if name in files and not (path.is_file() and path.read_bytes() == files[name]):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private_atomically(path, files[name], fsync=True)


def digest_of(files: dict[str, bytes]) -> str:
    """Hex SHA-256 of files with their names."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
