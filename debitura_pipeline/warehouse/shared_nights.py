"""Copy the published night to the shared store, and fetch the store's current night, for `debitura pull`."""

from __future__ import annotations

import shutil
from pathlib import Path

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.nights import PUBLISHED, REPORTS, Night, SharedNights
from debitura_pipeline.shared_store.objects import Objects, open_objects
from debitura_pipeline.shared_store.working_copy import note_published
from debitura_pipeline.warehouse import published_folder
from debitura_pipeline.warehouse.opening import private_umask
from debitura_pipeline.warehouse.published_folder import NIGHT_FILE, PublishedNight, current_night
from debitura_pipeline.warehouse.run_lock import ensure_run_lock


def share_night(settings: Settings) -> None:
    """Make the published night the store's current one; does nothing without a store, or if it is already. Inside a run.

    Raises SharedStoreError: readers of the store then still see the previous night, readers on this machine the new one.
    """
    night = current_night(settings.published_dir)
    if settings.shared_store is None or night is None:
        return
    try:
        ensure_run_lock(settings.warehouse)
        _nights(settings, PUBLISHED).publish(
            night.path, night.path.name, as_of=night.as_of, published_at=night.published_at
        )
    except SharedStoreError as error:
        raise SharedStoreError(
            f"The night is published in {settings.published_dir}, but not in the shared store: {error.fault} The next run "
            "uploads its own night.",
            cure=error.cure,
        ) from None
    note_published(settings, night.path.name)


def pull_night(settings: Settings, folder: Path, reports: Path) -> PublishedNight | None:
    """Publish the store's current night in `folder` as a run of this machine would, and its reports in `reports`.

    Returns the night; None if the store has none, or `folder` has it already. Raises SharedStoreError, WarehouseBusy, OSError.
    """
    shared = _nights(settings, PUBLISHED)
    with private_umask(), published_folder.exclusive_writer(folder):
        wanted, before = shared.current(), current_night(folder)
        if wanted is None:
            raise SharedStoreError(f"Nothing is published in the shared store {shared.objects.url} yet.")
        _pull_reports(shared.objects, reports)
        if before is not None and (before.path.name == wanted.source or _is_same(before, wanted)):
            return None
        with published_folder.draft_folder(folder) as draft:
            night = shared.download(draft)
            if night is None:
                raise SharedStoreError(f"Nothing is published in the shared store {shared.objects.url} any more.")
            (draft / NIGHT_FILE).unlink(missing_ok=True)
            found = published_folder.switch_to(folder, draft, as_of=night.as_of, now=night.published_at)
        published_folder.remove_old_nights(folder)
    return found


def _is_same(before: PublishedNight, wanted: Night) -> bool:
    return (before.as_of, before.published_at) == (wanted.as_of, wanted.published_at)


def _pull_reports(objects: Objects, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"{published_folder.DRAFT}reports"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        SharedNights(objects, REPORTS).download(draft)
        for path in draft.iterdir():
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _nights(settings: Settings, kind: str) -> SharedNights:
    if settings.shared_store is None:
        raise SharedStoreError(
            "There is no shared store.", cure="Set DEBITURA_SHARED_STORE, as in s3://bucket/debitura."
        )
    return SharedNights(open_objects(settings.shared_store), kind)
