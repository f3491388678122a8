"""One sync of one resource: the folder it lands in, its clock, the merge, and what is left behind if it fails.

Belongs here: the order of steps within a resource. Does not: which resources (`run.py`), what is read (`land.py`).
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Tools
from debitura_pipeline.api.listings import LISTINGS
from debitura_pipeline.errors import DebituraError, ShrinkRefused, UnprovenError
from debitura_pipeline.extract.control import control_totals, per_client_totals
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.extract.night import Forecast
from debitura_pipeline.extract.plan import SMALL_REQUESTS, Knowledge, Plan, plan
from debitura_pipeline.extract.read import Progress, Reader
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.shape import Shaper
from debitura_pipeline.landing.store import JOURNAL, SyncFolder, discard, folders
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.land import Ground, Landing, forecast, land, land_nightly, survey, whole_cost
from debitura_pipeline.sync.landed import landed_from, used_windows
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.warehouse.base import FailedSync, Warehouse
from debitura_pipeline.warehouse.open import open_warehouse

RESUME_WITHIN = timedelta(days=1)  # an interrupted sync older than this starts afresh
SKEW_REPORTED = timedelta(minutes=5)
CLOCK_JITTER = timedelta(seconds=10)  # two answers' dates may be so far apart, though one came after the other

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """One resource about to be read: what the warehouse knows of it, the plan, where it lands, what a night starts from."""

    resource: str
    known: Knowledge
    plan: Plan
    folder: SyncFolder
    ground: Ground | None


@dataclass
class Session:
    settings: Settings
    endpoint: Endpoint
    tools: Tools
    client: ApiClient
    shaper: Shaper
    shaping: ThreadPoolExecutor
    progress: Callable[[Progress], None] | None
    partner: tuple[str | None, Decimal | None]
    small_requests: int = SMALL_REQUESTS

    def __post_init__(self) -> None:
        """The API's clock, from its first answer; the machine's where it gave none."""
        self._at = self.client.server_time or self.tools.now()
        self._since = self.tools.monotonic()
        skew = self._at - self.tools.now()
        self.message = None
        if abs(skew) > SKEW_REPORTED and not self.endpoint.is_simulated:
            self.message = f"the API's clock is {skew.total_seconds():.0f} s off this machine's; the API's counts"
            log.warning("%s", self.message)

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self.tools.monotonic() - self._since)

    async def resource(
        self, resource: str, *, tenant: str | None = None, full: bool = False, allow_shrink: bool = False
    ) -> SyncReport:
        return (await self.resources((resource,), tenant=tenant, full=full, allow_shrink=allow_shrink))[0]

    async def resources(
        self, names: Sequence[str], *, tenant: str | None = None, full: bool = False, allow_shrink: bool = False
    ) -> list[SyncReport]:
        """One resource after the other: plan, read, prove, land, merge, compare totals. While one is read, the one before
        it is merged. A failure leaves its line in `ops.syncs`; what was read before it is merged."""
        reports: list[SyncReport] = []
        landed: Reading | None = None
        for name in names:
            try:
                reading = self._prepare(name, tenant, full)
            except DebituraError:
                if landed is not None:
                    self._merge(landed, allow_shrink)
                raise
            if landed is None:
                await self._read(reading)
            else:
                reports.append(await self._read_beside_merge(reading, landed, allow_shrink))
            landed = reading
            if name == "clients":  # few rows, and what their records say is asked for before cases are read
                reports.append(self._merge(reading, allow_shrink))
                landed = None
        if landed is not None:
            reports.append(self._merge(landed, allow_shrink, with_clients="transactions" in names))
        return reports

    async def _read_beside_merge(self, reading: Reading, landed: Reading, allow_shrink: bool) -> SyncReport:
        """The report of the merge. Whatever happens, the merge is at its end afterwards: it cannot be called off."""
        merging = asyncio.create_task(asyncio.to_thread(self._merge, landed, allow_shrink))
        try:
            await self._read(reading, merging)
        except BaseException:
            await asyncio.wait([merging])
            if not merging.cancelled() and (error := merging.exception()) is not None:
                # One error is raised, the other told; not with its traceback, which may quote a row.
                what = str(error) if isinstance(error, DebituraError) else type(error).__name__
                log.warning("merging %s failed, too: %s", landed.resource, what)
            raise
        return await asyncio.shield(merging)

    async def _read(self, reading: Reading, merging: asyncio.Task[SyncReport] | None = None) -> None:
        """Land and prove. A failure is noted in the warehouse, once nobody else has it open."""
        self._requests, self._retries = self.client.stats.requests, self.client.stats.retries
        try:
            if reading.folder.end is None:
                self._close(reading.folder, await self._land(reading))
        except DebituraError as error:
            if merging is not None:
                await asyncio.wait([merging])
            self._note_failure(reading.folder, error)
            if isinstance(error, UnprovenError) and reading.folder.begin["mode"] == "nightly":
                discard(reading.folder)  # what it read is out of date: taken up again, it would fail again
            raise

    async def _land(self, reading: Reading) -> Landing:
        reader = self._reader(reading.resource, reading.folder)
        if reading.ground is None:
            return await land(reader, reading.plan, self.partner[0])
        at, days = reading.folder.instant("at"), self.settings.refresh_days
        return await land_nightly(reader, reading.ground, reading.known, self.partner[0], at, days)

    async def forecast(self, resource: str, *, full: bool = False) -> tuple[Plan, Forecast]:
        """The plan for one resource and what it will cost. Asks for totals only; nothing is kept, nothing touched."""
        with tempfile.TemporaryDirectory(prefix="debitura-plan-") as scratch:
            with open_warehouse(self.settings) as warehouse:
                warehouse.prepare()
                known, chosen = self._plan(warehouse, resource, None, full)
                folder = self._new_folder(Path(scratch), resource, chosen, None, self.now())
                ground = self._survey(warehouse, folder)
            reader = self._reader(resource, folder)
            if ground is None:
                return chosen, await whole_cost(reader, chosen)
            at, days = folder.instant("at"), self.settings.refresh_days
            return chosen, await forecast(reader, ground, known, self.partner[0], at, days)

    def _prepare(self, resource: str, tenant: str | None, full: bool) -> Reading:
        """What the warehouse knows, the plan that follows from it, the folder to land in. The warehouse is shut again."""
        with open_warehouse(self.settings) as warehouse:
            warehouse.prepare()
            known, chosen = self._plan(warehouse, resource, tenant, full)
            folder = self._folder(warehouse, resource, chosen, tenant)
            return Reading(resource, known, chosen, folder, self._survey(warehouse, folder))

    def _plan(self, warehouse: Warehouse, resource: str, tenant: str | None, full: bool) -> tuple[Knowledge, Plan]:
        known = Knowledge(_live_rows(warehouse, resource), _newest(warehouse, resource, "AND mode <> 'client'"))
        return known, plan(resource, known, full=full, tenant=tenant, small_requests=self.small_requests)

    def _survey(self, warehouse: Warehouse, folder: SyncFolder) -> Ground | None:
        if folder.begin["mode"] != "nightly" or folder.end is not None:
            return None
        return survey(warehouse, folder.begin["resource"], self.partner[0], folder.path)

    def _reader(self, resource: str, folder: SyncFolder) -> Reader:
        return Reader(
            self.client,
            self.shaper,
            self.shaping,
            folder,
            LISTINGS[resource],
            folder.instant("upper_bound"),
            self.settings.concurrency,
            self.progress,
        )

    def _folder(self, warehouse: Warehouse, resource: str, chosen: Plan, tenant: str | None) -> SyncFolder:
        """The folder of an interrupted sync that can be taken up again, or a new one. What is of no use is removed."""
        newest = _newest(warehouse, resource)
        for folder in folders(self.settings.landing_dir, resource):
            if folder.is_open and folder.begin["tenant"] == tenant:
                if self._can_resume(folder, chosen, newest):
                    log.info("resuming sync %s", folder.begin["sync_id"])
                    return folder
                discard(folder)
        return self._new_folder(self.settings.landing_dir, resource, chosen, tenant, _after(self.now(), newest))

    def _can_resume(self, folder: SyncFolder, chosen: Plan, newest: datetime | None) -> bool:
        """Begun within the day, nothing merged since, same partner mode, and no less thorough than what is wanted now."""
        began = folder.instant("at")
        is_recent = began + RESUME_WITHIN > self.now() and (newest is None or newest <= began)
        is_enough = folder.begin["mode"] in (chosen.mode, "full")
        return is_recent and is_enough and folder.begin["partner"] == _partner_text(self.partner)

    def _new_folder(self, landing: Path, resource: str, chosen: Plan, tenant: str | None, at: datetime) -> SyncFolder:
        sync_id = f"{at:%Y%m%dT%H%M%SZ}-{resource}-{self.tools.token()}"
        return SyncFolder.create(
            landing, resource, sync_id,
            mode=chosen.mode, at=at, upper_bound=at, tenant=tenant, partner=_partner_text(self.partner),
        )  # fmt: skip

    def _close(self, folder: SyncFolder, landing: Landing) -> None:
        """The journal's end line: from now on the folder is a certificate and can be merged."""
        folder.append(
            "end",
            windows=[window.seq for window in landing.windows],
            api=landing.totals.as_json(),
            gone=landing.gone,
            unproven=landing.unproven,
            finished_at=self.now(),
            requests=self.client.stats.requests - self._requests,
            retries=self.client.stats.retries - self._retries,
            message="; ".join(filter(None, [self.message, *landing.unproven])) or None,
        )

    def _merge(self, reading: Reading, allow_shrink: bool, with_clients: bool = False) -> SyncReport:
        """`with_clients`: all that clients' own records speak of is merged now, so compare these too."""
        try:
            return self._merge_folder(reading.folder, allow_shrink, with_clients)
        except DebituraError as error:
            self._note_failure(reading.folder, error)
            raise

    def _merge_folder(self, folder: SyncFolder, allow_shrink: bool, with_clients: bool) -> SyncReport:
        landed = landed_from(folder)
        with open_warehouse(self.settings) as warehouse:
            try:
                counts = warehouse.merge(landed, allow_shrink=allow_shrink)
            except ShrinkRefused as error:
                folder.append("refused", reason=str(error))
                raise
            totals = self._compare(warehouse, folder, with_clients)
            warehouse.write_control_totals(landed.sync_id, landed.at, totals)
        folder.append(
            "merged", at=self.now()
        )  # last: a crash before it merges the same landing again, which changes nothing
        _drop_superseded(folder)
        return SyncReport.of(landed, counts, totals)

    def _compare(self, warehouse: Warehouse, folder: SyncFolder, with_clients: bool) -> list[ControlTotal]:
        """The API's closing totals beside `raw`; of a single client's reading they say nothing about the whole."""
        if folder.begin["tenant"] is not None or folder.end is None:
            return []
        stated = Totals.from_json(folder.end["api"])
        found = control_totals(folder.begin["resource"], stated, self.partner[0], warehouse.rows)
        return found + (per_client_totals(warehouse.rows) if with_clients else [])

    def _note_failure(self, folder: SyncFolder, error: DebituraError) -> None:
        """Best effort: the error itself is what the caller has to see."""
        try:
            with open_warehouse(self.settings) as warehouse:
                begin, end = folder.begin, folder.end or {}
                failed = FailedSync(
                    sync_id=begin["sync_id"],
                    resource=begin["resource"],
                    mode=begin["mode"],
                    at=folder.instant("at"),
                    started_at=folder.instant("at"),
                    finished_at=self.now(),
                    upper_bound=folder.instant("upper_bound"),
                    requests=end.get("requests", self.client.stats.requests - self._requests),
                    retries=end.get("retries", self.client.stats.retries - self._retries),
                    rows_read=sum(line["rows"] for line in folder.of("window")),
                )
                warehouse.record_failure(failed, str(error))
        except DebituraError as second:
            log.warning("the failed sync could not be noted: %s", second)


