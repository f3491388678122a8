"""Sync resources from plan to merge, and work with the landing zone: verify, replay, repair, reconcile."""

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.sync.clients import ClientsSync, WantedClient, sync_clients
from debitura_pipeline.sync.moved_cases import has_moved_cases
from debitura_pipeline.sync.proof import check_certificates, verify
from debitura_pipeline.sync.reconciliation import reconcile
from debitura_pipeline.sync.repair import Repair, repair
from debitura_pipeline.sync.replay import replay
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.runner import RESOURCES, estimate, sync
from debitura_pipeline.sync.status import read_status
from debitura_pipeline.sync.targeted import TargetedSync, Targets, sync_targets

__all__ = [
    "RESOURCES",
    "ClientsSync",
    "Repair",
    "Runtime",
    "SyncReport",
    "TargetedSync",
    "Targets",
    "WantedClient",
    "check_certificates",
    "estimate",
    "has_moved_cases",
    "read_status",
    "reconcile",
    "repair",
    "replay",
    "sync",
    "sync_clients",
    "sync_targets",
    "verify",
]
