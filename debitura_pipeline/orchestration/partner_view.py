"""Dagster's instance as one partner may see it, where the instance serves several.

Runs are told apart by their tag, events by their partition: the partner's name, or `partner/externalTenantId@creditorId` of its
clients. Without a partner the instance itself is used, so that nothing changes for a single one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

import dagster as dg
from dagster._core.event_api import EventRecordsResult
from dagster._core.storage.dagster_run import RunRecord
from dagster_shared.record import copy

from debitura_pipeline.orchestration.keys import CLIENTS, PARTNER_TAG

CHUNK = 500  # partitions per query: SQLite allows some thousand variables
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION

Event = TypeVar("Event", dg.AssetMaterialization, dg.AssetObservation, dg.AssetMaterialization | dg.AssetObservation)


class PartnerView:
    """The methods of `DagsterInstance` that the pipeline asks, answered for `partner` alone.

    Keys of clients' partitions are given and returned without the partner's name.
    """

    def __init__(self, instance: dg.DagsterInstance, partner: str) -> None:
        self._instance, self._partner = instance, partner

    def get_run_records(
        self, filters: dg.RunsFilter | None = None, limit: int | None = None, ascending: bool = False
    ) -> Sequence[RunRecord]:
        """The partner's runs."""
        wanted = filters or dg.RunsFilter()
        tags = {**(wanted.tags or {}), PARTNER_TAG: self._partner}
        return self._instance.get_run_records(copy(wanted, tags=tags), limit=limit, ascending=ascending)

    def get_run_by_id(self, run_id: str) -> dg.DagsterRun | None:
        """A run by its id."""
        return self._instance.get_run_by_id(run_id)

    def fetch_materializations(
        self, records_filter: dg.AssetKey | dg.AssetRecordsFilter, limit: int, cursor: str | None = None
    ) -> EventRecordsResult:
        """Materialisations of the partner's partition, or those with the storage ids of the filter."""
        return self._instance.fetch_materializations(self._own(records_filter), limit=limit, cursor=cursor)

    def fetch_observations(
        self, records_filter: dg.AssetKey | dg.AssetRecordsFilter, limit: int, cursor: str | None = None
    ) -> EventRecordsResult:
        """Observations of the partner's partition."""
        return self._instance.fetch_observations(self._own(records_filter), limit=limit, cursor=cursor)

    def get_latest_materialization_event(self, asset_key: dg.AssetKey) -> dg.EventLogEntry | None:
        """The newest materialisation of the partner's partition."""
        found = self.fetch_materializations(asset_key, limit=1).records
        return found[0].event_log_entry if found else None

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """The keys of this partner's clients. Does not read other partners' keys."""
        return self._instance.get_dynamic_partitions(f"{partitions_def_name}/{self._partner}")

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add clients of the partner."""
        for name, keys in self.places_of(partitions_def_name, partition_keys):
            self._instance.add_dynamic_partitions(name, keys)

    def places_of(self, partitions_def_name: str, keys: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """What to add for clients: partitions of the assets, and the list of the partner's own. The list comes last, since a
        client that is in it is not added again."""
        yield partitions_def_name, [f"{self._partner}/{key}" for key in keys]
        yield f"{partitions_def_name}/{self._partner}", list(keys)

    def get_materialized_partitions(self, asset_key: dg.AssetKey) -> set[str]:
        """The partner's clients for which the asset was materialised."""
        keys = set(self.get_dynamic_partitions(str(CLIENTS.name)))
        return set(self.get_latest_storage_id_by_partition(asset_key, MATERIALIZED, keys))

    def get_latest_storage_id_by_partition(
        self, asset_key: dg.AssetKey, event_type: dg.DagsterEventType, partitions: set[str]
    ) -> Mapping[str, int]:
        """The newest event of each of these clients."""
        found: dict[str, int] = {}
        keys = [f"{self._partner}/{key}" for key in sorted(partitions)]
        for start in range(0, len(keys), CHUNK):
            chunk = set(keys[start : start + CHUNK])
            found |= self._instance.get_latest_storage_id_by_partition(asset_key, event_type, chunk)
        return {client_key(partition): storage_id for partition, storage_id in found.items()}

    def _own(self, wanted: dg.AssetKey | dg.AssetRecordsFilter) -> dg.AssetRecordsFilter:
        if isinstance(wanted, dg.AssetKey):
            return dg.AssetRecordsFilter(wanted, asset_partitions=[self._partner])
        if wanted.storage_ids:
            return wanted
        partitions = [f"{self._partner}/{key}" for key in wanted.asset_partitions or ()] or [self._partner]
        return wanted._replace(asset_partitions=partitions)


Instance: TypeAlias = dg.DagsterInstance | PartnerView


def view_of(instance: dg.DagsterInstance, partner: str | None) -> Instance:
    """The instance as `partner` sees it; the instance itself where there is none."""
    return instance if partner is None else PartnerView(instance, partner)


def placed(event: Event, partner: str | None) -> Event:
    """An event as it is logged for a partner; unchanged without one."""
    if partner is None:
        return event
    partition = partner if event.partition is None else f"{partner}/{event.partition}"
    return event._replace(partition=partition)


def client_key(partition: str) -> str:
    """A client's own key of its partition. A key has no `/` itself: `ClientRef.key` encodes it."""
    return partition.rpartition("/")[2]
