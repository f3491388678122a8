"""The partners of a fleet: where each keeps its published data and its report, and how it stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.partners import Overview, Standing, read_overviews, read_standing
from debitura_pipeline.report.write import FILE_NAME
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.model import PUBLISHED
from debitura_pipeline.settings.partners_file import PartnersFile
from debitura_pipeline.warehouse.published_folder import REPORTS, PublishedNight, current_night

SANDBOX = "sandbox"


@dataclass(frozen=True)
class FleetMember:
    """One partner. `night`: what it has published last; None before the first time. `report`: its page, if there is one.

    `fault`: why its published data cannot be read, in one line.
    """

    overview: Overview
    standing: Standing
    night: PublishedNight | None = None
    report: Path | None = None
    fault: str | None = None

    @property
    def name(self) -> str:
        return self.overview.name

    @property
    def is_simulated(self) -> bool:
        return self.overview.environment == SANDBOX

    @property
    def is_readable(self) -> bool:
        """Whether it has published, and nothing is known that keeps its data from being read."""
        return self.night is not None and self.fault is None

    @property
    def file(self) -> Path | None:
        """Its published reports: in the folder of one night, which no later night changes."""
        return None if self.night is None else self.night.path / REPORTS

    def link_from(self, folder: Path) -> str | None:
        """The address of its report for a page in `folder`."""
        return None if self.report is None else quote(os.path.relpath(self.report, folder))


def read_members(partners: PartnersFile, given: Mapping[str, str], now: datetime) -> list[FleetMember]:
    """All partners, in the file's order. Raises SettingsError, also where the process works for one partner alone."""
    refuse_single(partners, given)
    return [_member(overview, now) for overview in read_overviews(partners, given)]


def refuse_single(partners: PartnersFile, given: Mapping[str, str]) -> None:
    """What is made of one partner must not take the place of what is made of all. Raises SettingsError."""
    if given.get(declared.PARTNER.name):
        raise SettingsError(
            f"This is about all partners of {partners.path}, and {declared.PARTNER.name} or --partner names one; leave it out. "
            "Example: debitura partners report",
            variable=declared.PARTNER.name,
        )


def _member(overview: Overview, now: datetime) -> FleetMember:
    standing = read_standing(overview, now)
    if overview.data_dir is None:
        return FleetMember(overview, standing)
    try:
        night = current_night(overview.data_dir / PUBLISHED)
        page = overview.data_dir / "reports" / FILE_NAME
        return FleetMember(overview, standing, night, page if page.is_file() else None)
    except OSError as error:
        return FleetMember(overview, standing, fault=f"{overview.data_dir} cannot be read ({error.strerror})")
