"""Which partners may be in a shared Postgres database, as the partners file says, for the script of schema `fleet`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.fleet.members import refuse_single
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.addresses import address_options
from debitura_pipeline.settings.partner_table import FILE, VARIABLE
from debitura_pipeline.settings.partner_values import whole_values
from debitura_pipeline.settings.partners_file import PartnersFile
from debitura_pipeline.settings.url_readers import DUCKDB
from debitura_pipeline.warehouse.postgres.fleet import FleetSchemas, fleet_script


def fleet_sql(partners: PartnersFile, given: Mapping[str, str]) -> str:
    """The script for all partners whose warehouse may be in Postgres. Of secrets, addresses of warehouses alone are read, for the
    roles that they name; without them, a partner has the roles of `doctor --grant-sql`. Raises SettingsError where there is no such
    partner."""
    refuse_single(partners, given)
    found = dict(_prefixes(partners))
    if not found:
        raise SettingsError(
            f"No partner of {partners.path} has its warehouse in Postgres; fleet.duckdb has the reports of all partners. Example: "
            "debitura partners report",
            variable=declared.PARTNERS.name,
        )
    times = Counter(found.values())
    return fleet_script(
        [
            FleetSchemas(name, prefix, times[prefix] == 1, tuple(_roles(partners, name, given)))
            for name, prefix in found.items()
        ]
    )


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


def _roles(partners: PartnersFile, name: str, given: Mapping[str, str]) -> Iterator[str]:
    """The roles that a partner's addresses name. An address that is not there, or is wrong, names none."""
    for setting in (declared.WAREHOUSE, declared.DBT_URL):
        keys = (setting.key, setting.key + VARIABLE, setting.key + FILE)
        own = {key: value for key, value in partners.tables[name].items() if key in keys}
        with suppress(SettingsError):
            # Of this table alone, so that no other secret is read.
            values = whole_values(PartnersFile(partners.path, partners.root, {name: own}), name, given)
            options = address_options(values.get(setting.name, "")) or {}
            if role := str(options.get("user") or ""):
                yield role
