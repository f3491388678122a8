"""A schedule of the nightly run for each partner, for a daemon that serves all of them.

The run carries the partner's name as a tag. Its process then works for that partner alone (`orchestration/resources.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.jobs import freshness, nightly
from debitura_pipeline.orchestration.keys import PARTNER_TAG
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


def _schedules(overview: Overview) -> Iterator[dg.ScheduleDefinition]:
    cron = overview.schedule or DEFAULT_SCHEDULE
    name, partner = overview.name.replace("-", "_"), {PARTNER_TAG: overview.name}
    yield dg.ScheduleDefinition(
        name=f"nightly_{name}",
        job=nightly,
        cron_schedule=cron,
        execution_timezone="UTC",
        tags={**partner, **tags_of_retries(overview.run_retries)},
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs nightly for partner {overview.name}.",
    )
    yield dg.ScheduleDefinition(
        name=f"freshness_{name}",
        job=freshness,
        cron_schedule=hours_later(cron, FRESHNESS_AFTER_H),
        execution_timezone="UTC",
        tags=partner,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Checks that the data of partner {overview.name} was read and published.",
    )
