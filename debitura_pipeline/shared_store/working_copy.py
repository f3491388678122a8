"""Keep a data directory and the shared store in step: before a run, during it, and after it. The run lock is held meanwhile.

Before: the directory gets what another machine has added since. During: a sync is uploaded before it is merged, a night when it is
published. After: the rest. What a killed run could not upload, the next run of the same machine does; another machine does not
need it, since nothing is merged that the store lacks.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.errors import DebituraError, IdentityRefused, SharedStoreError
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.settings import Settings, key_fingerprint
from debitura_pipeline.shared_store.landing import SharedLanding
from debitura_pipeline.shared_store.nights import REPORTS, SharedNights, set_digest
from debitura_pipeline.shared_store.objects import Objects, open_objects
from debitura_pipeline.shared_store.position import StorePosition, read_store_position, write_store_position
from debitura_pipeline.shared_store.records import RecordsVersion, SharedRecords

ASIDE = "aside"
LATER = "The next run uploads it."

log = logging.getLogger(__name__)


@contextmanager
def working_copy(settings: Settings, before_push: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Bring the data directory up to date, and the store afterwards; does nothing without a store.

    `before_push`: raises DebituraError if another run has taken over meanwhile; nothing is uploaded then. Raises SharedStoreError
    or IdentityRefused before anything is done, if the store cannot be reached or holds other data. A failure afterwards is a
    warning, and recorded for `debitura status`.
    """
    if settings.shared_store is None:
        yield
        return
    objects = open_objects(settings.shared_store)
    bring_up_to_date(settings, objects)
    try:
        yield
    except (IdentityRefused, KeyboardInterrupt):  # nothing to add, or no time: the next run uploads it
        raise
    except BaseException:
        _upload_what_is_there(settings, objects, before_push)
        raise
    _upload_what_is_there(settings, objects, before_push)


def _upload_what_is_there(settings: Settings, objects: Objects, before_push: Callable[[], None]) -> None:
    """A failure is a warning, and recorded for `debitura status`."""
    try:
        before_push()
        upload_changes(settings, objects)
    except (DebituraError, OSError) as error:
        reason = str(error) if isinstance(error, DebituraError) else error.strerror or type(error).__name__
        log.warning("What this run has added is not all in the shared store yet: %s %s", reason, LATER)
        _note_fault(settings, reason)


def require_fit(settings: Settings, objects: Objects) -> None:
    """Raises SharedStoreError or IdentityRefused if a run would be refused. Changes nothing."""
    shared = SharedRecords(objects, settings.data_dir)
    position = read_store_position(settings.data_dir, objects.url)
    for name in shared.newest()[1]:
        _refuse_unfit(settings, position, shared.read(name))


def check_store(settings: Settings, objects: Objects) -> int:
    """How many syncs only the store has. Changes nothing. Raises SharedStoreError or IdentityRefused if a run would be refused."""
    require_fit(settings, objects)
    return SharedLanding(objects, settings.landing_dir).missing_here()


def bring_up_to_date(settings: Settings, objects: Objects) -> None:
    """Add to the data directory what only the store has. Raises SharedStoreError, IdentityRefused and LandingError."""
    objects.require()
    position = read_store_position(settings.data_dir, objects.url)
    shared = SharedRecords(objects, settings.data_dir)
    number, names = shared.newest()
    if number > position.number:
        versions = [shared.read(name) for name in names]
        for theirs in versions:
            _refuse_unfit(settings, position, theirs)
        _take_over(settings, shared, position, versions[-1])
    elif number == 0 and settings.warehouse.engine == "duckdb":  # Postgres lets one run in at a time, from any machine
        _claim(settings, shared, position)
    SharedLanding(objects, settings.landing_dir).pull()


def upload_changes(settings: Settings, objects: Objects) -> None:
    """Add to the store what only the data directory has. Raises SharedStoreError, OSError."""
    position = read_store_position(settings.data_dir, objects.url)
    # A new directory's name, which the records are about to have: were it lost, the store would be a stranger's.
    write_store_position(settings.data_dir, position)
    landing = SharedLanding(objects, settings.landing_dir)
    landing.push()
    _push_reports(settings, objects)
    shared = SharedRecords(objects, settings.data_dir)
    number, _ = shared.newest()
    records = _version(settings, position, max(number, position.number) + 1, shared.here())
    if records.files and (number == 0 or number != position.number or records.digest != position.digest):
        shared.write(records)
        position.number, position.digest = records.number, records.digest
    position.newest, position.agreed_at, position.fault = landing.newest(), datetime.now(UTC), None
    write_store_position(settings.data_dir, position)


def _claim(settings: Settings, shared: SharedRecords, position: StorePosition) -> None:
    """Make a new store this directory's, before anything is read into it: another DuckDB directory may be doing the same.

    Each writes a version and then looks for others, so that at least one of two sees both. Raises SharedStoreError.
    """
    write_store_position(settings.data_dir, position)
    records = _version(settings, position, 1, shared.here())
    own = shared.write(records)
    if shared.newest() != (1, [own]):
        shared.objects.delete(own)
        raise SharedStoreError(
            f"Another data directory has begun to use the shared store {position.url} at the same moment. Nothing was touched.",
            cure="Give each DuckDB warehouse a store of its own. If this is the only one, run the command again.",
        )
    position.number, position.digest = records.number, records.digest
    write_store_position(settings.data_dir, position)


