"""Write `fleet.duckdb` and the fleet page from what the partners have published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.fleet.file import LINK, FleetTables, replace_file
from debitura_pipeline.fleet.members import FleetMember, read_members
from debitura_pipeline.fleet.money import FleetMoney, read_money
from debitura_pipeline.fleet.page import compose_fleet
from debitura_pipeline.report.page import render
from debitura_pipeline.settings.model import PUBLISHED
from debitura_pipeline.settings.partner_values import base_folder
from debitura_pipeline.settings.partners_file import PartnersFile
from debitura_pipeline.sharing import share

PAGE, TEMPLATE = "fleet-report.html", "fleet-report.html.j2"


@dataclass(frozen=True)
class FleetFacts:
    """The page's path, the file's, and what both say of the partners."""

    page: Path
    data: Path
    members: tuple[FleetMember, ...]
    money: FleetMoney


def _utc_now() -> datetime:
    return datetime.now(UTC)


def write_fleet(
    partners: PartnersFile, given: Mapping[str, str], *, now: Callable[[], datetime] = _utc_now
) -> FleetFacts:
    """Write `published/fleet.duckdb`, then `reports/fleet-report.html`, in DEBITURA_DATA_DIR. Each is replaced in one rename.

    A partner whose published data cannot be read is in the page with its fault. Raises SettingsError, WarehouseBusy if another
    process writes the same file, WarehouseError if it cannot be written; readers then keep the old files.
    """
    base, at = base_folder(partners, given), now()
    members = read_members(partners, given, at)
    found: list[FleetMoney] = []

    def use(tables: FleetTables, readable: list[FleetMember]) -> None:
        found.append(read_money(tables, readable))

    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        members = replace_file(base / PUBLISHED, members, at, use)
        folder = base / "reports"
        folder.mkdir(mode=0o700, exist_ok=True)
        page = compose_fleet(members, found[0], at, folder)
        content = render(page, TEMPLATE).encode()
        write_private_atomically(folder / PAGE, content, fsync=True, finish=lambda draft: share(draft, folder))
    except (OSError, duckdb.Error) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:300]
        raise WarehouseError(f"The report of all partners cannot be written in {base}: {reason}.") from error
    return FleetFacts(folder / PAGE, base / PUBLISHED / LINK, tuple(members), found[0])
