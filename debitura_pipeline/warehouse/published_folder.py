"""The published folder: one folder per night, and symbolic links to the current one.

`nights/<stamp>/` holds the files of one run. `current` links to the published night, and each documented path
(`warehouse.duckdb`, `<table>.parquet`, `partner-report.xlsx`) links through it, so replacing `current` switches all of them in
one rename. File permissions follow the folder's own (`sharing.py`).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.sharing import share

NIGHTS, CURRENT, DRAFT, NIGHT_FILE = "nights", "current", ".draft-", "night.json"
WAREHOUSE, REPORTS, SPREADSHEET = "warehouse.duckdb", "reports.duckdb", "partner-report.xlsx"
TABLE_FILES = (".parquet", ".csv")
WAIT_S, RETRY_EVERY_S = 10.0, 0.05
NIGHTS_KEPT = 3  # the night that readers have and the two before it
STAMP = "%Y%m%dT%H%M%SZ"
_IS_STAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class PublishedNight:
    """One published night. `as_of`: the API's clock at the oldest of the three syncs; None if unknown."""

    path: Path
    published_at: datetime
    as_of: datetime | None

    def data_at(self, *, is_simulated: bool) -> datetime:
        """The data's time by a clock comparable with this machine's, which a simulated API's is not."""
        return self.published_at if is_simulated or self.as_of is None else self.as_of


def current_night(folder: Path) -> PublishedNight | None:
    """The published night; None if nothing was published yet."""
    path = _current(folder)
    return None if path is None else _facts(path)


def _facts(path: Path) -> PublishedNight:
    try:
        facts = json.loads((path / NIGHT_FILE).read_text())
        as_of = facts["as_of"]
        return PublishedNight(path, _aware(facts["published_at"]), _aware(as_of) if as_of else None)
    except (OSError, ValueError, KeyError, TypeError):  # unreadable, or edited by hand
        return PublishedNight(path, datetime.fromtimestamp(path.stat().st_mtime, UTC), None)


