"""Which partners may be in a shared Postgres database, as the partners file says, for the script of schema `fleet`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.fleet.members import refuse_single
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.partners_file import PartnersFile
from debitura_pipeline.settings.url_readers import DUCKDB
from debitura_pipeline.warehouse.postgres.fleet import FleetSchemas, fleet_script


def fleet_sql(partners: PartnersFile, given: Mapping[str, str]) -> str:
    """The script for all partners whose warehouse may be in Postgres; no secret is read for it. Raises SettingsError where there
    is no such partner."""
    refuse_single(partners, given)
    found = dict(_prefixes(partners))
    if not found:
        raise SettingsError(
            f"No partner of {partners.path} has its warehouse in Postgres; fleet.duckdb has the reports of all partners. Example: "
            "debitura partners report",
            variable=declared.PARTNERS.name,
        )
    times = Counter(found.values())
    return fleet_script([FleetSchemas(name, prefix, times[prefix] == 1) for name, prefix in found.items()])


def _prefixes(partners: PartnersFile) -> Iterator[tuple[str, str]]:
    """A partner whose table is wrong is left out: nobody knows what it means."""
    for name in partners.tables:
        try:
            table = partners.table(name)
        except SettingsError:
            continue
        place = table.texts.get(declared.WAREHOUSE.name, "")
        if declared.WAREHOUSE.name in table.sources or (place and not place.startswith(DUCKDB)):
            yield name, table.texts.get(declared.SCHEMA_PREFIX.name, "")