def _version(settings: Settings, position: StorePosition, number: int, files: dict[str, bytes]) -> RecordsVersion:
    return RecordsVersion(
        number=number,
        owner=position.owner,
        engine=settings.warehouse.engine,
        host=platform.node(),
        written_at=datetime.now(UTC),
        files=files,
    )


def secure_sync(settings: Settings, folder: SyncFolder) -> None:
    """Have a finished sync in the store, and all its files here, before it is merged. Raises SharedStoreError, LandingError."""
    if settings.shared_store is not None:
        SharedLanding(open_objects(settings.shared_store), settings.landing_dir).secure(folder)


def fetch_landing(settings: Settings, sync_id: str | None = None) -> None:
    """Download the journals and landed files that only the store has, of all syncs or of one. Needs no run lock. Raises
    SharedStoreError, IdentityRefused, LandingError."""
    if settings.shared_store is None:
        return
    objects = open_objects(settings.shared_store)
    require_fit(settings, objects)
    landing = SharedLanding(objects, settings.landing_dir)
    landing.pull()
    found = []
    for path in settings.landing_dir.glob(f"*/sync={sync_id or '*'}"):
        try:
            found.append(SyncFolder.load(path))
        except DebituraError:  # its journal is damaged, which the caller finds, too
            continue
    landing.fetch(found)


def note_published(settings: Settings, night: str) -> None:
    """Record that a night was copied to the store. Raises OSError."""
    if settings.shared_store is not None:
        position = read_store_position(settings.data_dir, settings.shared_store.url)
        position.published = night
        write_store_position(settings.data_dir, position)


def _push_reports(settings: Settings, objects: Objects) -> None:
    folder = settings.reports_dir
    if folder.is_dir() and any(folder.iterdir()):
        SharedNights(objects, REPORTS).publish(
            folder, set_digest(folder), as_of=None, published_at=datetime.now(UTC).replace(microsecond=0)
        )


def _refuse_unfit(settings: Settings, position: StorePosition, theirs: RecordsVersion) -> None:
    """Raises SharedStoreError if the store holds other data than the directory, or belongs to a DuckDB warehouse elsewhere."""
    here, there = _identity(settings.data_dir / "identity.json"), theirs.files.get("identity.json")
    if there is not None:
        _refuse_other_key(settings, position.url, json.loads(there))
    if here is not None and there is not None and not _is_same(here, json.loads(there)):
        raise SharedStoreError(
            f"The shared store {position.url} holds the data of another API, partner or privacy key than the data directory "
            f"{settings.data_dir}. Nothing was touched.",
            cure="Set another DEBITURA_SHARED_STORE.",
        )
    is_shared = theirs.engine == settings.warehouse.engine == "postgresql"
    if not is_shared and theirs.owner != position.owner:
        raise SharedStoreError(
            f"The shared store {position.url} belongs to another data directory, last used on host {theirs.host}, and a DuckDB "
            "warehouse cannot be shared. Nothing was touched.",
            cure="Move that directory here with `debitura backup` and `debitura restore`, or move its warehouse to Postgres with "
            "`debitura migrate`.",
        )


def _refuse_other_key(settings: Settings, url: str, theirs: dict[str, str | None]) -> None:
    key = settings.find_privacy_key()
    if key is None or key_fingerprint(key) != theirs.get("privacy_key"):
        raise IdentityRefused(
            f"The pseudonyms in the shared store {url} were made with another privacy key than that of this machine"
            f"{', which has none' if key is None else ''}. Nothing was touched.",
            cure="Set DEBITURA_PRIVACY_KEY to the key of the machine that was used before, or copy its privacy.key into "
            f"{settings.data_dir}.",
        )


def _take_over(settings: Settings, shared: SharedRecords, position: StorePosition, theirs: RecordsVersion) -> None:
    """Replace the records here with the store's. RecordsVersion that the store has never had are kept aside."""
    here = shared.here()
    if here and position.number == 0:
        folder = settings.data_dir / ASIDE / f"before-shared-store-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        for name, content in here.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(content)
    shared.replace(theirs.files)
    position.number, position.digest = theirs.number, theirs.digest
    write_store_position(settings.data_dir, position)


def _identity(path: Path) -> dict[str, str | None] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None  # what cannot be read, `check_identity` reports
    return found if isinstance(found, dict) else None


def _is_same(one: dict[str, str | None], other: dict[str, str | None]) -> bool:
    partners = {one.get("partner"), other.get("partner")} - {None}
    return len(partners) < 2 and all(
        one.get(name) == other.get(name) for name in ("environment", "host", "privacy_key")
    )


def _note_fault(settings: Settings, reason: str) -> None:
    try:
        assert settings.shared_store is not None
        position = read_store_position(settings.data_dir, settings.shared_store.url)
        position.fault = reason
        write_store_position(settings.data_dir, position)
    except (DebituraError, OSError) as error:
        log.warning("that could not be recorded: %s", type(error).__name__)
