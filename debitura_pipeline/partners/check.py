"""Check each partner's settings, secrets, folders and warehouse with the checks of `doctor`; the API only if asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from debitura_pipeline.doctor import examine
from debitura_pipeline.doctor.examine import CHECKS
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.partners.overview import Overview
from debitura_pipeline.settings import Settings, load_partner
from debitura_pipeline.settings.partners_file import PartnersFile
from debitura_pipeline.warehouse.opening import describe_warehouse

LOCAL = ("folders", "privacy key", "warehouse")
REMOTE = ("API", "Customer API")


@dataclass(frozen=True)
class PartnerCheck:
    """`seen`: one line; what was checked, or the first fault. `faults`: all of them."""

    partner: str
    seen: str
    faults: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"partner": self.partner, "is_ok": not self.faults, "seen": self.seen, "faults": list(self.faults)}


class Checker:
    """Checks partners one after the other, and notices warehouses that two of them turn out to share."""

    def __init__(self, partners: PartnersFile, given: Mapping[str, str], *, with_api: bool) -> None:
        self._partners, self._given = partners, given
        self._names = (*LOCAL, *(REMOTE if with_api else ()))
        self._checks = tuple(check for check in CHECKS if check.what in self._names)
        self._users: dict[tuple[str, str], str] = {}

    def check(self, overview: Overview) -> PartnerCheck:
        """One partner. Nothing is raised for what is wrong with it."""
        try:
            settings = load_partner(self._partners, overview.name, self._given)
        except SettingsError as error:
            return PartnerCheck(overview.name, str(error), (str(error),))
        faults = tuple(self._faults(settings))
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            return PartnerCheck(overview.name, f"{faults[0]}{more}", faults)
        seen = f"{settings.environment}, warehouse {describe_warehouse(settings)}; settings, {', '.join(self._names)}"
        return PartnerCheck(overview.name, seen)

    def _faults(self, settings: Settings) -> Iterator[str]:
        name = settings.partner or ""
        place = describe_warehouse(settings), settings.warehouse.schema_prefix
        if (other := self._users.setdefault(place, name)) != name:
            yield f"warehouse: {place[0]} is also that of partner {other}, with the same schemas"
        for diagnosis in examine(settings, self._checks):
            if not diagnosis.is_ok:
                yield f"{diagnosis.what}: {diagnosis.seen} {diagnosis.cure}"