def _after(at: datetime, newest: datetime | None) -> datetime:
    """`at`, or the instant right after the last merged sync where the API's clock, which has whole seconds, and may be
    another server's this time, lags behind it a little."""
    if newest is not None and newest - CLOCK_JITTER < at <= newest:
        return newest + timedelta(microseconds=1)
    return at


def _live_rows(warehouse: Warehouse, resource: str) -> int:
    return int(warehouse.rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0])


def _newest(warehouse: Warehouse, resource: str, condition: str = "") -> datetime | None:
    """Upper bound of the last merged sync of a resource."""
    sql = f"SELECT max(upper_bound) FROM ops.syncs WHERE resource = $1 AND status = 'done' {condition}"
    found = warehouse.rows(sql, (resource,))
    return found[0][0].astimezone(UTC) if found and found[0][0] is not None else None


def _partner_text(partner: tuple[str | None, Decimal | None]) -> list[str | None]:
    return [partner[0], None if partner[1] is None else str(partner[1])]


def _drop_superseded(folder: SyncFolder) -> None:
    """Keep the journal and the files that the certificate rests on. Readings that were done again go, and so does what a
    process that was killed left half written."""
    used = {window.file for window in used_windows(folder)} | {JOURNAL}
    for path in folder.path.iterdir():
        if path.name not in used:
            path.unlink()
