"""Pass on through Dagster events which clients a full sync has covered, so that sensors need not open the warehouse.

`onboarding/coverage.py` decides which clients these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.onboarding.coverage import Coverage, record_covered, untried
from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING
from debitura_pipeline.settings import Settings

COVERED, UNTRIED = "covered", "untried"


@dataclass(frozen=True)
class KnownClients:
    """The latest events. `covered`: clients that need no run. `untried`: number of clients without an access check at `at`."""

    covered: Coverage = field(default_factory=Coverage)
    untried: int = 0
    at: datetime | None = None


def coverage_events(
    settings: Settings, instance: dg.DagsterInstance, *, is_proof_wanted: bool = True
) -> Iterator[dg.AssetObservation]:
    """Observations of `onboarding/history` and `onboarding/access` after a sync.

    Writes `ops.onboarding` first, and adds a partition for each listed client that is not loaded: the sensor reads only the
    newest pages. Raises WarehouseError.
    """
    state = record_covered(settings, is_proof_wanted=is_proof_wanted)
    covered = Coverage.of(state.loaded)
    if state.open:
        instance.add_dynamic_partitions(str(CLIENTS.name), list(state.open))
    yield dg.AssetObservation(
        ONBOARDING["history"],
        description="Clients whose history was loaded by a full sync; they need no onboarding run.",
        metadata={"clients": len(covered), COVERED: dg.MetadataValue.text(covered.as_text())},
    )
    yield access_event(settings)


def access_event(settings: Settings) -> dg.AssetObservation:
    """The observation of `onboarding/access`. Raises WarehouseError."""
    _, left = untried(settings, 0)
    return dg.AssetObservation(
        ONBOARDING["access"], description="Loaded clients whose access was never tried.", metadata={UNTRIED: left}
    )


def read_known(instance: dg.DagsterInstance) -> KnownClients:
    """The newest of both events, in two queries."""
    covered, _ = _newest(instance, ONBOARDING["history"], COVERED)
    left, at = _newest(instance, ONBOARDING["access"], UNTRIED)
    return KnownClients(
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
