"""What a reading of everything means for onboarding, told in two events, so that sensors need not open the warehouse.

Belongs here: those events and reading them back. Does not: who is covered (`onboarding/coverage.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.onboarding.coverage import Coverage, note_covered, untried
from debitura_pipeline.orchestration.keys import ONBOARDING
from debitura_pipeline.orchestration.partitions import CLIENTS
from debitura_pipeline.settings import Settings

COVERED, UNTRIED = "covered", "untried"


@dataclass(frozen=True)
class Known:
    """`covered`: clients that need no run of their own. `untried`: how many clients' access was never tried, as of `at`."""

    covered: Coverage = field(default_factory=Coverage)
    untried: int = 0
    at: datetime | None = None


def coverage_events(
    settings: Settings, instance: dg.DagsterInstance, *, is_proof_wanted: bool = True
) -> Iterator[dg.AssetObservation]:
    """Observations of `onboarding/history` and `onboarding/access` after a sync. `ops.onboarding` is written first, and listed
    clients that are not loaded get a partition: the sensor reads the newest of them alone."""
    standing = note_covered(settings, is_proof_wanted=is_proof_wanted)
    covered = Coverage.of(standing.loaded)
    if standing.open:
        instance.add_dynamic_partitions(str(CLIENTS.name), list(standing.open))
    yield dg.AssetObservation(
        ONBOARDING["history"],
        description="Clients whose history is there since everything was read; they need no run of their own.",
        metadata={"clients": len(covered), COVERED: dg.MetadataValue.text(covered.as_text())},
    )
    yield access_event(settings)


def access_event(settings: Settings) -> dg.AssetObservation:
    _, left = untried(settings, 0)
    return dg.AssetObservation(
        ONBOARDING["access"], description="Loaded clients whose access was never tried.", metadata={UNTRIED: left}
    )


def read_known(instance: dg.DagsterInstance) -> Known:
    """The newest of both events; two queries."""
    covered, _ = _newest(instance, ONBOARDING["history"], COVERED)
    left, at = _newest(instance, ONBOARDING["access"], UNTRIED)
    return Known(
        Coverage.from_text(covered) if isinstance(covered, str) else Coverage(),
        left if isinstance(left, int) else 0,
        at,
    )


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey, name: str) -> tuple[object, datetime | None]:
    for record in instance.fetch_observations(key, limit=1).records:
        event = record.event_log_entry.asset_observation
        if event is not None and name in event.metadata:
            return event.metadata[name].value, datetime.fromtimestamp(record.timestamp, UTC)
    return None, None
