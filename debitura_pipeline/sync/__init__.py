"""Syncing: one resource from plan to merge, and what is done with the landing zone afterwards."""

from debitura_pipeline.api.connect import Tools
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.run import RESOURCES, foresee, sync, sync_client
from debitura_pipeline.sync.status import read_status
from debitura_pipeline.sync.upkeep import reconcile, replay, verify

__all__ = [
    "RESOURCES",
    "SyncReport",
    "Tools",
    "foresee",
    "read_status",
    "reconcile",
    "replay",
    "sync",
    "sync_client",
    "verify",
]
