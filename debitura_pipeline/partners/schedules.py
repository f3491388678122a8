"""A schedule of the nightly run for each partner, for a daemon that serves all of them.

The run has the partner's name as its partition, and as a tag. Its process then works for that partner alone
(`orchestration/resources.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.jobs import freshness, nightly
from debitura_pipeline.orchestration.keys import PARTNER_TAG, PARTNERS
from debitura_pipeline.orchestration.retries import tags_of_retries
from debitura_pipeline.partners.overview import Overview, read_overviews
from debitura_pipeline.settings import DEFAULT_SCHEDULE, declared, hours_later, open_partners

FRESHNESS_AFTER_H = 6


def partner_schedules() -> list[dg.ScheduleDefinition]:
    """Two for each partner, nightly run and freshness; none without a partners file, or if the process works for one partner.

    A partner whose table is wrong has them at the default time, so that its runs report what is wrong.
    """
    try:
        partners, given = open_partners()
        if given.get(declared.PARTNER.name):
            return []
        return [schedule for overview in read_overviews(partners, given) for schedule in _schedules(overview)]
    except SettingsError:
        return []


def partner_folders() -> dict[str, Path]:
    """The data directory of each partner whose table says where it is. Raises SettingsError."""
    found = {overview.name: overview.data_dir for overview in read_overviews(*open_partners())}
    return {name: folder for name, folder in found.items() if folder is not None}


def _schedules(overview: Overview) -> Iterator[dg.ScheduleDefinition]:
    cron = overview.schedule or DEFAULT_SCHEDULE
    name, partner = overview.name.replace("-", "_"), {PARTNER_TAG: overview.name}
    partition = None if PARTNERS is None else overview.name
    night = dg.RunRequest(partition_key=partition, tags={**partner, **tags_of_retries(overview.run_retries)})
    yield _schedule(f"nightly_{name}", nightly, cron, night, f"Runs nightly for partner {overview.name}.")
    later, checks = hours_later(cron, FRESHNESS_AFTER_H), dg.RunRequest(tags=partner)
    about = f"Checks that the data of partner {overview.name} was read and published."
    yield _schedule(f"freshness_{name}", freshness, later, checks, about)


def _schedule(
    name: str, job: UnresolvedAssetJobDefinition, cron: str, request: dg.RunRequest, about: str
) -> dg.ScheduleDefinition:
    def tick(_: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return request

    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        execution_fn=tick,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=about,
    )
