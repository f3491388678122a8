"""What the partners file says of each partner, without reading a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Secret, declared
from debitura_pipeline.settings.declaration import Values
from debitura_pipeline.settings.partner_choice import chosen_name
from debitura_pipeline.settings.partner_table import FILE, PartnerTable, Source
from debitura_pipeline.settings.partner_values import base_folder, open_values
from debitura_pipeline.settings.partners_file import PartnersFile


@dataclass(frozen=True)
class Overview:
    """One partner. `warehouse`: without user and password. `fault`: what is wrong with its table, in one line.

    The other values are None where the table is so wrong that they are not known.
    """

    name: str
    environment: str | None = None
    warehouse: str | None = None
    data_dir: Path | None = None
    schedule: str | None = None
    run_retries: int = 0
    fault: str | None = None


def read_overviews(partners: PartnersFile, given: Mapping[str, str]) -> Iterator[Overview]:
    """All partners, in the file's order; the one that DEBITURA_PARTNER names, if it does. Raises SettingsError."""
    names = [chosen_name(partners, given)] if given.get(declared.PARTNER.name) else list(partners.tables)
    base_folder(partners, given)  # a fault in it is nobody's own
    for name in names:
        try:
            yield _overview(partners, name, given)
        except SettingsError as error:
            yield Overview(name, fault=str(error))


def _overview(partners: PartnersFile, name: str, given: Mapping[str, str]) -> Overview:
    table = partners.table(name)
    values = Values(open_values(partners, name, given), partners.root)
    try:
        data_dir = values.one(declared.DATA_DIR)
        return Overview(
            name,
            values.one(declared.ENVIRONMENT),
            _warehouse(table, values, data_dir),
            data_dir,
            values.one(declared.SCHEDULE),
            values.one(declared.RUN_RETRIES),
        )
    except SettingsError as error:
        raise table.in_its_words(error, given) from None


def _warehouse(table: PartnerTable, values: Values, data_dir: Path) -> str:
    prefix = values.optional(declared.SCHEMA_PREFIX)
    schemas = f", schemas {prefix}…" if prefix else ""
    if (source := table.sources.get(declared.WAREHOUSE.name)) is not None:
        return f"{_of_source(source)}{schemas}"
    place = values.optional(declared.WAREHOUSE)
    if isinstance(place, Secret):
        from debitura_pipeline.warehouse.postgres.connection import server_label  # noqa: PLC0415 - a tenth of a second

        return f"Postgres at {server_label(place)}{schemas}"
    return str(place or data_dir / "warehouse.duckdb")


def _of_source(source: Source) -> str:
    """A file's path is not shown where there is no file: it may be the secret itself."""
    if source.end != FILE:
        return f"as {source.place} says"
    with suppress(OSError):
        if Path(source.place).expanduser().is_file():
            return f"as {source.place} says"
    return "as a file says"
