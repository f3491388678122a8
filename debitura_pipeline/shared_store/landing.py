"""The landing zone in the shared store. Landed files and certificates never change, so both sides can be united at any time.

A sync's files are `landing/<resource>/sync=<id>/<file>`. Its journal is stored twice: up to its `end` as
`pending/<resource>/<id>.jsonl` *before* the sync is merged, and whole as `certificates/<resource>/<id>.jsonl` once it is. Each is
written after the files that it names. So whatever the warehouse has merged, the store has, whenever a run is killed.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from debitura_pipeline.errors import LandingError, SharedStoreError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.landing.accepted_gaps import read_gaps
from debitura_pipeline.landing.journal_lines import JOURNAL, Refused, WindowLine
from debitura_pipeline.landing.landing_zone import SyncFolder, folder_paths, unmerged
from debitura_pipeline.shared_store.objects import Objects

LANDING, CERTIFICATES, PENDING = "landing", "certificates", "pending"
AT_ONCE = 8  # requests of a machine that takes over; its files are small
_NAME = re.compile(r"(?P<kind>certificates|pending)/(?P<resource>[a-z]+)/(?P<sync_id>[A-Za-z0-9-]+)\.jsonl")

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedLanding:
    """The landing zone at `landing`, and its copy."""

    objects: Objects
    landing: Path

    def pull(self) -> None:
        """Add the journals that only the store has, without their files. Raises SharedStoreError, also if a sync is there
        with another certificate, and LandingError."""
        lost = read_gaps(self.landing)
        wanted = {path: name for path, name in self._journals().items() if path.name.removeprefix("sync=") not in lost}
        self._refuse_diverged(wanted)
        missing = [(path, name) for path, name in wanted.items() if not (path / JOURNAL).exists()]
        _all_at_once(lambda one: self._pull(*one), missing)

    def secure(self, folder: SyncFolder) -> None:
        """Make sure that both sides have a finished sync, before it is merged. Raises SharedStoreError, LandingError."""
        self._exchange_files(folder)
        certified = (folder.path / JOURNAL).read_bytes()[: folder.certified]
        self.objects.write(_name(PENDING, folder.path), certified)

    def fetch(self, folders: Iterable[SyncFolder]) -> None:
        """Download the files of finished syncs that are missing here. What the store lacks, too, is left to the checks of the
        caller. Raises SharedStoreError."""
        wanted = [(folder, line) for folder in folders if folder.end is not None for line in _missing(folder)]
        _all_at_once(lambda one: self._fetch(*one), wanted)

    def push(self) -> None:
        """Upload merged syncs that the store does not have, and drop pending ones that came to nothing. Raises
        SharedStoreError."""
        known = self._journals()
        for path in folder_paths(self.landing):
            if not known.get(path, PENDING).startswith(PENDING):
                continue
            try:
                folder = SyncFolder.load(path)
                if folder.end is not None and folder.is_merged:
                    if path not in known:
                        self._exchange_files(folder)
                    self.objects.write(_name(CERTIFICATES, path), (path / JOURNAL).read_bytes()[: folder.size])
            except LandingError as error:  # damaged here: `verify` says so, and `repair` what can be done
                log.warning("sync %s is not copied to the shared store: %s", path.name.removeprefix("sync="), error)
        self._drop_pending()

    def missing_here(self) -> int:
        """How many merged syncs only the store has. Raises SharedStoreError."""
        return sum(1 for path in self._journals() if not (path / JOURNAL).exists())

    def newest(self) -> dict[str, str]:
        """The newest sync of each resource whose certificate the store has. Raises SharedStoreError."""
        found: dict[str, str] = {}
        for path, name in self._journals().items():
            if name.startswith(CERTIFICATES):
                found[path.parent.name] = max(found.get(path.parent.name, ""), path.name)
        return found

    def _journals(self) -> dict[Path, str]:
        """The object of each sync by the path of its folder; the whole journal, where there are both."""
        found: dict[Path, str] = {}
        for kind in (PENDING, CERTIFICATES):
            for name in self.objects.names(kind):
                if named := _NAME.fullmatch(name):
                    found[self.landing / named["resource"] / f"sync={named['sync_id']}"] = name
        return found

    def _pull(self, path: Path, name: str) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_atomically(path / JOURNAL, self.objects.read(name), fsync=True)

    def _refuse_diverged(self, wanted: dict[Path, str]) -> None:
        """A sync that both have, and that is not merged here, must be the same. Merged ones are compared by `verify`."""
        for folder in unmerged(self.landing):
            if folder.path in wanted and folder.certificate_sha256 is not None:
                theirs = self.objects.read(wanted[folder.path])[: folder.certified]
                if hashlib.sha256(theirs).hexdigest() != folder.certificate_sha256:
                    raise SharedStoreError(
                        f"Sync {folder.begin.sync_id} in {self.landing} is not the one in the shared store {self.objects.url}: "
                        "the two have diverged. Nothing was touched.",
                        cure="Move that sync's folder away if the store is right; otherwise use another DEBITURA_SHARED_STORE.",
                    )

    def _exchange_files(self, folder: SyncFolder) -> None:
        """Upload the files of the certificate; download those that are missing here."""
        for line in _used(folder):
            if not (folder.path / str(line.file)).exists():
                self._fetch(folder, line)
            elif self.objects.upload(_file_name(folder, line), folder.path / str(line.file)) != line.sha256:
                self.objects.delete(_file_name(folder, line))
                raise LandingError(
                    f"{folder.path / str(line.file)} has changed since it was landed; it was not copied to the shared store."
                )

    def _fetch(self, folder: SyncFolder, line: WindowLine) -> None:
        path = folder.path / str(line.file)
        try:
            self.objects.download(_file_name(folder, line), path, str(line.sha256))
        except FileNotFoundError:
            log.warning("%s is missing here and in the shared store %s", path, self.objects.url)

    def _drop_pending(self) -> None:
        for name in self.objects.names(PENDING):
            named = _NAME.fullmatch(name)
            if named is None:
                continue
            path = self.landing / named["resource"] / f"sync={named['sync_id']}"
            if not _is_pending(path):
                self.objects.delete(name)


def _is_pending(path: Path) -> bool:
    """Whether a sync is finished and may still be merged."""
    try:
        folder = SyncFolder.load(path)
    except LandingError:
        return True
    return folder.end is not None and folder.is_open and not any(isinstance(line, Refused) for line in folder.lines)


def _used(folder: SyncFolder) -> Iterator[WindowLine]:
    """The windows of the certificate that have a file."""
    numbers = set(folder.end.windows) if folder.end is not None else set()
    return (line for line in folder.windows if line.seq in numbers and line.file is not None)


def _missing(folder: SyncFolder) -> Iterator[WindowLine]:
    return (line for line in _used(folder) if not (folder.path / str(line.file)).exists())


def _name(kind: str, path: Path) -> str:
    return f"{kind}/{path.parent.name}/{path.name.removeprefix('sync=')}.jsonl"


def _file_name(folder: SyncFolder, line: WindowLine) -> str:
    return f"{LANDING}/{folder.path.parent.name}/{folder.path.name}/{line.file}"


def _all_at_once(call: Callable[[T], None], items: Sequence[T]) -> None:
    if not items:
        return
    with ThreadPoolExecutor(AT_ONCE, "shared store") as pool:
        list(pool.map(call, items))