@contextmanager
def exclusive_writer(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep other processes from writing to the published folder; waits for one that is ending.

    Raises WarehouseBusy if another process writes for longer than `wait_s`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, give_up_at = os.open(folder, os.O_RDONLY), time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    raise WarehouseBusy(
                        f"Another process has been writing to {folder} for more than {wait_s:.0f} s."
                    ) from None
            time.sleep(RETRY_EVERY_S)
        yield
    finally:
        os.close(handle)


@contextmanager
def draft_folder(folder: Path) -> Iterator[Path]:
    """A folder for the next night; removed on any error, so readers keep the previous one.

    Removes leftovers of killed runs first, and turns files of earlier versions into a night.
    """
    (folder / NIGHTS).mkdir(mode=0o700, exist_ok=True)
    share(folder / NIGHTS, folder)
    _remove_leftovers(folder)
    _adopt_plain_files(folder)
    draft = folder / NIGHTS / f"{DRAFT}night"
    draft.mkdir(mode=0o700)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def switch_to(folder: Path, draft: Path, *, as_of: datetime | None, now: datetime) -> PublishedNight:
    """Publish the night in `draft`, in one rename."""
    night = _name(folder, draft, as_of, now)
    shown = {path.name for path in _shown(night.path)}
    for name in sorted(shown):
        if not os.path.lexists(folder / name):
            _link(folder / name, f"{CURRENT}/{name}")
    _sync_to_disk(folder)
    _link(folder / CURRENT, f"{NIGHTS}/{night.path.name}")
    _sync_to_disk(folder)
    for path in _shown(folder):
        if path.name not in shown and not (path.is_dir() and not path.is_symlink()):
            path.unlink()
    return night


def remove_old_nights(folder: Path) -> None:
    """Keep the current folder and the newest one of each earlier night, NIGHTS_KEPT in all.

    The reports of one night may be published several times, as clients are loaded during the day. A reader that has a file of a
    removed folder open can still read it.
    """
    kept: set[object] = set()
    for path in reversed(_nights(folder)):
        night = _facts(path)
        data = night.as_of or path  # without a known time, each folder counts as a night of its own
        if data in kept or len(kept) >= NIGHTS_KEPT:
            shutil.rmtree(path)
        kept.add(data)


def _name(folder: Path, draft: Path, as_of: datetime | None, now: datetime) -> PublishedNight:
    """Sync everything to disk, then rename the draft to a name later than any earlier night's."""
    newest = max((_instant(path.name) for path in _nights(folder)), default=None)
    named_at = now.astimezone(UTC).replace(microsecond=0)
    if newest is not None:
        named_at = max(named_at, newest + timedelta(seconds=1))
    facts = {"as_of": as_of and as_of.astimezone(UTC).isoformat(), "published_at": now.astimezone(UTC).isoformat()}
    (draft / NIGHT_FILE).write_text(json.dumps(facts) + "\n")
    for path in draft.iterdir():
        if not path.is_symlink():
            share(path, folder)
            _sync_to_disk(path)
    share(draft, folder)
    _sync_to_disk(draft)
    path = draft.rename(folder / NIGHTS / f"{named_at:{STAMP}}")
    _sync_to_disk(path.parent)
    return PublishedNight(path, now, as_of)


def _remove_leftovers(folder: Path) -> None:
    """Remove leftovers of killed runs: drafts, and nights that never became current."""
    if (folder / CURRENT).is_dir() and not (folder / CURRENT).is_symlink():
        shutil.rmtree(folder / CURRENT)  # a copy of this folder that followed the links
    current = _current(folder)
    unseen = [path for path in _nights(folder) if current is None or path.name > current.name]
    for path in (*unseen, *folder.glob(DRAFT + "*"), *(folder / NIGHTS).glob(DRAFT + "*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _adopt_plain_files(folder: Path) -> None:
    """Turn files in place of links into a night and link to it, without readers noticing."""
    plain = [path for path in _shown(folder) if path.is_file() and not path.is_symlink()]
    if not plain:
        return
    current = _current(folder)
    if current is None or not all(_is_same(path, current / path.name) for path in plain):
        draft = folder / NIGHTS / f"{DRAFT}adopted"
        draft.mkdir(mode=0o700)
        for path in _shown(folder):
            if path.is_file():
                _link_or_copy(path.resolve(), draft / path.name)
        changed_at = datetime.fromtimestamp(max(path.stat().st_mtime for path in plain), UTC)
        night = _name(folder, draft, None, changed_at)
        _link(folder / CURRENT, f"{NIGHTS}/{night.path.name}")
    for path in plain:
        _link(path, f"{CURRENT}/{path.name}")
    _sync_to_disk(folder)


def _shown(folder: Path) -> list[Path]:
    """The documented paths that exist, as links or files."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name in (WAREHOUSE, REPORTS, SPREADSHEET)
        or (path.suffix in TABLE_FILES and not path.name.startswith("."))
    )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _is_same(path: Path, other: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.samefile(other)
    return False


def _current(folder: Path) -> Path | None:
    link = folder / CURRENT
    return folder / NIGHTS / link.readlink().name if link.is_symlink() and link.exists() else None


def _nights(folder: Path) -> list[Path]:
    """Oldest first."""
    found: Iterable[Path] = (folder / NIGHTS).iterdir() if (folder / NIGHTS).is_dir() else ()
    return sorted(path for path in found if _IS_STAMP.fullmatch(path.name))


def _aware(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _instant(stamp: str) -> datetime:
    return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)


def _link(path: Path, target: str) -> None:
    """Make `path` a relative link, in one rename. Globs match hidden files, so a draft's name must not look like a table."""
    draft = path.with_name(f"{DRAFT}{path.name}.part")
    draft.symlink_to(target)
    draft.replace(path)


def _sync_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
