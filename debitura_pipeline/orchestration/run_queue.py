"""The run queue of an instance that serves several partners.

Every run gets the tag of its partner, wherever it is requested, and the tag by which the queue admits one run at a time for each
partner's key and warehouse. Dagster's pools cannot do that: a step's pool is fixed in its definition.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG, PARTITION_NAME_TAG

from debitura_pipeline.orchestration.jobs import FRESHNESS
from debitura_pipeline.orchestration.keys import PARTNER_TAG, WAREHOUSE_TAG


def partner_of(tags: Mapping[str, str]) -> str | None:
    """The partner that a run works for: by its partition, else by its tag; None if it has neither."""
    partition = tags.get(PARTITION_NAME_TAG) or tags.get(ASSET_PARTITION_RANGE_START_TAG) or ""
    return partition.partition("/")[0] or tags.get(PARTNER_TAG)


def queue_tags(job: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that the queue goes by. Checks of freshness wait for no run: they notice the one that hangs."""
    partner = partner_of(tags)
    if partner is None:
        return {}
    if job == FRESHNESS:  # its checks are partitioned, and the job is not
        return {PARTNER_TAG: partner, PARTITION_NAME_TAG: partner}
    return {PARTNER_TAG: partner, WAREHOUSE_TAG: partner}


class PartnerRunCoordinator(QueuedRunCoordinator):
    """`QueuedRunCoordinator` that tags each run with its partner. Named in `dagster.yaml`."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Queue the run."""
        run = context.dagster_run
        wanted = queue_tags(run.job_name, run.tags)
        if wanted.items() - run.tags.items():
            self._instance.add_run_tags(run.run_id, wanted)
        return super().submit_run(context)
