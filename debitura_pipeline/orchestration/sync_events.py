"""What a sync means for assets that no step of Dagster's makes: the listing that was read, and `ops`.

Belongs here: those events, and the event of `raw` where another asset's step has written it. Used by `assets/`.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from debitura_pipeline.orchestration.keys import LISTING, OPS, OPS_ONBOARDING, RAW
from debitura_pipeline.orchestration.metadata import observed_metadata, sync_metadata
from debitura_pipeline.sync import SyncReport


def sync_events(report: SyncReport, *, is_own: bool) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """`is_own`: the step is that of the raw table, which reports its own materialisation."""
    yield dg.AssetObservation(LISTING[report.resource], metadata=observed_metadata(report))
    if not is_own:
        yield dg.AssetMaterialization(RAW[report.resource], metadata=sync_metadata(report))
    for key in OPS:
        yield dg.AssetMaterialization(
            key, metadata={"sync_id": report.sync_id, "as_of": dg.MetadataValue.timestamp(report.started_at)}
        )


def onboarding_event(clients: int) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(OPS_ONBOARDING, metadata={"clients": clients})
