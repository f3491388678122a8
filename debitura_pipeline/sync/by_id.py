"""Read some cases by their ids, as a sync of their own: rows are added and changed, and none is marked deleted.

A case is landed only if the listing has it too. One that is found by its id alone, such as a test case, is not part of what
the other syncs prove.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from debitura_pipeline.errors import RefusedError
from debitura_pipeline.extract.window_record import Totals, VerifiedWindow
from debitura_pipeline.landing.landing_zone import discard
from debitura_pipeline.sync.land import Landing
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.resource import ResourceSync

PATH = "/cases"
OF_ALL = (401, 403)  # statuses that concern the key, not one case
MAX_REFUSED = 2  # single cases; with one more, the API is taken to refuse all of them

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CasesRead:
    """The result. `report`: None if nothing was merged. `listed`: ids that were merged. `refused`: ids that the API refused to be
    asked for."""

    report: SyncReport | None
    listed: frozenset[str]
    refused: frozenset[str]


@dataclass
class CasesByIdSync(ResourceSync):
    """Call `prepare`, `read_listed` and, if that returned any ids, `merge`. `keys`: ids of the cases, each once."""

    keys: Sequence[str] = ()
    refused: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Create the sync's folder. Raises DebituraError; the failure is recorded."""
        try:
            self.prepared = self._preparer.prepare_by_id(self.resource)
        except Exception as error:
            self._merger.note_early_failure(self.resource, error)
            raise

    async def read_listed(self) -> frozenset[str]:
        """Read and land the cases that the listing has; returns their ids. Without any, there is nothing to merge.

        Raises DebituraError; the failure is recorded and nothing is kept, since a later event or sync reads them again.
        """
        self._requests, self._retries = self.context.client.stats.requests, self.context.client.stats.retries
        folder = self.prepared.folder
        try:
            windows, listed = await self._read()
            if listed:
                totals = Totals(sum(window.distinct for window in windows), {})
                seen = Landing(windows, totals, "client")
                folder.append(self._end_line(folder, seen))
                return listed
        except Exception as error:
            self._note_failure(error)
            discard(folder)
            raise
        discard(folder)
        return listed

    async def _read(self) -> tuple[tuple[VerifiedWindow, ...], frozenset[str]]:
        reader = self._reader(self.prepared.folder)
        windows, unknown = await reader.read_by_id(PATH, self.keys, self._refuse)
        found = set(self.keys) - unknown
        listed: set[str] = set()
        for window in windows:
            if window.file is not None:
                listed |= await reader.listed_now(window, found)
        if listed and listed != found:
            windows, unknown = await reader.read_by_id(PATH, sorted(listed), self._refuse)
            listed -= unknown
        return tuple(windows), frozenset(listed)

    def _refuse(self, key: str, error: RefusedError) -> None:
        """Note one refused case. Raises the refusal if it concerns all cases, or seems to."""
        self.refused.add(key)
        if error.status in OF_ALL or len(self.refused) > MAX_REFUSED:
            raise error
        log.warning("a case could not be read: %s", error)
