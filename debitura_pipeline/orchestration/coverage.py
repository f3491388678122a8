"""Pass on through Dagster events which clients a full sync has covered, so that sensors need not open the warehouse.

`onboarding/coverage.py` decides which clients these are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.contract.listings import PAGE_SIZE
from debitura_pipeline.onboarding.coverage import Coverage, record_covered, untried
from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING
from debitura_pipeline.orchestration.partner_view import Instance
from debitura_pipeline.settings import Settings

MAX_ADDED = PAGE_SIZE // 2
COVERED, UNSIGNED, UNTRIED = "covered", "unsigned", "untried"


@dataclass(frozen=True)
class KnownClients:
    """The latest events. `covered`: clients that need no run; `unsigned`: those of them that must sign again.
    `untried`: number of clients without an access check at `at`."""

    covered: Coverage = field(default_factory=Coverage)
    unsigned: Coverage = field(default_factory=Coverage)
    untried: int = 0
    at: datetime | None = None


def coverage_events(
    settings: Settings, instance: Instance, *, is_proof_wanted: bool = True
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
        metadata={
            "clients": len(covered),
            "must_sign_again": len(state.unsigned),
            COVERED: dg.MetadataValue.text(covered.as_text()),
            UNSIGNED: dg.MetadataValue.text(Coverage.of(state.unsigned).as_text()),
        },
    )
    yield access_event(settings)


def access_event(settings: Settings) -> dg.AssetObservation:
    """The observation of `onboarding/access`. Raises WarehouseError."""
    _, left = untried(settings, 0)
    return dg.AssetObservation(
        ONBOARDING["access"], description="Loaded clients whose access was never tried.", metadata={UNTRIED: left}
    )


def add_registered(instance: Instance, keys: Sequence[str]) -> int:
    """Add partitions for clients that are known from the roster or from events, not from the listing; returns their number.

    The sensor reads the listing, newest first, only up to a page of known clients, so a page of clients that were added here
    could hide others. Therefore few are added at a time; the sensor or the nightly run finds the rest in the listing.
    """
    known = {*instance.get_dynamic_partitions(str(CLIENTS.name))}
    covered = read_known(instance).covered
    new = [key for key in keys if key not in known and key not in covered][:MAX_ADDED]
    if new:
        instance.add_dynamic_partitions(str(CLIENTS.name), new)
    return len(new)


def read_known(instance: Instance) -> KnownClients:
    """The newest of both events, in two queries."""
    known, _ = _newest(instance, ONBOARDING["history"], COVERED, UNSIGNED)
    (left,), at = _newest(instance, ONBOARDING["access"], UNTRIED)
    covered, unsigned = (Coverage.from_text(text) if isinstance(text, str) else Coverage() for text in known)
    return KnownClients(
        covered,
        unsigned,
        left if isinstance(left, int) else 0,
        at,
    )


def _newest(instance: Instance, key: dg.AssetKey, *names: str) -> tuple[tuple[object, ...], datetime | None]:
    """Metadata of the latest observation, and its time; None for what it does not have."""
    for record in instance.fetch_observations(key, limit=1).records:
        event = record.event_log_entry.asset_observation
        if event is not None and names[0] in event.metadata:
            values = tuple(event.metadata[name].value if name in event.metadata else None for name in names)
            return values, datetime.fromtimestamp(record.timestamp, UTC)
    return (None,) * len(names), None
