"""How far the shared store is behind a data directory, from what is on disk; sends no request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.landing.landing_zone import SyncFolder, folder_paths
from debitura_pipeline.plural import counted
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.position import StorePosition, read_store_position
from debitura_pipeline.shared_store.records import FILES, digest_of


def read_lag(settings: Settings, night: str | None) -> dict[str, Any] | None:
    """The facts for `debitura status`; None without a store. `night`: name of the night that is published here.

    `syncs_behind`: merged syncs that the store does not have as merged ones. Raises SharedStoreError.
    """
    if settings.shared_store is None:
        return None
    position = read_store_position(settings.data_dir, settings.shared_store.url)
    files = {name: path.read_bytes() for name in FILES if (path := settings.data_dir / name).is_file()}
    return {
        "url": position.url,
        "agreed_at": position.agreed_at and position.agreed_at.isoformat(),
        "syncs_behind": sum(1 for _ in _behind(settings, position)),
        "has_night": night is None or position.published == night,
        "has_records": digest_of(files) == position.digest,
        "fault": position.fault,
    }


def problem_of(lag: dict[str, Any]) -> str | None:
    """The open problem in one line; None if the store has everything that counts."""
    behind = [counted(lag["syncs_behind"], "sync")] if lag["syncs_behind"] else []
    if not lag["has_night"]:
        behind.append("the published night")
    if not behind and lag["fault"] is None:
        return None
    why = f" ({lag['fault'].rstrip('.')})" if lag["fault"] else ""
    what = " and ".join(behind) or "the records of the last run"
    return f"the shared store {lag['url']} is behind: {what} not uploaded yet{why}; the next run does it"


def _behind(settings: Settings, position: StorePosition) -> Iterator[str]:
    for path in folder_paths(settings.landing_dir):
        if path.name > position.newest.get(path.parent.name, ""):
            try:
                if SyncFolder.load(path).is_merged:
                    yield path.name
            except DebituraError:
                continue
